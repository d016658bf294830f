import type { Disk } from '../env/index.js'
import type { Topology } from '../slots/index.js'
import { readDocument, writeDocument } from '../store/index.js'
import { decodeTopology, encodeTopology } from './topology-codec.js'

const documentName = 'topology'

/** The topology that the data directory knows; undefined: the node has never been a member. */
export async function readTopology(disk: Disk): Promise<Topology | undefined> {
  const bytes = await readDocument(disk, documentName)
  return bytes === undefined ? undefined : decodeTopology(bytes)
}

/** Durable when it resolves. */
export function writeTopology(disk: Disk, topology: Topology): Promise<void> {
  return writeDocument(disk, documentName, encodeTopology(topology))
}

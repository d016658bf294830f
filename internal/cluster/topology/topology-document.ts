import type { Disk } from '../../env/index.js'
import type { Topology } from '../../slots/index.js'
import { readDocumentAs, writeDocument } from '../../store/index.js'
import { decodeTopology, encodeTopology } from './topology-codec.js'

const documentName = 'topology'

/**
 * The topology that the data directory knows; undefined: the node has never been a member. Throws FatalError `corrupt`
 * where the document is none, and DiskErrors.
 */
export function readTopology(disk: Disk): Promise<Topology | undefined> {
  return readDocumentAs(disk, documentName, decodeTopology)
}

/** Durable when it resolves. */
export function writeTopology(disk: Disk, topology: Topology): Promise<void> {
  return writeDocument(disk, documentName, encodeTopology(topology))
}

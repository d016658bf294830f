import {
  type ClusterId,
  type Incarnation,
  type NodeId,
  parseClusterId,
  parseIncarnation,
  parseNodeId,
} from '../base/index.js'
import type { Disk } from '../env/index.js'
import { formatVersion } from '../wal/index.js'
import { checkDocumentFormat, documentField, readJsonDocument, writeJsonDocument } from './durable-file.js'

/** Whose a data directory is. A directory without one belongs to nobody yet: whoever takes it is a new incarnation. */
export interface Identity {
  readonly nodeId: NodeId
  readonly incarnation: Incarnation
  /** Undefined until the node has founded or joined a cluster. */
  readonly clusterId: ClusterId | undefined
}

const name = 'identity'

/** Undefined: an empty directory. Throws FatalError `corrupt`, and DiskErrors. */
export async function readIdentity(disk: Disk): Promise<Identity | undefined> {
  const contents = await readJsonDocument(disk, name)
  if (contents === undefined) return undefined
  checkDocumentFormat(name, contents)
  const joined = contents['clusterId'] !== undefined
  return {
    nodeId: documentField(name, contents, 'nodeId', parseNodeId),
    incarnation: documentField(name, contents, 'incarnation', parseIncarnation),
    clusterId: joined ? documentField(name, contents, 'clusterId', parseClusterId) : undefined,
  }
}

/** Durable when it resolves. Throws FatalError `disk-failed`, and DiskErrors. */
export async function writeIdentity(disk: Disk, identity: Identity): Promise<void> {
  const { nodeId, incarnation, clusterId } = identity
  await writeJsonDocument(disk, name, { format: formatVersion, nodeId, incarnation, clusterId })
}

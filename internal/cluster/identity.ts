import { FatalError, type Incarnation, type NodeId, parseNodeId } from '../base/index.js'
import { type Identity, readIdentity, writeIdentity } from '../store/index.js'
import type { NodeOptions } from './node-face.js'

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** Who the data directory belongs to; a new directory becomes a new incarnation. Throws FatalError, DiskError. */
export async function localIdentity(options: NodeOptions): Promise<Identity> {
  const known = await readIdentity(options.disk)
  if (known !== undefined) {
    if (options.id !== undefined && options.id !== known.nodeId) {
      throw new FatalError('usage', `--id is ${options.id}, but the data directory belongs to node ${known.nodeId}`)
    }
    return known
  }
  const nodeId: NodeId = options.id ?? parseNodeId(`node-${hex(options.random.bytes(6))}`)
  const incarnation = hex(options.random.bytes(16)) as Incarnation
  const identity: Identity = { nodeId, incarnation, clusterId: undefined }
  await writeIdentity(options.disk, identity)
  return identity
}

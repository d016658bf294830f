import { FatalError, type Incarnation, type NodeId, parseNodeId } from '../base/index.js'
import type { Disk } from '../env/index.js'
import { type Identity, readIdentity, writeIdentity } from '../store/index.js'
import { listIfThere, syncDirectory } from '../wal/index.js'
import type { NodeOptions } from './node-face.js'

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/**
 * Who the data directory belongs to, durably; a new directory becomes a new incarnation. Throws FatalError (`corrupt`: it
 * has been used, and nothing says by whom; `disk-failed`), DiskError.
 */
export async function localIdentity(options: NodeOptions): Promise<Identity> {
  const known = await readIdentity(options.disk)
  if (known !== undefined) {
    if (options.id !== undefined && options.id !== known.nodeId) {
      throw new FatalError('usage', `--id is ${options.id}, but the data directory belongs to node ${known.nodeId}`)
    }
    // The process that gave it its name may have been killed before the name was durable: others must not be told of an
    // incarnation that a power cut can still take back.
    await syncDirectory(options.disk, '.')
    return known
  }
  await refuseUsed(options.disk)
  const nodeId: NodeId = options.id ?? parseNodeId(`node-${hex(options.random.bytes(6))}`)
  const incarnation = hex(options.random.bytes(16)) as Incarnation
  const identity: Identity = { nodeId, incarnation, clusterId: undefined }
  await writeIdentity(options.disk, identity)
  return identity
}

/** What may lie in a directory that no node has used yet: the lock of a process, what mkfs makes, what was never finished. */
function isNeutral(name: string): boolean {
  return name === 'LOCK' || name === 'lost+found' || name.endsWith('.tmp')
}

/**
 * The identity is the first thing that is durable in a data directory (FORMAT.md), so where anything else is and it is
 * not, it has been lost, or a repair has removed it before it moves files. A new one would make all of it, promises and
 * data, someone else's, and the node a new member that had never promised anything.
 */
async function refuseUsed(disk: Disk): Promise<void> {
  const used = (await listIfThere(disk, '.')).filter((name) => !isNeutral(name))
  if (used.length === 0) return
  throw new FatalError(
    'corrupt',
    `the data directory holds ${used.slice(0, 3).join(', ')}, but the file "identity" that says whose it is, is missing: ` +
      'run "kv-server repair" on it, which also finishes a repair that was interrupted, or restore it from a backup',
  )
}

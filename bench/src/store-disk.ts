import { Instruments, parseClusterId, parseIncarnation } from '@quorumkv/internal/base'
import { type Disk, type DiskFile, ForwardingDisk, type Log, type OpenMode } from '@quorumkv/internal/env'
import { NodeClock, NodeDisk } from '@quorumkv/internal/env-node'
import { type FsyncPolicy, openStore, type Store } from '@quorumkv/internal/store'

/** Counts how often files are made durable; everything else it leaves to another disk. */
export class CountingDisk extends ForwardingDisk {
  /** Of files, not of directories. */
  syncs = 0

  override async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const file = await super.open(path, mode)
    // In place: all else of a file goes its way as without a count.
    const sync = file.sync.bind(file)
    file.sync = () => {
      this.syncs++
      return sync()
    }
    return file
  }
}

function tell(message: string, facts?: object): void {
  process.stderr.write(`the store: ${message} ${JSON.stringify(facts ?? {})}\n`)
}

const log: Log = { debug: () => undefined, info: () => undefined, warn: tell, error: tell }

/** When a store takes a snapshot by itself: never, or as kv-server's defaults have it. */
export type SnapshotPolicy = 'on-demand' | 'as-served'

const served = { snapshotIntervalMs: 300_000, snapshotWalBytes: 268_435_456 }
const onDemand = { snapshotIntervalMs: 0, snapshotWalBytes: 0 }

export interface OpenOptions {
  readonly fsync: FsyncPolicy
  readonly snapshots: SnapshotPolicy
  /** In place of the directory's own. */
  readonly disk?: Disk
}

/** Opens the real store on the real disk, in `directory`, or what an earlier call has left there. */
export function openInDirectory(directory: string, { fsync, snapshots, disk }: OpenOptions): Promise<Store> {
  return openStore({
    instruments: new Instruments(() => 0),
    disk: disk ?? new NodeDisk(directory),
    clock: new NodeClock(),
    log,
    clusterId: parseClusterId('b'.repeat(32)),
    incarnation: parseIncarnation('c'.repeat(32)),
    fsync,
    fsyncIntervalMs: 100,
    ...(snapshots === 'as-served' ? served : onDemand),
    // Every commit from then on rejects, which ends the run.
    onFatal: (error) => tell(error.message),
  })
}

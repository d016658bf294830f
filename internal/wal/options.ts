import type { ClusterId, Incarnation, Instruments } from '../base/index.js'
import type { Clock, Disk, Log } from '../env/index.js'

/** `always`: acknowledge after fdatasync. `interval`: after the write, synced on a timer. `never`: by the system. */
export type FsyncPolicy = 'always' | 'interval' | 'never'

export interface WalOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
  readonly instruments: Instruments
  readonly clusterId: ClusterId
  readonly incarnation: Incarnation
  readonly fsync: FsyncPolicy
  readonly fsyncIntervalMs: number
  /** A segment is closed when it has passed this size. */
  readonly segmentBytes: number
  /** By how much the last segment is extended at a time. */
  readonly preallocateBytes: number
  /** The disk failed for good, or the log has a bug. Called at most once; nothing is acknowledged any more. */
  readonly onFatal: (error: Error) => void
}

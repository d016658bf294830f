import { limits } from '../../base/index.js'
import type { Clock, Disk, DiskFile } from '../../env/index.js'

/** What else the store has to do. */
export interface ForegroundLoad {
  /** How many commits have come since it was opened: only grows. */
  readonly commits: () => number
  /** Commits are waiting for the log just now. */
  readonly waiting: () => boolean
}

/**
 * Divides the event loop between background work and commits. On an idle node work goes on for
 * `limits.snapshotSliceMs` at a time. While commits come, it lasts about `limits.snapshotBusySliceMs`, and rests
 * `limits.snapshotRestFactor` times as long as it has worked: a group of commits takes several turns of the loop, and
 * short slices in each of them would still take most of the time. Every rest ends, so the work does too.
 *
 * Rejected: a worker thread (the table is typed arrays that move while it is compacted, and every slice would have to
 * be copied for it); yielding at each turn without a rest (measured: 1 ms in every turn left a third of the commits).
 */
export class SnapshotPace {
  readonly #clock: Clock
  readonly #load: ForegroundLoad
  #sliceMs: number = limits.snapshotBusySliceMs
  #startedMs: number
  #commits: number

  constructor(clock: Clock, load: ForegroundLoad) {
    this.#clock = clock
    this.#load = load
    this.#startedMs = clock.monotonicMs()
    this.#commits = load.commits()
  }

  /** This slice has lasted long enough: `rest` is due. */
  get isOver(): boolean {
    return this.#clock.monotonicMs() - this.#startedMs >= this.#sliceMs
  }

  /** Lets everything else run and begins a new slice. */
  async rest(): Promise<void> {
    const workedMs = this.#clock.monotonicMs() - this.#startedMs
    // Only once the loop has turned are those here that came during the slice.
    await new Promise<void>((resolve) => this.#clock.defer(resolve))
    const commits = this.#load.commits()
    const isBusy = commits !== this.#commits || this.#load.waiting()
    this.#commits = commits
    if (isBusy) {
      const restMs = Math.min(workedMs * limits.snapshotRestFactor, limits.snapshotRestMsMax)
      this.#sliceMs = limits.snapshotBusySliceMs
      await new Promise<void>((resolve) => {
        this.#clock.setTimer(restMs, resolve)
      })
      this.#commits = this.#load.commits()
    } else {
      this.#sliceMs = Math.min(this.#sliceMs * 2, limits.snapshotSliceMs)
    }
    this.#startedMs = this.#clock.monotonicMs()
  }
}

/** The same disk for reading, with `before` awaited in front of every read of so many bytes. */
export function withPacedReads(disk: Pick<Disk, 'open'>, before: (bytes: number) => Promise<void>): Pick<Disk, 'open'> {
  return {
    open: async (path, mode) => {
      const file = await disk.open(path, mode)
      const paced: DiskFile = {
        path: file.path,
        size: () => file.size(),
        read: async (into, position) => {
          await before(into.length)
          return await file.read(into, position)
        },
        write: (from, position) => file.write(from, position),
        sync: () => file.sync(),
        truncate: (size) => file.truncate(size),
        preallocate: (size) => file.preallocate(size),
        close: () => file.close(),
      }
      return paced
    },
  }
}

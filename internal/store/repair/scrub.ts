import { FatalError, KvError, limits } from '../../base/index.js'
import { DiskError, type Timer } from '../../env/index.js'
import { checkSegment, segmentPath, type WriteAheadLog } from '../../wal/index.js'
import { snapshotPath } from '../snapshot/snapshot-files.js'
import { withPacedReads } from '../snapshot/snapshot-pace.js'
import { readSnapshot } from '../snapshot/snapshot-reader.js'
import type { Snapshots } from '../snapshot/snapshots.js'
import type { StoreOptions } from '../store.js'

/** What it reads back: files that nobody writes any more and that the next start may need. */
export interface ScrubSubjects {
  readonly log: WriteAheadLog
  readonly snapshots: Snapshots
}

/**
 * Reads the kept snapshots and the closed segments of the log back, again and again, so that rot is found while
 * everything that it has spoiled is still in the table: the error is logged and counted, and a fresh snapshot makes
 * the rotten file superfluous. Latent errors are found by nothing else until the day on which the file is needed
 * (Schroeder et al., "Understanding Latent Sector Errors", FAST 2010). One file at a time, at most
 * `limits.scrubBytesPerSecond`, and no turn of the event loop takes longer than checking one chunk.
 */
export class Scrub {
  readonly #options: StoreOptions
  readonly #subjects: ScrubSubjects
  readonly #delayMs: number
  readonly #intervalMs: number
  #timer: Timer | undefined
  /** When the timer fires. */
  #dueMs = Number.POSITIVE_INFINITY
  #running: Promise<void> | undefined
  #throttle: { readonly timer: Timer; readonly wake: () => void } | undefined
  #stopped = false
  #rottenFiles = 0
  #bytes = 0

  constructor(options: StoreOptions, subjects: ScrubSubjects) {
    this.#options = options
    this.#subjects = subjects
    this.#delayMs = options.tuning?.scrubDelayMs ?? limits.scrubDelayMs
    this.#intervalMs = options.tuning?.scrubIntervalMs ?? limits.scrubIntervalMs
    this.#startWithin(this.#delayMs)
  }

  /** How many files were found damaged since the store was opened. */
  get rottenFiles(): number {
    return this.#rottenFiles
  }

  /** Bytes read back since the store was opened: only grows. */
  get bytes(): number {
    return this.#bytes
  }

  /** Other files than before are kept: a pass begins soon, unless one is running. */
  filesHaveChanged(): void {
    if (this.#running === undefined) this.#startWithin(this.#delayMs)
  }

  /** Gives the running pass up, and waits until its file is closed. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#throttle?.timer.cancel()
    this.#throttle?.wake()
    await this.#running
  }

  #startWithin(delayMs: number): void {
    const dueMs = this.#options.clock.monotonicMs() + delayMs
    if (this.#stopped || dueMs >= this.#dueMs) return
    this.#timer?.cancel()
    this.#dueMs = dueMs
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#dueMs = Number.POSITIVE_INFINITY
      this.#running = this.#pass().finally(() => {
        this.#running = undefined
        this.#startWithin(this.#intervalMs)
      })
    })
  }

  /** Never rejects: a file that cannot be judged is tried again in the next pass. */
  async #pass(): Promise<void> {
    const { disk, clusterId, incarnation } = this.#options
    const { log, snapshots } = this.#subjects
    const paced = withPacedReads(disk, (bytes) => this.#waitFor(bytes))
    for (const sequence of snapshots.generations) {
      const isKept = (): boolean => snapshots.generations.includes(sequence)
      const path = snapshotPath(sequence)
      const check = async (): Promise<void> => {
        await readSnapshot(paced, path, { clusterId, incarnation, sequence }, () => undefined)
      }
      if (await this.#isRotten(path, check, isKept)) snapshots.replace(sequence)
    }
    for (const number of log.settledSegments) {
      const isKept = (): boolean => log.settledSegments.includes(number)
      const check = (): Promise<void> => checkSegment({ disk: paced, clusterId, incarnation }, number)
      if (await this.#isRotten(segmentPath(number), check, isKept)) snapshots.replaceSegment(number)
    }
  }

  async #isRotten(path: string, check: () => Promise<void>, isKept: () => boolean): Promise<boolean> {
    // It may have been dropped since the pass began, and its blocks may be another file's by now.
    if (this.#stopped || !isKept()) return false
    try {
      await check()
      return false
    } catch (error) {
      if (this.#stopped || !isKept()) return false
      const isDamaged = error instanceof FatalError && error.reason === 'corrupt'
      const isUnreadable = error instanceof DiskError && error.code === 'io'
      const cause = String(error)
      if (!isDamaged && !isUnreadable) {
        this.#options.log.warn('a kept file could not be read back', { path, cause })
        return false
      }
      this.#rottenFiles++
      this.#options.log.error('a kept file has rotted; a fresh snapshot will replace it', { path, cause })
      return true
    }
  }

  /** Makes reads as slow as they may be. */
  async #waitFor(bytes: number): Promise<void> {
    this.#bytes += bytes
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.setTimer((1000 * bytes) / limits.scrubBytesPerSecond, resolve)
      this.#throttle = { timer, wake: resolve }
    })
    if (this.#stopped) throw new KvError('closed', 'the store was closed while it read a file back')
  }
}

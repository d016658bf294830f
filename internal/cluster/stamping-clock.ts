import { FatalError, KvError, limits } from '../base/index.js'
import { type Clock, type Disk, DiskError, type Log, type Timer } from '../env/index.js'
import { compareHlc, type Hlc, HybridClock, hlcMs, hlcMsMax, hlcOf } from '../hlc/index.js'
import { readDocumentAs, writeDocument } from '../store/index.js'
import type { ClockWitnesses } from './clock-witnesses.js'

const documentName = 'clock'
/** How far the ceiling is raised ahead of the wall clock. After a crash the clock may run ahead of it by this. */
const ceilingLeadMs = 3_000
/** The lead where the clock is ahead of the wall already: restarts one after the other must not add up. */
const ceilingStepMs = 100
/** How often the ceiling is looked at; it is raised when stamps are given and less than half of the lead is left. */
const ceilingCheckMs = 500

export interface StampingClockOptions {
  readonly clock: Clock
  readonly disk: Disk
  readonly log: Log
  readonly maxDriftMs: number
  /** The highest stamp in this node's own store. */
  readonly startAbove: Hlc
  readonly witnesses: ClockWitnesses
  /** The ceiling could not be made durable. Called at most once. */
  readonly onFatal: (error: Error) => void
}

/**
 * The node's hybrid clock with a ceiling on disk: no stamp is given above the ceiling, and after a restart the clock
 * starts above it. So a node whose wall clock was set back while it was down gives no stamp twice, not even for keys
 * of which it holds no copy itself. The ceiling follows the stamps that were given, never the bare wall clock: a wall
 * that was wrong while nobody wrote leaves no trace.
 */
export class StampingClock {
  readonly #clock: Clock
  readonly #disk: Disk
  readonly #log: Log
  readonly #witnesses: ClockWitnesses
  readonly #hybrid: HybridClock
  readonly #onFatal: (error: Error) => void
  #ceilingMs: number
  #raising: Promise<void> | undefined
  /** As many as operations run at most: who gives up does not wait any more. */
  readonly #waiters = new Set<() => void>()
  /** Stamps were given or wanted since the ceiling was looked at last. */
  #used = false
  /** The disk had no room for the last ceiling. */
  #full = false
  #healAtMs = 0
  #timer: Timer | undefined
  #closed = false

  /** Reads the ceiling and starts above it. Throws DiskError, or FatalError `corrupt`. */
  static async open(options: StampingClockOptions): Promise<StampingClock> {
    const clock = new StampingClock(options, await readCeiling(options.disk))
    clock.#watch()
    return clock
  }

  private constructor(options: StampingClockOptions, ceilingMs: number) {
    this.#clock = options.clock
    this.#disk = options.disk
    this.#log = options.log
    this.#witnesses = options.witnesses
    this.#onFatal = options.onFatal
    this.#ceilingMs = ceilingMs
    const ceiling = hlcOf(ceilingMs, 0xffff)
    const startAbove = compareHlc(options.startAbove, ceiling) > 0 ? options.startAbove : ceiling
    this.#hybrid = new HybridClock(options.clock, options.maxDriftMs, startAbove)
    const aheadMs = this.#hybrid.aheadMs()
    if (aheadMs > options.maxDriftMs) {
      options.log.warn('the wall clock is behind stamps that this node gave or stored before', { aheadMs })
    }
  }

  /** The last reading, without moving the clock. */
  current(): Hlc {
    return this.#hybrid.current()
  }

  /** The disk has no room for a higher ceiling: no write can be stamped, whatever room the log still has. */
  get readOnly(): boolean {
    return this.#full
  }

  /**
   * A fresh stamp, or undefined while the ceiling is not durable above it: then wait with `whenRaised`. Throws KvError
   * (nothing is applied): `unavailable` when this node's wall clock is off, `read-only` when the disk is full.
   */
  stamp(): Hlc | undefined {
    if (!this.#witnesses.bearOutLocal()) {
      const why = this.#witnesses.localIsAhead() ? 'is too far ahead' : 'has not been compared with another yet'
      throw new KvError('unavailable', `the clock of this node ${why}`, { outcome: 'not-applied' })
    }
    const stamp = this.#hybrid.now()
    this.#used = true
    if (hlcMs(stamp) <= this.#ceilingMs) return stamp
    if (this.#full) throw new KvError('read-only', 'the disk is full', { outcome: 'not-applied' })
    this.#raiseInBackground()
    return undefined
  }

  /**
   * Calls `retry` once, when the ceiling has been raised or cannot be; not any more after `close`, nor after the function
   * that is returned was called.
   */
  whenRaised(retry: () => void): () => void {
    // An entry of its own, also for one that waits twice.
    const waiter = (): void => retry()
    this.#waiters.add(waiter)
    return () => void this.#waiters.delete(waiter)
  }

  /** How many wait for the ceiling. */
  get waiting(): number {
    return this.#waiters.size
  }

  /** Merges another's reading. Throws ClockDriftError, and changes nothing, when it is too far ahead. */
  observe(remote: Hlc): void {
    this.#hybrid.observe(remote)
  }

  /** Makes every later stamp higher, whatever the wall says: this node has promised others that they will be. */
  raiseAbove(hlc: Hlc): void {
    this.#hybrid.raiseAbove(hlc)
  }

  /** Leaves the last stamp as the ceiling, so that the next start is not ahead of the wall. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#raising
    const lastMs = hlcMs(this.#hybrid.current())
    if (lastMs >= this.#ceilingMs) return
    try {
      await writeDocument(this.#disk, documentName, encoded(lastMs))
    } catch (error) {
      // The higher ceiling stays: it is right as well.
      this.#log.warn('the clock ceiling was not lowered', { cause: String(error) })
    }
  }

  #watch(): void {
    this.#timer = this.#clock.setTimer(ceilingCheckMs, () => {
      if (this.#closed) return
      const low = this.#ceilingMs - hlcMs(this.#hybrid.current()) < ceilingLeadMs / 2
      const heal = this.#full && this.#clock.monotonicMs() >= this.#healAtMs
      if (heal || (!this.#full && this.#used && low && this.#witnesses.bearOutLocal())) this.#raiseInBackground()
      this.#used = false
      this.#watch()
    })
  }

  #raiseInBackground(): void {
    if (this.#raising !== undefined || this.#closed) return
    // Only ever after a stamp was wanted, so the reading is at least the wall of a moment ago, and the wall is trusted.
    const lastMs = hlcMs(this.#hybrid.current())
    const ceilingMs = Math.max(lastMs + ceilingStepMs, Math.min(this.#clock.wallMs(), lastMs) + ceilingLeadMs)
    this.#raising = writeDocument(this.#disk, documentName, encoded(ceilingMs)).then(
      () => {
        if (this.#full) this.#log.info('the disk has room again for the clock ceiling')
        this.#full = false
        this.#ceilingMs = Math.max(this.#ceilingMs, ceilingMs)
        this.#raised()
      },
      (error: unknown) => this.#failed(error),
    )
  }

  #failed(error: unknown): void {
    if (error instanceof DiskError && error.code === 'full') {
      if (!this.#full) this.#log.error('the disk is full: no stamps until there is room', { cause: error.message })
      this.#full = true
      this.#healAtMs = this.#clock.monotonicMs() + limits.logHealIntervalMs
      this.#raised()
      return
    }
    this.#closed = true
    this.#raising = undefined
    this.#log.error('the clock ceiling could not be made durable', { cause: String(error) })
    if (error instanceof DiskError) this.#onFatal(new FatalError('disk-failed', error.message, error))
    else this.#onFatal(error instanceof Error ? error : new Error(String(error)))
  }

  #raised(): void {
    // Before the waiters: one of them may find that it was not enough.
    this.#raising = undefined
    if (this.#closed) return
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const retry of waiters) retry()
  }
}

/**
 * The ceiling, in Unix milliseconds, that was written last; 0: none was. Throws FatalError `corrupt` where the document is
 * none, and DiskErrors.
 */
export async function readCeiling(disk: Disk): Promise<number> {
  return (await readDocumentAs(disk, documentName, decoded)) ?? 0
}

function decoded(bytes: Uint8Array): number {
  if (bytes.length !== 8) throw new RangeError(`${bytes.length} bytes, where a ceiling has 8`)
  const ceilingMs = new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true)
  if (!(ceilingMs >= 0 && ceilingMs <= hlcMsMax)) throw new RangeError(`a ceiling at ${ceilingMs} ms`)
  return ceilingMs
}

function encoded(ceilingMs: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setFloat64(0, ceilingMs, true)
  return bytes
}

import type { Clock, Disk, Log, Timer } from '../env/index.js'
import { compareHlc, type Hlc, HybridClock, hlcMs, hlcOf } from '../hlc/index.js'
import { readDocument, writeDocument } from '../store/index.js'

const documentName = 'clock'
/** How far the ceiling is raised ahead of the clock. After a restart the clock may run ahead of the wall by this. */
const ceilingLeadMs = 3_000
/** How often the ceiling is looked at; it is raised when less than half of the lead is left. */
const ceilingCheckMs = 500

export interface StampingClockOptions {
  readonly clock: Clock
  readonly disk: Disk
  readonly log: Log
  readonly maxDriftMs: number
  /** The highest stamp in this node's own store. */
  readonly startAbove: Hlc
  /** The ceiling could not be made durable. Called at most once. */
  readonly onFatal: (error: Error) => void
}

/**
 * The node's hybrid clock with a ceiling on disk: no stamp is given above the ceiling, and after a restart the clock
 * starts above it. So a node whose wall clock was set back while it was down gives no stamp twice, not even for keys
 * of which it holds no copy itself.
 */
export class StampingClock {
  readonly #clock: Clock
  readonly #disk: Disk
  readonly #log: Log
  readonly #hybrid: HybridClock
  readonly #onFatal: (error: Error) => void
  #ceilingMs: number
  #raising: Promise<void> | undefined
  /** As many as operations are admitted at most. */
  #waiters: (() => void)[] = []
  #timer: Timer | undefined
  #closed = false

  /** Reads the ceiling, starts above it and makes a new one durable. Throws DiskError, or FatalError `corrupt`. */
  static async open(options: StampingClockOptions): Promise<StampingClock> {
    const bytes = await readDocument(options.disk, documentName)
    const ceilingMs = bytes === undefined ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true)
    const clock = new StampingClock(options, ceilingMs)
    await clock.#raise()
    clock.#watch()
    return clock
  }

  private constructor(options: StampingClockOptions, ceilingMs: number) {
    this.#clock = options.clock
    this.#disk = options.disk
    this.#log = options.log
    this.#onFatal = options.onFatal
    this.#ceilingMs = ceilingMs
    const ceiling = hlcOf(ceilingMs, 0xffff)
    const startAbove = compareHlc(options.startAbove, ceiling) > 0 ? options.startAbove : ceiling
    this.#hybrid = new HybridClock(options.clock, options.maxDriftMs, startAbove)
    const aheadMs = hlcMs(startAbove) - options.clock.wallMs()
    if (aheadMs > options.maxDriftMs) {
      options.log.warn('the wall clock is behind stamps that this node gave or stored before', { aheadMs })
    }
  }

  /** The last reading, without moving the clock. */
  current(): Hlc {
    return this.#hybrid.current()
  }

  /** A fresh stamp, or undefined while the ceiling is not durable above it: then wait with `whenRaised`. */
  stamp(): Hlc | undefined {
    const stamp = this.#hybrid.now()
    if (hlcMs(stamp) <= this.#ceilingMs) return stamp
    this.#raiseInBackground()
    return undefined
  }

  /** Calls `retry` once, when the ceiling has been raised. Not called any more after `close`. */
  whenRaised(retry: () => void): void {
    this.#waiters.push(retry)
  }

  /** Merges another's reading. Throws ClockDriftError, and changes nothing, when it is too far ahead. */
  observe(remote: Hlc): void {
    this.#hybrid.observe(remote)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#raising
  }

  #watch(): void {
    this.#timer = this.#clock.setTimer(ceilingCheckMs, () => {
      if (this.#closed) return
      if (this.#nextCeilingMs() > this.#ceilingMs + ceilingLeadMs / 2) this.#raiseInBackground()
      this.#watch()
    })
  }

  #nextCeilingMs(): number {
    return Math.max(this.#clock.wallMs(), hlcMs(this.#hybrid.current())) + ceilingLeadMs
  }

  #raiseInBackground(): void {
    if (this.#raising !== undefined || this.#closed) return
    this.#raise().catch((error: unknown) => {
      this.#closed = true
      this.#log.error('the clock ceiling could not be made durable', { error: String(error) })
      this.#onFatal(error instanceof Error ? error : new Error(String(error)))
    })
  }

  #raise(): Promise<void> {
    const ceilingMs = this.#nextCeilingMs()
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, ceilingMs, true)
    const raising = writeDocument(this.#disk, documentName, bytes)
      .then(() => {
        this.#ceilingMs = Math.max(this.#ceilingMs, ceilingMs)
        for (const retry of this.#waiters.splice(0)) retry()
      })
      .finally(() => {
        this.#raising = undefined
      })
    this.#raising = raising
    return raising
  }
}

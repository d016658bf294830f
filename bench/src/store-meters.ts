import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { build, type Histogram } from 'hdr-histogram-js'

/** Latencies in microseconds. */
export interface LatencySummary {
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

/** Latencies, taken in milliseconds and kept in nanoseconds to three digits. */
export class LatencyMeter {
  readonly #histogram: Histogram = build({ numberOfSignificantValueDigits: 3 })

  /** Counts `count` operations that all took `ms`. */
  record(ms: number, count = 1): void {
    this.#histogram.recordValueWithCount(Math.round(ms * 1e6), count)
  }

  /** Undefined: nothing was recorded. */
  get summary(): LatencySummary | undefined {
    const histogram = this.#histogram
    if (histogram.totalCount === 0) return undefined
    const max = histogram.maxValue
    // A quantile is told as the upper end of its bucket, which can lie above the largest value that there was.
    const quantile = (percent: number): number => Math.min(histogram.getValueAtPercentile(percent), max) / 1000
    return { p50: quantile(50), p95: quantile(95), p99: quantile(99), max: max / 1000 }
  }
}

/** The longest time between two operations that ended one after the other. */
export class GapMeter {
  #last: number
  #longestMs = 0

  constructor(startMs: number) {
    this.#last = startMs
  }

  get longestMs(): number {
    return this.#longestMs
  }

  /** An operation has ended at `nowMs`. */
  mark(nowMs: number): void {
    if (nowMs - this.#last > this.#longestMs) this.#longestMs = nowMs - this.#last
    this.#last = nowMs
  }
}

/** Counts operations by the stretch of time in which they ended. */
export class WindowCounter {
  readonly #startMs: number
  readonly #windowMs: number
  readonly #counts: number[]

  /** `windows` stretches of `windowMs` each, the first from `startMs`. */
  constructor(startMs: number, windowMs: number, windows: number) {
    this.#startMs = startMs
    this.#windowMs = windowMs
    this.#counts = new Array<number>(windows).fill(0)
  }

  /** What ends after the last window is in none. */
  add(nowMs: number, count: number): void {
    const window = Math.floor((nowMs - this.#startMs) / this.#windowMs)
    if (window < this.#counts.length) this.#counts[window]! += count
  }

  /** Of each window. */
  get perSecond(): number[] {
    return this.#counts.map((count) => (count / this.#windowMs) * 1000)
  }
}

const resolutionMs = 1

/** How late the event loop came to a timer: what a heartbeat or a request would have had to wait. */
export class LoopStallMeter {
  readonly #monitor: IntervalHistogram = monitorEventLoopDelay({ resolution: resolutionMs })

  private constructor() {
    this.#monitor.enable()
  }

  /** Resolves when it sees: Node's timer only counts from its first call on. */
  static async start(): Promise<LoopStallMeter> {
    const meter = new LoopStallMeter()
    await delay(2 * resolutionMs)
    meter.#monitor.reset()
    return meter
  }

  /** The longest delay in milliseconds since the start. */
  async stop(): Promise<number> {
    // The last stall is counted when the loop comes to the timer behind it.
    await delay(2 * resolutionMs)
    this.#monitor.disable()
    // Node tells the time between two calls of the timer, which holds the time that it was set to.
    return Math.max(0, this.#monitor.max / 1e6 - resolutionMs)
  }
}

/** The middle one, and the lowest and highest. `values` must not be empty. */
export function spread(values: readonly number[]): { median: number; min: number; max: number } {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted[sorted.length >> 1]!
  const lower = sorted[(sorted.length - 1) >> 1]!
  return { median: (lower + upper) / 2, min: sorted[0]!, max: sorted.at(-1)! }
}

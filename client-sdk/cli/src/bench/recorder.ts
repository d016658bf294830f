import { build, type Histogram } from 'hdr-histogram-js'
import type { OperationKind } from './target.js'

/** What happened in one stretch of time. Latencies in microseconds, of what succeeded; 0 where nothing did. */
export interface Interval {
  /** When it ended, counted from the start of the measurement. */
  readonly endSeconds: number
  readonly seconds: number
  readonly operations: number
  readonly errors: number
  readonly p50Us: number
  readonly p99Us: number
  readonly maxUs: number
}

type ByKind = Record<OperationKind, Histogram>

/** Three digits: a value is off by a thousandth at most. */
function newHistogram(): Histogram {
  return build({ numberOfSignificantValueDigits: 3 })
}

function newHistograms(): ByKind {
  return {
    read: newHistogram(),
    update: newHistogram(),
    insert: newHistogram(),
    scan: newHistogram(),
    readModifyWrite: newHistogram(),
  }
}

/**
 * Latencies of operations, by kind and by interval. Each is recorded once, in the histogram of the interval that runs;
 * when that ends it is added to the histogram of the whole: a second recording would cost as much as the clock.
 */
export class Recorder {
  readonly #current: ByKind = newHistograms()
  readonly #ended: ByKind = newHistograms()
  readonly #ofInterval: Histogram = newHistogram()
  readonly #intervals: Interval[] = []
  readonly #startMs: number
  #rolledMs: number
  #operations = 0
  #rolledErrors = 0

  /** @param startMs - when the measurement begins, on the clock of `roll` */
  constructor(startMs: number) {
    this.#startMs = startMs
    this.#rolledMs = startMs
  }

  /** Operations that succeeded. */
  get operations(): number {
    return this.#operations
  }

  get intervals(): readonly Interval[] {
    return this.#intervals
  }

  record(kind: OperationKind, ms: number): void {
    this.#operations++
    this.#current[kind].recordValue(Math.round(ms * 1000))
  }

  /** The interval that runs ends now. `errors`: how many there have been since the start. */
  roll(nowMs: number, errors: number): void {
    const all = this.#ofInterval
    for (const [kind, current] of Object.entries(this.#current) as [OperationKind, Histogram][]) {
      if (current.totalCount === 0) continue
      this.#ended[kind].add(current)
      all.add(current)
      current.reset()
    }
    if (nowMs <= this.#rolledMs && all.totalCount === 0) return
    this.#intervals.push({
      endSeconds: (nowMs - this.#startMs) / 1000,
      seconds: (nowMs - this.#rolledMs) / 1000,
      operations: all.totalCount,
      errors: errors - this.#rolledErrors,
      p50Us: quantile(all, 50),
      p99Us: quantile(all, 99),
      maxUs: all.maxValue,
    })
    all.reset()
    this.#rolledMs = nowMs
    this.#rolledErrors = errors
  }

  /** What was recorded up to the last `roll`, of one kind. */
  latencies(kind: OperationKind): Histogram {
    return this.#ended[kind]
  }
}

/** A quantile is told as the upper end of its bucket, which can lie above the largest value that there was. */
export function quantile(histogram: Histogram, percent: number): number {
  return histogram.totalCount === 0 ? 0 : Math.min(histogram.getValueAtPercentile(percent), histogram.maxValue)
}

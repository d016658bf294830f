import { PerformanceObserver } from 'node:perf_hooks'
import { LatencyHistogram, type LatencySummary, limits } from '@quorumkv/internal/base'
import type { Clock } from '@quorumkv/internal/env'

/** How often a timer is set to see how late it fires. Enough samples for a percentile, at a thousandth of a processor. */
const sampleIntervalMs = 20

/** What a process says of itself. Everything but the counts of calls is of the whole process, however many nodes are in it. */
export interface ProcessReading {
  readonly rssBytes: number
  readonly heapUsedBytes: number
  readonly heapTotalBytes: number
  readonly externalBytes: number
  /** Processor seconds used since the process began. */
  readonly cpuSeconds: number
  /** Processors used over the last ten to twenty seconds. */
  readonly cpu: number
  /** How much later than due a timer fires, in the last ten to twenty seconds. */
  readonly eventLoopDelay: LatencySummary
  /** Spent in collecting garbage since the meter was started. */
  readonly gcMs: number
}

interface CpuMark {
  readonly atMs: number
  readonly usedUs: number
}

/**
 * Watches the process: how late its event loop runs, what it uses, how long it collects garbage. The timer does not keep the
 * process alive. (Not `monitorEventLoopDelay`: its values contain its own interval, and its window cannot be moved.)
 */
export class ProcessMeter {
  readonly eventLoopDelay: LatencyHistogram = new LatencyHistogram()
  readonly #clock: Clock
  readonly #timer: NodeJS.Timeout
  readonly #observer: PerformanceObserver
  #gcMs = 0
  #firedMs: number
  /** Where the windows of processor time begin: the one before, and the present one. */
  #past: CpuMark
  #present: CpuMark

  /** Begins to watch. */
  constructor(clock: Clock) {
    this.#clock = clock
    this.#firedMs = clock.monotonicMs()
    this.#present = this.#mark()
    this.#past = this.#present
    this.#timer = setInterval(() => this.#sample(), sampleIntervalMs).unref()
    this.#observer = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) this.#gcMs += duration
    })
    this.#observer.observe({ entryTypes: ['gc'] })
  }

  read(): ProcessReading {
    const { rss, heapUsed, heapTotal, external } = process.memoryUsage()
    const { atMs, usedUs } = this.#mark()
    const sinceMs = atMs - this.#past.atMs
    return {
      rssBytes: rss,
      heapUsedBytes: heapUsed,
      heapTotalBytes: heapTotal,
      externalBytes: external,
      cpuSeconds: usedUs / 1e6,
      cpu: sinceMs > 0 ? (usedUs - this.#past.usedUs) / 1_000 / sinceMs : 0,
      eventLoopDelay: this.eventLoopDelay.summary(atMs),
      gcMs: this.#gcMs,
    }
  }

  /** Idempotent. */
  stop(): void {
    clearInterval(this.#timer)
    this.#observer.disconnect()
  }

  #sample(): void {
    const nowMs = this.#clock.monotonicMs()
    this.eventLoopDelay.record(this.#firedMs + sampleIntervalMs, nowMs)
    this.#firedMs = nowMs
    if (nowMs - this.#present.atMs < limits.latencyWindowMs) return
    this.#past = this.#present
    this.#present = this.#mark()
  }

  #mark(): CpuMark {
    const { user, system } = process.cpuUsage()
    return { atMs: this.#clock.monotonicMs(), usedUs: user + system }
  }
}

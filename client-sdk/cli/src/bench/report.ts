import { encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js'
import type { DistributionName } from './distribution.js'
import type { Environment } from './environment.js'
import type { ErrorTally } from './error-tally.js'
import { type Interval, quantile, type Recorder } from './recorder.js'
import type { Loop } from './settings.js'
import { type OperationKind, operationKinds } from './target.js'
import type { Usage } from './usage.js'
import type { Mix } from './workload.js'

/** One kind of operation in one phase. Latencies are in microseconds, to three digits, of what succeeded. */
export interface KindSummary {
  readonly operations: number
  readonly opsPerSecond: number
  readonly minUs: number
  readonly meanUs: number
  readonly p50Us: number
  readonly p95Us: number
  readonly p99Us: number
  readonly p999Us: number
  readonly maxUs: number
  /** `[percent, µs]`, ever closer to 100: what a curve is drawn from. */
  readonly curve: readonly (readonly [percent: number, us: number])[]
  /** The whole histogram, in HdrHistogram's compressed form (V2, base64): to be merged with others, or read by its tools. */
  readonly hdr: string
}

export type KindSummaries = Readonly<Partial<Record<OperationKind, KindSummary>>>

export interface ErrorSummary {
  readonly count: number
  readonly byCode: Readonly<Record<string, number>>
  /** Some of them, word for word. */
  readonly examples: readonly string[]
}

/** What an open loop did with what was due. */
export interface OpenLoopSummary {
  readonly due: number
  /** Of these, how many never started: too many waited before them, or the time was over. */
  readonly notStarted: number
  /** The most that waited at a time for one of the lanes. */
  readonly backlogMost: number
  /** Latencies from the actual start: without the time in which an operation was due and waited in the generator. */
  readonly service: KindSummaries
}

/** What one workload did. */
export interface PhaseReport {
  /** `load`, or the workload's name. */
  readonly name: string
  /** Which of the runs of all phases, from 1; left out where there was one for all of them: of the load. */
  readonly run?: number
  readonly mix: Mix
  readonly distribution: DistributionName
  readonly loop: Loop
  readonly clients: number
  /** At a time, of each client. */
  readonly inFlight: number
  readonly warmUpSeconds: number
  /** From the first operation's start to the last one's end, of an open loop to the end of its time at least: a stall at the end counts. */
  readonly seconds: number
  /** That succeeded. */
  readonly operations: number
  readonly opsPerSecond: number
  /** From when the operation was due in an open loop, from when it was started in a closed one. */
  readonly latency: KindSummaries
  /** Of an open loop. */
  readonly open?: OpenLoopSummary
  /** Those of the warm-up included. */
  readonly errors: ErrorSummary
  /** Superseded values that were read where that is no error; those of the warm-up included. */
  readonly staleReads: number
  readonly intervals: readonly Interval[]
  /** CPU time during the phase, memory at its end. */
  readonly usage: Usage
}

/** What was measured, and on what. The JSON form of a run; `formatVersion` changes when a reader would have to. */
export interface BenchReport {
  readonly tool: 'kv bench'
  readonly formatVersion: 1
  readonly startedAt: string
  readonly environment: Environment
  readonly target: { readonly name: string; readonly settings: Readonly<Record<string, string>> }
  readonly data: {
    readonly keys: number
    readonly keyBytes: number
    readonly valueBytes: number
    readonly verified: boolean
    readonly seed: string
  }
  readonly phases: readonly PhaseReport[]
  /** A signal ended it before its time. */
  readonly interrupted: boolean
  /** No operation failed, and all that was read was right. */
  readonly ok: boolean
}

/** Where the curve is read: half of what is left to 100 % at a time, as HdrHistogram's own plots have it, and four points in each half. */
function curvePercents(operations: number): number[] {
  const percents: number[] = [0]
  for (let left = 100; 100 / left <= operations * 2; left /= 2) {
    for (let step = 1; step <= 4; step++) percents.push(100 - left + (left / 2) * (step / 4))
  }
  percents.push(100)
  return percents
}

function summarise(histogram: Histogram, seconds: number): KindSummary {
  const at = (percent: number): number => quantile(histogram, percent)
  return {
    operations: histogram.totalCount,
    opsPerSecond: seconds > 0 ? histogram.totalCount / seconds : 0,
    minUs: at(0),
    meanUs: histogram.mean,
    p50Us: at(50),
    p95Us: at(95),
    p99Us: at(99),
    p999Us: at(99.9),
    maxUs: histogram.maxValue,
    curve: curvePercents(histogram.totalCount).map((percent) => [percent, at(percent)]),
    hdr: encodeIntoCompressedBase64(histogram),
  }
}

/** The kinds that occurred. */
export function summaries(recorder: Recorder, seconds: number): KindSummaries {
  const found: Partial<Record<OperationKind, KindSummary>> = {}
  for (const kind of operationKinds) {
    const histogram = recorder.latencies(kind)
    if (histogram.totalCount > 0) found[kind] = summarise(histogram, seconds)
  }
  return found
}

export function errorSummary({ count, byCode, examples }: ErrorTally): ErrorSummary {
  return { count, byCode: Object.fromEntries(byCode), examples: [...examples] }
}

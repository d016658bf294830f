import type { KindSummaries, PhaseReport } from '@quorumkv/cli/bench'
import type { Expectation } from '../expectation.js'
import { lateGrowth, type Sample } from '../sampler.js'
import { formatFigure } from '../store-format.js'
import type { FloodReport } from './flood.js'

/** A time in which a flood and clients that are measured ask at once. */
export interface FloodedPhase {
  readonly flood: FloodReport
  /** An open loop at a small share of the peak. */
  readonly measured: PhaseReport
}

/** What a run that overloads a cluster found. */
export interface OverloadFacts {
  /** The flood alone, with a fixed number of operations at a time. */
  readonly peak: FloodReport
  /** The clients that are measured, alone. */
  readonly unloaded: PhaseReport
  /** More than the peak. */
  readonly overload: FloodedPhase
  /** Half of it, at once after the overload. */
  readonly after: FloodedPhase
  /** How long the overload was to last, in seconds; what it took beyond that was the end of what had been admitted. */
  readonly overloadSeconds: number
  /** Of the servers during the overload. */
  readonly samples: readonly Sample[]
  /** How long the operation took that took longest to fail during the overload, in ms, as far as that was measured. */
  readonly slowestErrorMs: number
  /** What an operation may take, in ms. */
  readonly deadlineMs: number
}

/** How much longer than its deadline an operation may seem to take, as timers are late in a process that is busy. */
const timerSlackMs = 250
const p99FactorMax = 5
const peakShareMin = 0.9
const recoverySeconds = 2
const wellInARow = 3
const memoryGrowthMax = 1.1
const wrongAnswers = ['wrong-value', 'stale-value', 'missing-value']

/** The worst of reads and writes. */
function p99Us(kinds: KindSummaries): number {
  return Math.max(0, ...Object.values(kinds).map((kind) => kind.p99Us))
}

function countOf({ errors }: PhaseReport, codes: readonly string[]): number {
  return codes.reduce((sum, code) => sum + (errors.byCode[code] ?? 0), 0)
}

/** Operations a second of all who asked. */
export function throughputOf({ flood, measured }: FloodedPhase): number {
  return flood.done / flood.seconds + measured.opsPerSecond
}

/** Of the flood and of those that are measured, by code. */
export function errorsOf({ flood, measured }: FloodedPhase): Readonly<Record<string, number>> {
  const byCode: Record<string, number> = { ...flood.failed }
  const add = (code: string, count: number): void => {
    if (count > 0) byCode[code] = (byCode[code] ?? 0) + count
  }
  add('overloaded', flood.refusedHere + flood.refusedByNode)
  for (const [code, count] of Object.entries(measured.errors.byCode)) add(code, count)
  return byCode
}

/** When what was unwell had ended, by whole pieces of the time: before the first `wellInARow` that were well; 0: none was unwell. */
function unwellUntil(pieces: readonly { readonly endSeconds: number; readonly isWell: boolean }[]): number {
  let well = 0
  let until = 0
  for (const { isWell, endSeconds } of pieces) {
    if (well === wellInARow) break
    well = isWell ? well + 1 : 0
    if (!isWell) until = endSeconds
  }
  return until
}

/**
 * How long after the overload errors or slow operations still occurred, in seconds; 0: not at all. Errors of those that are
 * measured count whenever they come. Slowness, and what the flood's clients refuse, count up to the first `wellInARow`
 * pieces of the time without them: a flush that takes 15 ms, seconds after everything was well, fills clients that accept
 * 256 operations at a time, and is not of the overload.
 */
export function recoveredAfter({ flood, measured }: FloodedPhase, p99UsMax: number): number {
  const slow = measured.intervals.map(({ p99Us: each, endSeconds }) => ({ endSeconds, isWell: each <= p99UsMax }))
  const refused = flood.intervals.map(({ failed, endSeconds }) => ({ endSeconds, isWell: failed === 0 }))
  const failed = measured.intervals.filter(({ errors }) => errors > 0).map(({ endSeconds }) => endSeconds)
  return Math.max(unwellUntil(slow), unwellUntil(refused), ...failed)
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}

/** Holds what was found against what the store is to keep when it is asked for more than it can do. */
export function judgeOverload(facts: OverloadFacts): Expectation[] {
  const { peak, unloaded, overload, after, samples, slowestErrorMs, deadlineMs } = facts
  const wrong = [unloaded, overload.measured, after.measured].reduce(
    (sum, each) => sum + countOf(each, wrongAnswers),
    0,
  )
  const errors = errorsOf(overload)
  const failed = sumOf(errors)
  const untold = failed - (errors['overloaded'] ?? 0)
  const unloadedP99 = p99Us(unloaded.open?.service ?? unloaded.latency)
  const admittedP99 = p99Us(overload.measured.open?.service ?? overload.measured.latency)
  const throughput = throughputOf(overload)
  const share = throughput / (peak.done / peak.seconds)
  const growth = lateGrowth(samples.map(({ residentBytes }) => residentBytes))
  // What was in flight had its time to end before what came after was measured: that is part of the recovery.
  const drained = Math.max(0, Math.max(overload.measured.seconds, overload.flood.seconds) - facts.overloadSeconds)
  const recovered = drained + recoveredAfter(after, p99FactorMax * unloadedP99)
  const ms = (us: number): string => `${formatFigure(us / 1000)} ms`
  return [
    { what: 'wrong or stale answers', found: String(wrong), bound: 'none', met: wrong === 0 },
    {
      what: 'operations that failed, and not as overloaded',
      found: `${formatFigure(untold)} of ${formatFigure(failed)}`,
      bound: 'none',
      met: untold === 0,
    },
    {
      what: 'longest until an operation had failed',
      found: `${formatFigure(slowestErrorMs)} ms`,
      bound: `the deadline, ${formatFigure(deadlineMs)} ms`,
      met: slowestErrorMs <= deadlineMs + timerSlackMs,
    },
    {
      what: 'p99 of what was admitted',
      found: ms(admittedP99),
      bound: `${p99FactorMax} × ${ms(unloadedP99)} unloaded`,
      met: admittedP99 <= p99FactorMax * unloadedP99,
    },
    {
      what: 'throughput',
      found: `${formatFigure(Math.round(throughput))}/s, ${formatFigure(share)} of the peak`,
      bound: `at least ${peakShareMin}`,
      met: share >= peakShareMin,
    },
    {
      what: 'memory of the nodes, last third over the one before',
      found: formatFigure(growth),
      bound: `at most ${memoryGrowthMax}`,
      met: growth <= memoryGrowthMax,
    },
    {
      what: 'seconds until errors and slow operations had ended',
      found: formatFigure(recovered),
      bound: `at most ${recoverySeconds}`,
      met: recovered <= recoverySeconds,
    },
  ]
}

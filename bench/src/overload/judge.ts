import type { KindSummaries, PhaseReport } from '@quorumkv/cli/bench'
import type { Expectation } from '../expectation.js'
import { lateGrowth, type Sample } from '../sampler.js'
import { formatFigure } from '../store-format.js'

/** What a run that overloads a cluster found. */
export interface OverloadFacts {
  /** Operations a second that a closed loop did. */
  readonly peak: PhaseReport
  /** An open loop at a small share of that. */
  readonly unloaded: PhaseReport
  /** An open loop at more than that. */
  readonly overload: PhaseReport
  /** An open loop at half of it, at once after the overload. */
  readonly after: PhaseReport
  /** How long the overload was to last, in seconds; what it took beyond that was the end of what had been admitted. */
  readonly overloadSeconds: number
  /** Of the servers during the overload. */
  readonly samples: readonly Sample[]
  /** How long the operation took that took longest to fail during the overload, in ms. */
  readonly slowestErrorMs: number
  /** What an operation may take, in ms. */
  readonly deadlineMs: number
}

/** How much longer than its deadline an operation may seem to take, as timers are late in a process that is busy. */
const timerSlackMs = 250
const p99FactorMax = 5
const peakShareMin = 0.9
const recoverySeconds = 2
const memoryGrowthMax = 1.1
const wrongAnswers = ['wrong-value', 'stale-value', 'missing-value']

/** The worst of reads and writes. */
function p99Us(kinds: KindSummaries): number {
  return Math.max(0, ...Object.values(kinds).map((kind) => kind.p99Us))
}

function countOf({ errors }: PhaseReport, codes: readonly string[]): number {
  return codes.reduce((sum, code) => sum + (errors.byCode[code] ?? 0), 0)
}

/** How long after the overload errors and slow operations still occurred, in seconds; 0: not at all. */
export function recoveredAfter(after: PhaseReport, p99UsMax: number): number {
  const unwell = after.intervals.filter(({ errors, p99Us: slow }) => errors > 0 || slow > p99UsMax)
  return unwell.at(-1)?.endSeconds ?? 0
}

/** Holds what was found against what the store is to keep when it is asked for more than it can do. */
export function judgeOverload(facts: OverloadFacts): Expectation[] {
  const { peak, unloaded, overload, after, samples, slowestErrorMs, deadlineMs } = facts
  const all = [peak, unloaded, overload, after]
  const wrong = all.reduce((sum, phase) => sum + countOf(phase, wrongAnswers), 0)
  const untold = overload.errors.count - countOf(overload, ['overloaded'])
  const unloadedP99 = p99Us(unloaded.open?.service ?? unloaded.latency)
  const admittedP99 = p99Us(overload.open?.service ?? overload.latency)
  const share = overload.opsPerSecond / peak.opsPerSecond
  const growth = lateGrowth(samples.map(({ residentBytes }) => residentBytes))
  // What was in flight had its time to end before what came after was measured: that is part of the recovery.
  const drained = Math.max(0, overload.seconds - facts.overloadSeconds)
  const recovered = drained + recoveredAfter(after, p99FactorMax * unloadedP99)
  const ms = (us: number): string => `${formatFigure(us / 1000)} ms`
  return [
    { what: 'wrong or stale answers', found: String(wrong), bound: 'none', met: wrong === 0 },
    {
      what: 'operations that failed, and not as overloaded',
      found: `${formatFigure(untold)} of ${formatFigure(overload.errors.count)}`,
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
      found: `${formatFigure(Math.round(overload.opsPerSecond))}/s, ${formatFigure(share)} of the peak`,
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

import { setMaxListeners } from 'node:events'
import { type Environment, readEnvironment } from '@quorumkv/cli/bench'
import { Bench } from 'tinybench'
import { type MicroCase, type MicroGroup, microCases } from './cases.js'

/** What `micro` was asked to do. */
export interface MicroSettings {
  readonly groups: readonly MicroGroup[]
  /** Of each case, after a warm-up of a quarter of it. */
  readonly milliseconds: number
  readonly json: boolean
  readonly record: boolean
}

/** How long one operation of a case takes, in nanoseconds. */
export interface MicroResult {
  readonly group: MicroGroup
  readonly name: string
  /** Median, and 99th percentile, of the averages that each run of so many operations gave. */
  readonly p50Ns: number
  readonly p99Ns: number
  /** By the median. */
  readonly perSecond: number
  /** Half the width of the mean's 95 % confidence interval, in percent of the mean. */
  readonly marginPercent: number
  readonly runs: number
}

/** What was measured, and on what. */
export interface MicroReport {
  readonly benchmark: 'micro'
  readonly startedAt: string
  readonly environment: Environment
  readonly results: readonly MicroResult[]
}

/**
 * Measures cases with tinybench, one after the other in this process. Rejects with the reason of `signal`, or where a
 * case throws.
 */
export async function measureCases(
  cases: readonly MicroCase[],
  milliseconds: number,
  signal: AbortSignal,
): Promise<MicroResult[]> {
  let sum = 0
  // tinybench listens once for each case.
  const interrupted = AbortSignal.any([signal])
  setMaxListeners(cases.length + 1, interrupted)
  const bench = new Bench({
    time: milliseconds,
    warmupTime: milliseconds / 4,
    iterations: 10,
    warmupIterations: 2,
    throws: true,
    signal: interrupted,
  })
  for (const [i, { run }] of cases.entries()) {
    bench.add(String(i), () => {
      sum += run()
    })
  }
  const tasks = await bench.run()
  signal.throwIfAborted()
  if (Number.isNaN(sum)) throw new Error('a case has no number to show for what it did')
  return cases.map(({ group, name, operations }, i) => {
    const { result } = tasks[i]!
    if (!('latency' in result)) throw new Error(`${group}: ${name} was not measured: ${result.state}`)
    const { p50, p99, rme, samplesCount } = result.latency
    const p50Ns = (p50 / operations) * 1e6
    const p99Ns = (p99 / operations) * 1e6
    return { group, name, p50Ns, p99Ns, perSecond: 1e9 / p50Ns, marginPercent: rme, runs: samplesCount }
  })
}

/** Measures the groups that were asked for. Rejects as measureCases does. */
export async function runMicroBenchmark(settings: MicroSettings, signal: AbortSignal): Promise<MicroReport> {
  const startedAt = new Date().toISOString()
  const environment = await readEnvironment()
  const results = await measureCases(microCases(settings.groups), settings.milliseconds, signal)
  return { benchmark: 'micro', startedAt, environment, results }
}

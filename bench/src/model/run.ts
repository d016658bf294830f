import { BenchSession, type Environment, fileSystemOf, type PhaseReport, readEnvironment } from '@quorumkv/cli/bench'
import { build, decodeFromCompressedBase64, type Histogram } from 'hdr-histogram-js'
import { type Fsync, startCluster } from '../cluster.js'
import { limits } from '../limits.js'
import { kvTargetOf, loadAll, measureClosed } from '../local-kv.js'
import type { ServerGroup } from '../server-group.js'
import { type Spread, spreadOf } from '../spread.js'
import { type ModelSuite, modelKeys, modelSuites } from './suites.js'

/** What `model` was asked to do. */
export interface ModelSettings {
  /** Of the nodes; each of these in turn. */
  readonly fsync: readonly Fsync[]
  readonly rounds: number
  /** Of each suite in each round. */
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly seed: string
  /** Where the nodes' data directories are made. */
  readonly dataDir: string
  readonly json: boolean
  readonly record: boolean
}

/** What a suite came to under one policy of flushing. */
export interface ModelResult {
  readonly suite: ModelSuite
  readonly fsync: Fsync
  readonly opsPerSecond: Spread
  /** Of all operations; of each round's figure the median. */
  readonly meanUs: Spread
  readonly p50Us: number
  readonly p99Us: number
  readonly errors: number
}

/** What was measured, and on what. */
export interface ModelReport {
  readonly benchmark: 'model'
  readonly startedAt: string
  readonly environment: Environment
  readonly fileSystem: string
  readonly keys: number
  readonly rounds: number
  readonly secondsPerRound: number
  readonly results: readonly ModelResult[]
  readonly errorExamples: readonly string[]
  /** No operation failed, and all that was read was right. */
  readonly ok: boolean
}

/** All kinds of operation in one histogram: a percentile of all follows from no percentiles of the kinds. */
function merged({ latency }: PhaseReport): Histogram {
  const all = build({ numberOfSignificantValueDigits: 3 })
  for (const { hdr } of Object.values(latency)) all.add(decodeFromCompressedBase64(hdr))
  return all
}

/** Sums the rounds of a suite up. */
export function resultOf(suite: ModelSuite, fsync: Fsync, rounds: readonly PhaseReport[]): ModelResult {
  const latencies = rounds.map(merged)
  const of = (figure: (histogram: Histogram) => number): Spread => spreadOf(latencies.map(figure))
  return {
    suite,
    fsync,
    opsPerSecond: spreadOf(rounds.map(({ opsPerSecond }) => opsPerSecond)),
    meanUs: of(({ mean }) => mean),
    p50Us: of((histogram) => histogram.getValueAtPercentile(50)).median,
    p99Us: of((histogram) => histogram.getValueAtPercentile(99)).median,
    errors: rounds.reduce((sum, { errors }) => sum + errors.count, 0),
  }
}

async function measureSuite(
  suite: ModelSuite,
  settings: ModelSettings,
  group: ServerGroup,
  signal: AbortSignal,
): Promise<PhaseReport> {
  const { workload, distribution, clients, valueBytes, consistency } = suite
  const { seed, seconds, warmUpSeconds } = settings
  const target = kvTargetOf(group, { consistency }, {})
  const data = { keys: modelKeys, valueBytes, seed, verify: true, clients }
  await using session = await BenchSession.open(target, data, { signal })
  await loadAll(session, modelKeys, signal)
  const loop = { workload, distribution, inFlight: 1, warmUpSeconds, seconds }
  return await measureClosed(session, loop, suite.name, signal)
}

/**
 * Runs the suites on clusters of three nodes that it starts and stops, one for each policy of flushing, in rounds. Rejects
 * when a cluster cannot be started or ends, or with the reason of `signal`. Operations that failed are in the report.
 */
export async function runModelBenchmark(
  settings: ModelSettings,
  signal: AbortSignal,
  progress: (text: string) => void,
): Promise<ModelReport> {
  const startedAt = new Date().toISOString()
  const environment = await readEnvironment()
  const { rounds, seconds: secondsPerRound, dataDir: parentDirectory } = settings
  const results: ModelResult[] = []
  const errorExamples = new Set<string>()
  for (const fsync of settings.fsync) {
    await using group = await startCluster({ nodes: 3, fsync, parentDirectory, signal })
    const reports: PhaseReport[][] = modelSuites.map(() => [])
    for (let round = 0; round < rounds; round++) {
      for (const [i, suite] of modelSuites.entries()) {
        progress(`fsync ${fsync}, round ${round + 1} of ${rounds}: ${suite.name} …`)
        const report = await measureSuite(suite, settings, group, signal)
        for (const example of report.errors.examples) errorExamples.add(example)
        reports[i]!.push(report)
      }
    }
    results.push(...modelSuites.map((suite, i) => resultOf(suite, fsync, reports[i]!)))
  }
  return {
    ...{ benchmark: 'model', startedAt, environment, fileSystem: await fileSystemOf(parentDirectory) },
    ...{ keys: modelKeys, rounds, secondsPerRound, results },
    errorExamples: [...errorExamples].slice(0, limits.errorExamplesMax),
    ok: results.every(({ errors }) => errors === 0),
  }
}

import { BenchSession, type Environment, fileSystemOf, type PhaseReport, readEnvironment } from '@quorumkv/cli/bench'
import { loadAll, measureClosed, startLocalKv } from '../local-kv.js'
import { type Spread, spreadOf } from '../spread.js'
import { type GrowthPoint, type GrowthSeries, growthLines } from './plan.js'

/** What `growth` was asked to do. */
export interface GrowthSettings {
  readonly series: readonly GrowthSeries[]
  /** Up to ten million keys. */
  readonly full: boolean
  readonly workload: string
  /** How often each point is measured, in the run of one cluster. */
  readonly rounds: number
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly seed: string
  /** Where the nodes' data directories are made. */
  readonly dataDir: string
  readonly json: boolean
  readonly record: boolean
}

/** What one point came to. */
export interface GrowthResult {
  readonly series: GrowthSeries
  readonly point: GrowthPoint
  readonly opsPerSecond: Spread
  /** Processor time for one operation, of all nodes together, in microseconds. Undefined where this system cannot tell. */
  readonly serverCpuUs: Spread | undefined
  /** Of the client. */
  readonly clientCpuUs: Spread
  /** Of reads and of writes, whichever is worse; medians of the rounds. */
  readonly p50Us: number
  readonly p99Us: number
  /** Memory of all nodes at the end. */
  readonly residentBytes: number
  readonly errors: number
}

/** What was measured, and on what. */
export interface GrowthReport {
  readonly benchmark: 'growth'
  readonly startedAt: string
  readonly environment: Environment
  readonly fileSystem: string
  readonly workload: string
  readonly rounds: number
  readonly secondsPerRound: number
  readonly results: readonly GrowthResult[]
  /** No operation failed, and all that was read was right. */
  readonly ok: boolean
}

function serverSeconds({ usage }: PhaseReport): number {
  return usage.servers.reduce((sum, server) => sum + server.cpuSeconds, 0)
}

/** Sums the rounds of one point up. */
export function growthResult(series: GrowthSeries, point: GrowthPoint, rounds: readonly PhaseReport[]): GrowthResult {
  const of = (figure: (report: PhaseReport) => number): Spread => spreadOf(rounds.map(figure))
  const perOperation = (cpuSeconds: number, { operations }: PhaseReport): number => (cpuSeconds / operations) * 1e6
  const worst = ({ latency }: PhaseReport, figure: 'p50Us' | 'p99Us'): number =>
    Math.max(...Object.values(latency).map((kind) => kind[figure]))
  const isKnown = rounds.every(({ usage }) => usage.servers.length > 0)
  return {
    ...{ series, point },
    opsPerSecond: of(({ opsPerSecond }) => opsPerSecond),
    serverCpuUs: isKnown ? of((report) => perOperation(serverSeconds(report), report)) : undefined,
    clientCpuUs: of((report) => perOperation(report.usage.client.cpuSeconds, report)),
    p50Us: of((report) => worst(report, 'p50Us')).median,
    p99Us: of((report) => worst(report, 'p99Us')).median,
    residentBytes: rounds.at(-1)!.usage.servers.reduce((sum, server) => sum + server.residentBytes, 0),
    errors: rounds.reduce((sum, { errors }) => sum + errors.count, 0),
  }
}

async function measurePoint(
  point: GrowthPoint,
  settings: GrowthSettings,
  signal: AbortSignal,
  progress: (text: string) => void,
): Promise<PhaseReport[]> {
  const { keys, valueBytes, nodes, inFlight } = point
  const { workload, rounds, seconds, warmUpSeconds, seed, dataDir: parentDirectory } = settings
  const cluster = { nodes, fsync: 'always', parentDirectory, signal, consistency: 'quorum' } as const
  const { group, target } = await startLocalKv(cluster)
  await using _ = group
  await using session = await BenchSession.open(
    target,
    { keys, valueBytes, seed, verify: true, clients: 1 },
    { signal },
  )
  progress('  loading …')
  await loadAll(session, keys, signal)
  const reports: PhaseReport[] = []
  for (let round = 0; round < rounds; round++) {
    progress(`  round ${round + 1} of ${rounds} …`)
    const loop = { workload, inFlight, warmUpSeconds, seconds }
    reports.push(await measureClosed(session, loop, `${nodes} nodes with ${keys} keys of ${valueBytes} B`, signal))
  }
  return reports
}

/**
 * Measures clusters on this machine whose work grows in one way at a time, a fresh cluster for each point. Rejects when a
 * cluster cannot be started or ends, or with the reason of `signal`. Operations that failed are in the report.
 */
export async function runGrowth(
  settings: GrowthSettings,
  signal: AbortSignal,
  progress: (text: string) => void,
): Promise<GrowthReport> {
  const startedAt = new Date().toISOString()
  const environment = await readEnvironment()
  const results: GrowthResult[] = []
  for (const { series, points } of growthLines(settings.series, settings.full)) {
    for (const point of points) {
      const { nodes, keys, valueBytes, inFlight } = point
      progress(`${series}: ${nodes} nodes, ${keys} keys, values of ${valueBytes} B, ${inFlight} in flight`)
      results.push(growthResult(series, point, await measurePoint(point, settings, signal, progress)))
    }
  }
  const { workload, rounds, seconds: secondsPerRound, dataDir } = settings
  return {
    ...{ benchmark: 'growth', startedAt, environment, fileSystem: await fileSystemOf(dataDir) },
    ...{ workload, rounds, secondsPerRound, results, ok: results.every(({ errors }) => errors === 0) },
  }
}

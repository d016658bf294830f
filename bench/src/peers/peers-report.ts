import {
  type Environment,
  type ErrorSummary,
  type KindSummary,
  type PhaseReport,
  type Spread,
  spreadOf,
  textTable,
} from '@quorumkv/cli/bench'
import { formatEnvironment } from '../environment-text.js'
import { ratioOf } from '../spread.js'
import { formatFigure } from '../store-format.js'

/** A workload with so many operations at a time. */
export interface PeersPhase {
  readonly workload: string
  readonly inFlight: number
}

/** Latencies in microseconds: of each round's percentile, the median of the rounds. */
export interface LatencyMedians {
  readonly p50Us: number
  readonly p99Us: number
}

/** What one contestant did in one phase, over all rounds. */
export interface PeersRow {
  readonly contestant: string
  readonly opsPerSecond: Spread
  /** How many times as many operations the first contestant did. Undefined for itself. */
  readonly ratio?: Spread
  readonly read?: LatencyMedians
  readonly write?: LatencyMedians
  /** CPU time of all servers, and of the client, for one operation, in microseconds; medians. Undefined: not known. */
  readonly serverCpuUs?: number
  readonly clientCpuUs: number
  /** Each round's figure. */
  readonly rounds: readonly number[]
  /** Of all rounds. */
  readonly errors: number
}

/** What was measured, side by side, and on what. */
export interface PeersReport {
  readonly benchmark: 'peers'
  readonly startedAt: string
  readonly environment: Environment
  /** Of the file system that all data was kept on. */
  readonly fileSystem: string
  readonly keys: number
  readonly keyBytes: number
  readonly valueBytes: number
  readonly rounds: number
  readonly secondsPerRound: number
  readonly warmUpSeconds: number
  readonly seed: string
  readonly contestants: readonly {
    readonly name: string
    readonly durability: string
    /** What the store said of itself. */
    readonly settings: Readonly<Record<string, string>>
  }[]
  readonly phases: readonly (PeersPhase & { readonly rows: readonly PeersRow[] })[]
  /** Errors word for word, some of them. */
  readonly errorExamples: readonly string[]
  /** No operation failed, and all that was read was right. */
  readonly ok: boolean
}

function medianOf(reports: readonly PhaseReport[], figure: (report: PhaseReport) => number | undefined): number {
  return spreadOf(reports.flatMap((report) => figure(report) ?? [])).median
}

function latencyOf(reports: readonly PhaseReport[], kind: 'read' | 'update'): LatencyMedians | undefined {
  if (!reports.some(({ latency }) => latency[kind] !== undefined)) return undefined
  const of = (figure: (summary: KindSummary) => number): number =>
    medianOf(reports, ({ latency }) => latency[kind] && figure(latency[kind]))
  return { p50Us: of(({ p50Us }) => p50Us), p99Us: of(({ p99Us }) => p99Us) }
}

/** CPU time for one operation in microseconds; undefined: not known. */
function serverCpuUs({ usage, operations }: PhaseReport): number | undefined {
  if (usage.servers.length === 0 || operations === 0) return undefined
  return (usage.servers.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0) / operations) * 1e6
}

/** What one contestant did in one phase, `rounds` of it, held against the first contestant's rounds, if it is another. */
export function rowOf(name: string, rounds: readonly PhaseReport[], first: readonly PhaseReport[]): PeersRow {
  const rates = rounds.map(({ opsPerSecond }) => opsPerSecond)
  const [read, write] = [latencyOf(rounds, 'read'), latencyOf(rounds, 'update')]
  const servers = rounds.some((report) => serverCpuUs(report) !== undefined)
  return {
    contestant: name,
    opsPerSecond: spreadOf(rates),
    ...(first !== rounds && {
      ratio: ratioOf(
        first.map(({ opsPerSecond }) => opsPerSecond),
        rates,
      ),
    }),
    ...(read !== undefined && { read }),
    ...(write !== undefined && { write }),
    ...(servers && { serverCpuUs: medianOf(rounds, serverCpuUs) }),
    clientCpuUs: medianOf(rounds, ({ usage, operations }) => (usage.client.cpuSeconds / Math.max(1, operations)) * 1e6),
    rounds: rates,
    errors: rounds.reduce((sum, { errors }: { errors: ErrorSummary }) => sum + errors.count, 0),
  }
}

const head = [
  ...['', 'ops/s', 'range', 'quorumkv ÷ it', 'range', 'read p50 µs', 'p99', 'write p50 µs', 'p99'],
  ...['CPU µs/op servers', 'client', 'errors'],
]

function rangeOf({ min, max }: Spread): string {
  return `${formatFigure(min)}–${formatFigure(max)}`
}

function cells(row: PeersRow): string[] {
  const { opsPerSecond, ratio, read, write, clientCpuUs } = row
  const whole = (spread: Spread): Spread => ({
    median: Math.round(spread.median),
    min: Math.round(spread.min),
    max: Math.round(spread.max),
  })
  const rate = whole(opsPerSecond)
  const latencies = [read?.p50Us, read?.p99Us, write?.p50Us, write?.p99Us, row.serverCpuUs]
  return [
    row.contestant,
    formatFigure(rate.median),
    rangeOf(rate),
    ratio === undefined ? '' : `${formatFigure(ratio.median)} ×`,
    ratio === undefined ? '' : rangeOf(ratio),
    ...latencies.map((value) => (value === undefined ? '' : formatFigure(value))),
    formatFigure(clientCpuUs),
    String(row.errors),
  ]
}

/** The report for people. */
export function formatPeersReport(report: PeersReport): string {
  const { keys, keyBytes, valueBytes, rounds, secondsPerRound, warmUpSeconds, seed, fileSystem } = report
  const environment = formatEnvironment(report.startedAt, report.environment, [
    ['data', fileSystem],
    ['workload', `${formatFigure(keys)} keys of ${keyBytes} B, values of ${valueBytes} B, uniform, seed ${seed}`],
    ['rounds', `${rounds}, alternating, of ${secondsPerRound} s after ${warmUpSeconds} s of warm-up; medians`],
    ['loop', 'closed, one client of each store in one process; every value that is read is checked'],
  ])
  const durability = report.contestants.map(({ name, durability, settings }) => {
    const version = settings['version'] ?? settings['kv-server']
    return [name, version ?? '', durability]
  })
  const parts = [environment, textTable([['', 'version', ''], ...durability], 3)]
  for (const { workload, inFlight, rows } of report.phases) {
    parts.push(`${workload}, ${inFlight} in flight\n${textTable([head, ...rows.map(cells)])}`)
  }
  if (fileSystem === 'tmpfs') parts.push('The data was kept on tmpfs, where fsync costs nothing: see --data-dir.')
  if (!report.ok) parts.push(['FAILED: there were errors; for example', ...report.errorExamples].join('\n  '))
  return `${parts.join('\n\n')}\n`
}

import { cpuPerOperationUs, residentBytes } from './figures.js'
import type { BenchReport, KindSummaries, PhaseReport } from './report.js'
import { operationKinds } from './target.js'

/** The columns, in order: one row for each kind of operation in each phase, and one without a kind for a phase in which none succeeded. `run`: of `--runs`, from 1; empty: the load, which is before all of them. Times in microseconds; empty: unknown. */
export const csvColumns = [
  'run',
  'phase',
  'distribution',
  'loop',
  'rate_per_s',
  'clients',
  'in_flight',
  'keys',
  'value_bytes',
  'seconds',
  'kind',
  'from',
  'operations',
  'ops_per_s',
  'min_us',
  'mean_us',
  'p50_us',
  'p95_us',
  'p99_us',
  'p999_us',
  'max_us',
  'phase_errors',
  'phase_stale_reads',
  'phase_not_started',
  'client_cpu_us_per_op',
  'servers_cpu_us_per_op',
  'client_rss_bytes',
  'servers_rss_bytes',
] as const

type Cell = string | number | undefined

/** From `min_us` to `max_us`. */
const latencyColumns = 7

/** As RFC 4180 has it, with numbers rounded to a thousandth. */
function cellText(cell: Cell): string {
  if (cell === undefined) return ''
  if (typeof cell === 'number') return String(Math.round(cell * 1000) / 1000)
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell
}

function phaseRows(phase: PhaseReport, { keys, valueBytes }: BenchReport['data']): Cell[][] {
  const { loop, usage, operations, open } = phase
  const rate = loop.kind === 'open' ? loop.ratePerSecond : undefined
  const before = [
    phase.run,
    phase.name,
    phase.distribution,
    loop.kind,
    rate,
    phase.clients,
    phase.inFlight,
    keys,
    valueBytes,
  ]
  const after = [
    ...[phase.errors.count, phase.staleReads, open?.notStarted],
    ...[cpuPerOperationUs([usage.client], operations), cpuPerOperationUs(usage.servers, operations)],
    ...[usage.client.residentBytes, residentBytes(usage.servers)],
  ]
  const rows = (kinds: KindSummaries, from: string): Cell[][] =>
    operationKinds.flatMap((kind) => {
      const summary = kinds[kind]
      if (summary === undefined) return []
      const { minUs, meanUs, p50Us, p95Us, p99Us, p999Us, maxUs } = summary
      const figures = [summary.operations, summary.opsPerSecond, minUs, meanUs, p50Us, p95Us, p99Us, p999Us, maxUs]
      return [[...before, phase.seconds, kind, from, ...figures, ...after]]
    })
  if (operations === 0) {
    // What failed altogether must not be missed by who only reads this.
    const [kind, from, ...latencies] = Array<undefined>(2 + latencyColumns)
    return [[...before, phase.seconds, kind, from, 0, 0, ...latencies, ...after]]
  }
  return [
    ...rows(phase.latency, loop.kind === 'open' ? 'due' : 'start'),
    ...(open === undefined ? [] : rows(open.service, 'start')),
  ]
}

/** The figures as comma-separated values, with a line of column names. */
export function formatCsv(report: BenchReport): string {
  const rows = report.phases.flatMap((phase) => phaseRows(phase, report.data))
  return [csvColumns, ...rows].map((row) => `${row.map(cellText).join(',')}\n`).join('')
}

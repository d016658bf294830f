import {
  cpuPerOperationUs,
  facts,
  formatLoop,
  formatNumber,
  kindNames,
  remarks,
  spreadHead,
  spreadRows,
} from './figures.js'
import type { BenchReport, KindSummaries, KindSummary, PhaseReport } from './report.js'
import { operationKinds, type ProcessUsage } from './target.js'

/**
 * Rows in columns, two spaces apart, without spaces at the ends of lines: the first `leftColumns` columns to the left,
 * the others, which hold figures, to the right. Rows that are shorter than the first end with empty cells.
 */
export function textTable(rows: readonly (readonly string[])[], leftColumns = 1): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  const line = (row: readonly string[]): string =>
    widths
      .map((width, column) => {
        const cell = row[column] ?? ''
        return column < leftColumns ? cell.padEnd(width) : cell.padStart(width)
      })
      .join('  ')
      .trimEnd()
  return rows.map(line).join('\n')
}

const head = ['', 'in flight', 'ops', 'ops/s', 'mean', 'p50', 'p95', 'p99', 'p99.9', 'max', 'errors']
const none = ['', '', '', '', '', '']

function kindRow(label: string, kind: KindSummary): string[] {
  const { operations, opsPerSecond, meanUs, p50Us, p95Us, p99Us, p999Us, maxUs } = kind
  const figures = [operations, opsPerSecond, meanUs, p50Us, p95Us, p99Us, p999Us, maxUs]
  return [label, '', ...figures.map(formatNumber), '']
}

function kindRows(kinds: KindSummaries, indent: string): string[][] {
  return operationKinds.flatMap((kind) => {
    const summary = kinds[kind]
    return summary === undefined ? [] : [kindRow(`${indent}${kindNames[kind]}`, summary)]
  })
}

function phaseRows(phase: PhaseReport): string[][] {
  const { name, distribution, clients, inFlight, operations, opsPerSecond, errors, open } = phase
  const title =
    phase.loop.kind === 'closed' ? `${name}, ${distribution}` : `${name}, ${distribution}, ${formatLoop(phase)}`
  const lanes = clients === 1 ? formatNumber(inFlight) : `${clients} × ${formatNumber(inFlight)}`
  const total = [
    title,
    lanes,
    formatNumber(operations),
    formatNumber(opsPerSecond),
    ...none,
    formatNumber(errors.count),
  ]
  const rows = [total, ...kindRows(phase.latency, '  ')]
  if (open !== undefined) rows.push(...kindRows(open.service, '  from the start: '))
  return rows
}

function usageTable(phases: readonly PhaseReport[]): string {
  const ids = phases[0]!.usage.servers.map(({ id }) => id)
  const cell = ({ cpuSeconds, residentBytes }: ProcessUsage): string =>
    `${cpuSeconds.toFixed(1)} s ${(residentBytes / 2 ** 20).toFixed(0)} MiB`
  const perOperation = (processes: readonly ProcessUsage[], operations: number): string => {
    const us = cpuPerOperationUs(processes, operations)
    return us === undefined ? 'unknown' : us.toFixed(1)
  }
  const rows = phases.map(({ name, seconds, operations, usage: { client, servers } }) => {
    const figures = [perOperation([client], operations), perOperation(servers, operations)]
    return [name, `${seconds.toFixed(1)} s`, ...figures, cell(client), ...servers.map(cell)]
  })
  const titles = ['CPU time and resident memory', 'took', 'client µs/op', 'servers µs/op', 'client', ...ids]
  return textTable([titles, ...rows])
}

/** The report for people, in plain text. */
export function formatTable(report: BenchReport): string {
  const { phases } = report
  const open = phases.some(({ loop }) => loop.kind === 'open')
  const closed = phases.some(({ loop }) => loop.kind === 'closed')
  const loops = [
    ...(closed
      ? ['closed: an operation starts when another has ended; a stall is met by few (coordinated omission)']
      : []),
    ...(open
      ? ['open: latencies from when an operation was due; "from the start": without its wait in the generator']
      : []),
  ]
  const parts = [textTable([...facts(report), ...loops.map((text): [string, string] => ['loop', text])], 2)]
  if (phases.length > 0) {
    parts.push(`latencies in µs\n${textTable([head, ...phases.flatMap(phaseRows)])}`, usageTable(phases))
  }
  const repeated = spreadRows(report)
  if (repeated.length > 0) parts.push(textTable([spreadHead, ...repeated]))
  parts.push(...remarks(report))
  return `${parts.join('\n\n')}\n`
}

import type { Budget, JudgedMeasurement, Section, StoreReport } from './store-report.js'

/** To three digits or more, with thousands apart: 1,234,567; 12.3; 0.456. */
export function formatFigure(value: number): string {
  if (Number.isNaN(value)) return 'unknown'
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toLocaleString('en-US', { maximumFractionDigits: Math.min(digits, 3) })
}

function formatBudget({ bound, value }: Budget): string {
  return `${bound === 'at least' ? '≥' : '≤'} ${formatFigure(value)}`
}

const head = ['', '', '', 'range', 'p50 µs', 'p95 µs', 'p99 µs', 'max µs', 'budget', 'of budget', '']

function row({ name, value, unit, range, latencyUs, budget, verdict }: JudgedMeasurement): string[] {
  const latencies = latencyUs && [latencyUs.p50, latencyUs.p95, latencyUs.p99, latencyUs.max].map(formatFigure)
  return [
    name,
    formatFigure(value),
    unit,
    range === undefined ? '' : `${formatFigure(range.min)} to ${formatFigure(range.max)}`,
    ...(latencies ?? ['', '', '', '']),
    budget === undefined ? '' : formatBudget(budget),
    verdict === undefined ? '' : `${verdict.ratio.toFixed(2)} ×`,
    verdict === undefined ? '' : verdict.met ? 'met' : 'MISSED',
  ]
}

const leftAligned: ReadonlySet<number> = new Set([0, 2, head.length - 1])

/** Columns that hold nothing are left out. */
function formatSection({ figure, title, measurements }: Section): string {
  const rows = measurements.map(row)
  const columns = head.flatMap((name, at) => {
    const cells = rows.map((cells) => cells[at]!)
    if (cells.every((cell) => cell === '')) return []
    const width = Math.max(name.length, ...cells.map((cell) => cell.length))
    return [[name, ...cells].map((cell) => (leftAligned.has(at) ? cell.padEnd(width) : cell.padStart(width)))]
  })
  const lines = [head, ...rows].map((_, line) => `  ${columns.map((column) => column[line]).join('  ')}`.trimEnd())
  return [`${figure}: ${title}`, ...lines.filter((line) => line !== '')].join('\n')
}

function header(report: StoreReport): string {
  const { cpu, cores, memoryBytes, loadAverage, os, node, commit } = report.environment
  const memory = `${(memoryBytes / 2 ** 30).toFixed(0)} GiB`
  return [
    `started   ${report.startedAt}, ${report.form} form`,
    `machine   ${cpu}, ${cores} cores, ${memory}, ${os}, load average ${loadAverage.toFixed(1)} before`,
    `program   Node ${node}, commit ${commit ?? 'unknown'}`,
    `data      ${report.fileSystem}`,
    `workload  keys of ${report.keyBytes} B, values of ${report.valueBytes} B, uniform, seed ${report.seed}`,
  ].join('\n')
}

/** Undefined: nothing has a budget. */
function summary(sections: readonly Section[]): string | undefined {
  const verdicts = sections.flatMap(({ measurements }) => measurements.flatMap(({ verdict }) => verdict ?? []))
  if (verdicts.length === 0) return undefined
  const met = verdicts.filter((verdict) => verdict.met).length
  return `${met} of ${verdicts.length} budgets met`
}

/** The report for people. */
export function formatStoreReport(report: StoreReport): string {
  const parts = [header(report), ...report.sections.map(formatSection)]
  const verdict = summary(report.sections)
  if (verdict !== undefined) parts.push(verdict)
  if (report.fileSystem === 'tmpfs')
    parts.push('The data was kept on tmpfs, where fsync costs nothing: see --data-dir.')
  return `${parts.join('\n\n')}\n`
}

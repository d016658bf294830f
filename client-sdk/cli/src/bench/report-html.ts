import { type Axis, type Chart, type ChartSeries, chartStyle, drawChart, escapeHtml, linearTicks } from './chart.js'
import {
  cpuPerOperationUs,
  facts,
  formatLoop,
  formatMix,
  formatNumber,
  kindNames,
  remarks,
  spreadHead,
  spreadRows,
} from './figures.js'
import type { BenchReport, KindSummaries, PhaseReport } from './report.js'
import { operationKinds, type ProcessUsage } from './target.js'

const style = `
:root { color-scheme: light dark; --text: #1b1f24; --muted: #5c6670; --line: #d7dce1; --back: #ffffff; --warn: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ec; --muted: #9aa4ae; --line: #353c44; --back: #14171a; --warn: #ff8a80; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; display: block; overflow-x: auto; }
th, td { padding: 3px 10px 3px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--muted); font-weight: 500; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; font-size: 14px; } dt { color: var(--muted); } dd { margin: 0; }
.charts { display: flex; flex-wrap: wrap; gap: 12px; } .charts > * { flex: 1 1 320px; }
.warn { color: var(--warn); } p { max-width: 80ch; } figure { margin: 0; } figcaption { font-size: 13px; color: var(--muted); }
`

/** A table of texts. */
export function htmlTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[], tag: string): string =>
    `<tr>${row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`
  return `<table><thead>${cells(head, 'th')}</thead><tbody>${rows.map((row) => cells(row, 'td')).join('')}</tbody></table>`
}

const latencyHead = ['', 'operations', 'ops/s', 'min', 'mean', 'p50', 'p95', 'p99', 'p99.9', 'max']

function latencyRows(kinds: KindSummaries, suffix: string): string[][] {
  return operationKinds.flatMap((kind) => {
    const summary = kinds[kind]
    if (summary === undefined) return []
    const { operations, opsPerSecond, minUs, meanUs, p50Us, p95Us, p99Us, p999Us, maxUs } = summary
    const figures = [operations, opsPerSecond, minUs, meanUs, p50Us, p95Us, p99Us, p999Us, maxUs]
    return [[`${kindNames[kind]}${suffix}`, ...figures.map(formatNumber)]]
  })
}

const latencyTicks: Axis['ticks'] = [
  ...[1, 10, 100].map((us) => ({ at: us, label: `${us} µs` })),
  ...[1, 10, 100].map((ms) => ({ at: ms * 1000, label: `${ms} ms` })),
  ...[1, 10, 100].map((s) => ({ at: s * 1_000_000, label: `${s} s` })),
]

/** A chart with its title, which a picture has only for who cannot see it. */
function titled(chart: Chart): string {
  const drawn = drawChart(chart)
  return drawn === '' ? '' : `<figure><figcaption>${escapeHtml(chart.title)}</figcaption>${drawn}</figure>`
}

/** Each tick is as far from the last as a tenth of the operations that are left is from all of them. */
const percentTicks: Axis['ticks'] = [0, 90, 99, 99.9, 99.99, 99.999, 99.9999].map((percent) => ({
  at: oneIn(percent),
  label: `${percent} %`,
}))

/** One in so many operations is slower than this percentile. */
function oneIn(percent: number): number {
  return 100 / (100 - percent)
}

function curves(kinds: KindSummaries, suffix: string): ChartSeries[] {
  return operationKinds.flatMap((kind) => {
    const summary = kinds[kind]
    if (summary === undefined) return []
    const points = summary.curve
      .filter(([percent, us]) => percent < 100 && us > 0)
      .map(([percent, us]): [number, number] => [oneIn(percent), us])
    return [{ label: `${kindNames[kind]}${suffix}`, points }]
  })
}

function percentileChart(phase: PhaseReport): Chart {
  const from = phase.open === undefined ? '' : ' (due)'
  const service = phase.open === undefined ? [] : curves(phase.open.service, ' (start)')
  return {
    title: 'Latency by percentile',
    x: { title: 'percentile', log: true, ticks: percentTicks },
    y: { title: 'latency', log: true, ticks: latencyTicks },
    series: [...curves(phase.latency, from), ...service],
  }
}

function overTime(phase: PhaseReport, title: string, log: boolean, lines: readonly ChartSeries[]): Chart {
  const most = Math.max(0, ...lines.flatMap(({ points }) => points.map(([, y]) => y)))
  return {
    title,
    x: { title: 'seconds', log: false, ticks: linearTicks(phase.seconds) },
    y: { title: log ? 'latency' : 'operations/s', log, ticks: log ? latencyTicks : linearTicks(most) },
    series: lines,
  }
}

function timeCharts(phase: PhaseReport): string {
  const { intervals } = phase
  const line = (label: string, value: (interval: (typeof intervals)[number]) => number): ChartSeries => ({
    label,
    points: intervals.map((interval): [number, number] => [interval.endSeconds, value(interval)]),
  })
  const positive = ({ label, points }: ChartSeries): ChartSeries => ({ label, points: points.filter(([, y]) => y > 0) })
  const rate = line('succeeded', ({ operations, seconds }) => (seconds > 0 ? operations / seconds : 0))
  const failed = line('failed', ({ errors, seconds }) => (seconds > 0 ? errors / seconds : 0))
  const rates = phase.errors.count > 0 ? [rate, failed] : [rate]
  const latencies = [line('p50', (i) => i.p50Us), line('p99', (i) => i.p99Us), line('max', (i) => i.maxUs)].map(
    positive,
  )
  return (
    titled(overTime(phase, 'Throughput over time', false, rates)) +
    titled(overTime(phase, 'Latency over time', true, latencies))
  )
}

function usageRows({ usage: { client, servers }, operations }: PhaseReport): string[][] {
  const row = (process: ProcessUsage): string[] => [
    process.id,
    `${process.cpuSeconds.toFixed(2)} s`,
    cpuPerOperationUs([process], operations)?.toFixed(1) ?? 'unknown',
    `${(process.residentBytes / 2 ** 20).toFixed(0)} MiB`,
  ]
  return servers.length > 0
    ? [client, ...servers].map(row)
    : [row(client), ['servers', 'unknown', 'unknown', 'unknown']]
}

function phaseSection(phase: PhaseReport): string {
  const { name, distribution, clients, inFlight, seconds, warmUpSeconds, opsPerSecond, errors, open } = phase
  const lanes = `${clients} ${clients === 1 ? 'client' : 'clients'} × ${formatNumber(inFlight)} in flight`
  const parts = [
    `<h2>${escapeHtml(name)}: ${formatNumber(opsPerSecond)} ops/s</h2>`,
    `<p>${escapeHtml(`${formatMix(phase)}; ${distribution}; ${formatLoop(phase)} loop; ${lanes}; ${seconds.toFixed(1)} s after ${warmUpSeconds} s of warm-up; ${formatNumber(errors.count)} errors`)}</p>`,
  ]
  if (open !== undefined) {
    const text = `due ${formatNumber(open.due)}, never started ${formatNumber(open.notStarted)}, at most ${formatNumber(open.backlogMost)} waiting in the generator`
    parts.push(`<p>${escapeHtml(text)}</p>`)
  }
  const suffix = open === undefined ? '' : ' (from when due)'
  const service = open === undefined ? [] : latencyRows(open.service, ' (from the start)')
  parts.push(
    htmlTable(
      [...latencyHead.map((title, i) => (i > 2 ? `${title}, µs` : title))],
      [...latencyRows(phase.latency, suffix), ...service],
    ),
    `<div class="charts">${titled(percentileChart(phase))}${timeCharts(phase)}</div>`,
    htmlTable(['process', 'CPU time', 'CPU µs/op', 'resident memory'], usageRows(phase)),
  )
  return `<section>${parts.join('\n')}</section>`
}

function overview(phases: readonly PhaseReport[]): string {
  const rows = phases.map((phase) => {
    const { name, distribution, clients, inFlight, opsPerSecond, latency, errors } = phase
    const worst = (pick: 'p50Us' | 'p99Us' | 'p999Us'): string =>
      formatNumber(Math.max(0, ...Object.values(latency).map((summary) => summary[pick])))
    const figures = [formatNumber(opsPerSecond), worst('p50Us'), worst('p99Us'), worst('p999Us')]
    return [name, distribution, formatLoop(phase), `${clients} × ${inFlight}`, ...figures, formatNumber(errors.count)]
  })
  const head = ['', 'keys', 'loop', 'in flight', 'ops/s', 'p50, µs', 'p99, µs', 'p99.9, µs', 'errors']
  return htmlTable(head, rows)
}

/** A page that needs nothing else: no script, no style, font or picture from anywhere. `body` is HTML, `title` is text. */
export function htmlPage(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}${chartStyle}</style>
</head>
<body>
${body}
</body>
</html>
`
}

/** The report as one HTML page that needs nothing else: no script, no style, font or picture from anywhere. */
export function formatHtml(report: BenchReport): string {
  const list = facts(report).map(([what, text]) => `<dt>${escapeHtml(what)}</dt><dd>${escapeHtml(text)}</dd>`)
  const warnings = remarks(report).map((text) => `<p class="warn">${escapeHtml(text)}</p>`)
  const repeated = spreadRows(report)
  const body = `<h1>${escapeHtml(report.target.name)} load test</h1>
<dl>${list.join('')}</dl>
${warnings.join('\n')}
${overview(report.phases)}
${repeated.length > 0 ? htmlTable(spreadHead, repeated) : ''}
<p>The overview shows the slowest kind of operation. In a closed loop an operation starts when another one has ended, so few of
them meet a stall; in an open loop latency counts from when the operation was due. Servers and generator on one machine share it.</p>
${report.phases.map(phaseSection).join('\n')}`
  return htmlPage(`${report.target.name} load test, ${report.startedAt}`, body)
}

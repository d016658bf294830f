/*
 * Line charts as inline SVG: no script, no font, no file from elsewhere. Colours are CSS classes of the page, so that
 * they follow its light and dark forms.
 */

export interface ChartSeries {
  readonly label: string
  /** Ordered by x. */
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface Axis {
  readonly title: string
  readonly log: boolean
  /** Shown beside the axis; those outside the data are left out. */
  readonly ticks: readonly { readonly at: number; readonly label: string }[]
}

export interface Chart {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly ChartSeries[]
}

const [width, height] = [560, 300]
const margin = { left: 76, right: 16, top: 30, bottom: 44 } as const

/** Text as it may stand in HTML and SVG, in attributes as well. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}

/** Maps data to pixels. */
function scale(values: readonly number[], log: boolean, from: number, to: number): (value: number) => number {
  const transform = (value: number): number => (log ? Math.log10(Math.max(value, Number.MIN_VALUE)) : value)
  const least = transform(Math.min(...values))
  const most = transform(Math.max(...values))
  const span = most > least ? most - least : 1
  return (value) => from + ((transform(value) - least) / span) * (to - from)
}

const round = (value: number): string => value.toFixed(1)

function axes(chart: Chart, x: (value: number) => number, y: (value: number) => number): string {
  const [bottom, right] = [height - margin.bottom, width - margin.right]
  const across = chart.y.ticks.flatMap(({ at, label }) => {
    const place = y(at)
    if (!(place >= margin.top - 0.5 && place <= bottom + 0.5)) return []
    return [
      `<line class="grid" x1="${margin.left}" y1="${round(place)}" x2="${right}" y2="${round(place)}"/>`,
      `<text x="${margin.left - 6}" y="${round(place + 4)}" text-anchor="end">${escapeHtml(label)}</text>`,
    ]
  })
  const down = chart.x.ticks.flatMap(({ at, label }) => {
    const place = x(at)
    if (!(place >= margin.left - 0.5 && place <= right + 0.5)) return []
    return [
      `<line class="grid" x1="${round(place)}" y1="${margin.top}" x2="${round(place)}" y2="${bottom}"/>`,
      `<text x="${round(place)}" y="${bottom + 16}" text-anchor="middle">${escapeHtml(label)}</text>`,
    ]
  })
  return [...across, ...down].join('')
}

/** One chart; empty where there is nothing to draw. */
export function drawChart(chart: Chart): string {
  const series = chart.series.filter(({ points }) => points.length > 0)
  const all = series.flatMap(({ points }) => points)
  if (all.length === 0) return ''
  const xs = all.map(([x]) => x)
  const ys = all.map(([, y]) => y)
  // A linear scale begins at nothing: one that does not makes noise look like a difference.
  const x = scale(chart.x.log ? xs : [0, ...xs], chart.x.log, margin.left, width - margin.right)
  const y = scale(chart.y.log ? ys : [0, ...ys], chart.y.log, height - margin.bottom, margin.top)
  const lines = series.map(({ points }, i) => {
    const path = points.map(([px, py]) => `${round(x(px))},${round(y(py))}`).join(' ')
    return `<polyline class="s${i % colours}" points="${path}"/>`
  })
  const legend = series.map(({ label }, i) => {
    return `<text class="t${i % colours}" x="${margin.left + 8 + i * 120}" y="${margin.top - 8}">${escapeHtml(label)}</text>`
  })
  const name = escapeHtml(chart.title)
  return [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${name}"><title>${name}</title>`,
    axes(chart, x, y),
    ...lines,
    ...legend,
    `<text x="${(margin.left + width) / 2}" y="${height - 8}" text-anchor="middle">${escapeHtml(chart.x.title)}</text>`,
    `<text transform="translate(14 ${height / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(chart.y.title)}</text>`,
    '</svg>',
  ].join('')
}

/** How many colours there are for lines, classes `s0` and so on, and for their names, `t0` and so on. */
export const colours = 5

/** The style of charts, to be put into the page. */
export const chartStyle = `
svg { width: 100%; max-width: 560px; height: auto; font: 11px sans-serif; }
svg text { fill: var(--muted); }
.grid { stroke: var(--line); stroke-width: 1; }
polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.s0 { stroke: #2f6fde; } .s1 { stroke: #d9622b; } .s2 { stroke: #2c9c69; } .s3 { stroke: #a34fc0; } .s4 { stroke: #b8902a; }
svg .t0 { fill: #2f6fde; } svg .t1 { fill: #d9622b; } svg .t2 { fill: #2c9c69; } svg .t3 { fill: #a34fc0; } svg .t4 { fill: #b8902a; }
`

/** Round numbers from 0 to beyond `most`, five or so. */
export function linearTicks(most: number): Axis['ticks'] {
  const rough = most / 5
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1e-9)))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? power
  const count = Math.ceil(most / step)
  return Array.from({ length: count + 1 }, (_, i) => {
    const at = i * step
    return { at, label: at.toLocaleString('en-US', { maximumFractionDigits: 2 }) }
  })
}

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
  /** In order; shown beside the axis; those outside the data are left out. */
  readonly ticks: readonly { readonly at: number; readonly label: string }[]
}

export interface Chart {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly ChartSeries[]
}

const width = 560
const plotHeight = 226
const margin = { left: 76, right: 16, bottom: 44 } as const

/** What a letter of the charts takes at most of their width, on average: how wide a text will be only its reader's fonts say. */
const letterWidth = 7
/** Between two names of the legend, and from one line of it to the next. */
const legendGap = 18
const legendLine = 16

/** How many labels of so many letters fit below a chart side by side. */
export function labelsThatFit(letters: number): number {
  return Math.max(1, Math.floor((width - margin.left - margin.right) / ((letters + 2) * letterWidth)))
}

interface LegendEntry {
  readonly x: number
  /** Of the legend, from 0. */
  readonly line: number
}

/** Places for names one after the other, in as many lines as it takes. */
function legendEntries(labels: readonly string[]): LegendEntry[] {
  let x: number = margin.left
  let line = 0
  return labels.map((label) => {
    const taken = label.length * letterWidth
    if (x > margin.left && x + taken > width - margin.right) {
      x = margin.left
      line++
    }
    const entry = { x, line }
    x += taken + legendGap
    return entry
  })
}

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

/** What a scale has to hold besides its values: of a logarithmic one the ticks around them, so that it has two at least. */
function bounds(values: readonly number[], { log, ticks }: Axis): number[] {
  // A linear scale begins at nothing: one that does not makes noise look like a difference.
  if (!log) return [0]
  const [least, most] = [Math.min(...values), Math.max(...values)]
  const below = ticks.findLast(({ at }) => at <= least)?.at
  const above = ticks.find(({ at }) => at >= most)?.at
  return [below, above].filter((at) => at !== undefined)
}

const round = (value: number): string => value.toFixed(1)

function axes(chart: Chart, x: (value: number) => number, y: (value: number) => number, top: number): string {
  const [bottom, right] = [top + plotHeight, width - margin.right]
  const across = chart.y.ticks.flatMap(({ at, label }) => {
    const place = y(at)
    if (!(place >= top - 0.5 && place <= bottom + 0.5)) return []
    return [
      `<line class="grid" x1="${margin.left}" y1="${round(place)}" x2="${right}" y2="${round(place)}"/>`,
      `<text x="${margin.left - 6}" y="${round(place + 4)}" text-anchor="end">${escapeHtml(label)}</text>`,
    ]
  })
  const down = chart.x.ticks.flatMap(({ at, label }) => {
    const place = x(at)
    if (!(place >= margin.left - 0.5 && place <= right + 0.5)) return []
    const middle = Math.min(place, width - (label.length * letterWidth) / 2)
    return [
      `<line class="grid" x1="${round(place)}" y1="${top}" x2="${round(place)}" y2="${bottom}"/>`,
      `<text x="${round(middle)}" y="${bottom + 16}" text-anchor="middle">${escapeHtml(label)}</text>`,
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
  // The width is for the values: percentiles beyond them would be a curve that is not there.
  const x = scale(chart.x.log ? xs : [0, ...xs], chart.x.log, margin.left, width - margin.right)
  const places = legendEntries(series.map(({ label }) => label))
  const top = (places.at(-1)!.line + 1) * legendLine + 10
  const bottom = top + plotHeight
  const height = bottom + margin.bottom
  const y = scale([...bounds(ys, chart.y), ...ys], chart.y.log, bottom, top)
  const lines = series.map(({ points }, i) => {
    // A line with one end is not to be seen.
    const [only, another] = points
    if (another === undefined) {
      return `<circle class="s${i % colours}" cx="${round(x(only![0]))}" cy="${round(y(only![1]))}" r="2"/>`
    }
    const path = points.map(([px, py]) => `${round(x(px))},${round(y(py))}`).join(' ')
    return `<polyline class="s${i % colours}" points="${path}"/>`
  })
  const legend = series.map(({ label }, i) => {
    const { x: left, line } = places[i]!
    return `<text class="t${i % colours}" x="${left}" y="${(line + 1) * legendLine - 2}">${escapeHtml(label)}</text>`
  })
  const name = escapeHtml(chart.title)
  return [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${name}"><title>${name}</title>`,
    axes(chart, x, y, top),
    ...lines,
    ...legend,
    `<text x="${(margin.left + width) / 2}" y="${height - 8}" text-anchor="middle">${escapeHtml(chart.x.title)}</text>`,
    `<text transform="translate(14 ${top + plotHeight / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(chart.y.title)}</text>`,
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
polyline, circle { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
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

import {
  type Chart,
  type ChartSeries,
  drawChart,
  escapeHtml,
  htmlPage,
  htmlTable,
  labelsThatFit,
  linearTicks,
} from '@quorumkv/cli/bench'
import { formatFigure } from '../store-format.js'
import type { HistoryFigure, HistoryRun } from './history.js'

/** Runs that compare: the same benchmark, settings and machine. */
interface Group {
  readonly benchmark: string
  readonly settings: string
  readonly machine: string
  readonly runs: HistoryRun[]
}

function settingsText({ settings }: HistoryRun): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
}

function machineText({ environment: { cpu, cores, os, node } }: HistoryRun): string {
  return `${cpu}, ${cores} cores, ${os}, Node ${node}`
}

/** In the order of the first run of each. */
function groupsOf(runs: readonly HistoryRun[]): Group[] {
  const groups = new Map<string, Group>()
  for (const run of runs.toSorted((a, b) => Date.parse(a.startedAt) - Date.parse(b.startedAt))) {
    const [benchmark, settings, machine] = [run.benchmark, settingsText(run), machineText(run)]
    const key = JSON.stringify([benchmark, settings, machine])
    const group = groups.get(key) ?? { benchmark, settings, machine, runs: [] }
    groups.set(key, group)
    group.runs.push(run)
  }
  return [...groups.values()]
}

/** The commit that was measured, short, or a dash. */
function commitText({ environment: { commit } }: HistoryRun): string {
  return commit?.replace(/^([0-9a-f]{8})[0-9a-f]*/, '$1') ?? '–'
}

/** Names of figures, in the order in which they first appear, with their units. */
function figuresOf(runs: readonly HistoryRun[]): HistoryFigure[] {
  const byName = new Map<string, HistoryFigure>()
  for (const figure of runs.flatMap(({ figures }) => figures)) {
    if (!byName.has(figure.name)) byName.set(figure.name, figure)
  }
  return [...byName.values()]
}

/** Ticks under so many of the runs that the commits can be read. */
function runTicks(runs: readonly HistoryRun[]): Chart['x']['ticks'] {
  const longest = Math.max(...runs.map((run) => commitText(run).length))
  const step = Math.ceil(runs.length / labelsThatFit(longest))
  return runs.flatMap((run, i) => (i % step === 0 ? [{ at: i + 1, label: commitText(run) }] : []))
}

function chartOf({ runs }: Group, { name, unit, better }: HistoryFigure): Chart {
  const line = (label: string, pick: (figure: HistoryFigure) => number | undefined): ChartSeries => {
    const points = runs.flatMap(({ figures }, i): [number, number][] => {
      const figure = figures.find((each) => each.name === name)
      const value = figure && pick(figure)
      return value === undefined ? [] : [[i + 1, value]]
    })
    return { label, points }
  }
  const series = [
    line('value', ({ value }) => value),
    line('lowest', ({ range }) => range?.[0]),
    line('highest', ({ range }) => range?.[1]),
  ].filter(({ points }) => points.length > 0)
  const most = Math.max(...series.flatMap(({ points }) => points.map(([, y]) => y)))
  return {
    title: name,
    x: { title: 'commit', log: false, ticks: runTicks(runs) },
    y: { title: `${unit}, ${better} is better`, log: false, ticks: linearTicks(most) },
    series,
  }
}

/** How a figure has changed from the run before to the last one, in percent of the former; empty where there is no run before. */
function changeText(runs: readonly HistoryRun[], { name, better }: HistoryFigure): string {
  const values = runs.flatMap(({ figures }) => figures.find((figure) => figure.name === name)?.value ?? [])
  const [before, last] = [values.at(-2), values.at(-1)]
  if (before === undefined || last === undefined || before === 0) return ''
  const percent = (last / before - 1) * 100
  const sign = percent > 0 ? '+' : ''
  const verdict = percent === 0 ? '' : percent > 0 === (better === 'higher') ? ', better' : ', worse'
  return `${sign}${percent.toFixed(1)} %${verdict}`
}

function figureRow(runs: readonly HistoryRun[], figure: HistoryFigure): string[] {
  const last = runs.flatMap(({ figures }) => figures.find(({ name }) => name === figure.name) ?? []).at(-1)!
  const { name, unit, range, value } = last
  const spread = range === undefined ? '' : `${formatFigure(range[0])} to ${formatFigure(range[1])}`
  return [name, formatFigure(value), unit, spread, changeText(runs, figure)]
}

function section(group: Group): string {
  const { benchmark, settings, machine, runs } = group
  const figures = figuresOf(runs)
  const drawn = figures.map((figure) => {
    return `<figure><figcaption>${escapeHtml(figure.name)}</figcaption>${drawChart(chartOf(group, figure))}</figure>`
  })
  // One run is a point, and no line.
  const charts = runs.length > 1 ? drawn.join('\n') : ''
  const runRows = runs.map((run) => [
    commitText(run),
    run.startedAt,
    run.environment.loadAverage.toFixed(1),
    String(run.figures.length),
  ])
  return [
    `<section><h2>${escapeHtml(benchmark)}</h2><p>${escapeHtml(settings)}<br>${escapeHtml(machine)}</p>`,
    htmlTable(
      ['last run', '', 'unit', 'rounds', 'since the run before'],
      figures.map((figure) => figureRow(runs, figure)),
    ),
    `<div class="charts">${charts}</div>`,
    htmlTable(['commit', 'started', 'load average before', 'figures'], runRows),
    '</section>',
  ].join('\n')
}

/** The history as one HTML page that needs nothing else: no script, no style, font or picture from anywhere. */
export function formatHistory(runs: readonly HistoryRun[]): string {
  const count = runs.length === 1 ? '1 run' : `${runs.length} runs`
  const intro =
    'Runs are compared where the benchmark, its settings and the machine are the same. What else the machine did is in ' +
    'no figure: the load average before a run tells of it, and a difference of less than the rounds differ is none.'
  return htmlPage(
    'History of benchmarks',
    `<h1>History of benchmarks</h1>\n<p>${escapeHtml(`${count}. ${intro}`)}</p>\n${groupsOf(runs).map(section).join('\n')}`,
  )
}

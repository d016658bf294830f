import { type BenchReport, kindNames, type OperationKind, type Spread, spreadOf } from '@quorumkv/cli/bench'
import { grownValue } from '../growth/plan.js'
import type { GrowthReport } from '../growth/run.js'
import type { MicroReport } from '../micro/run.js'
import type { ModelReport } from '../model/run.js'
import type { ClusterSettings } from '../options.js'
import type { PeersReport } from '../peers/peers-report.js'
import type { StoreReport, Unit } from '../store-report.js'
import type { HistoryFigure, HistoryRun } from './history.js'

function fromSpread(name: string, unit: string, better: HistoryFigure['better'], spread: Spread): HistoryFigure {
  return { name, unit, better, value: spread.median, range: [spread.min, spread.max] }
}

/** What the history keeps of a run side by side with others: every store's throughput, and the ratios to it. */
export function peersRun(report: PeersReport): HistoryRun {
  const { startedAt, environment, keys, valueBytes, rounds, secondsPerRound, fileSystem } = report
  const settings = {
    ...{ keys: String(keys), values: `${valueBytes} B`, 'file system': fileSystem },
    rounds: `${rounds} of ${secondsPerRound} s`,
    with: report.contestants
      .map(({ name, settings: { version } }) => (version ? `${name} ${version}` : name))
      .join(', '),
  }
  const figures = report.phases.flatMap(({ workload, inFlight, rows }) =>
    rows.flatMap(({ contestant, opsPerSecond, ratio }) => {
      const phase = `${workload}, ${inFlight} in flight`
      return [
        fromSpread(`${contestant}: ${phase}`, 'ops/s', 'higher', opsPerSecond),
        ...(ratio === undefined ? [] : [fromSpread(`over ${contestant}: ${phase}`, '×', 'higher', ratio)]),
      ]
    }),
  )
  return { formatVersion: 1, startedAt, benchmark: 'peers', environment, settings, figures }
}

/** What the history keeps of a cluster under load: throughput of each phase, and the latencies of each kind of operation. */
export function clusterRun(
  { startedAt, environment, target, data, phases }: BenchReport,
  { runs, seconds }: Pick<ClusterSettings, 'runs' | 'seconds'>,
): HistoryRun {
  const measured = new Map<string, number[]>()
  const add = (name: string, value: number): void => void measured.set(name, [...(measured.get(name) ?? []), value])
  for (const phase of phases) {
    const rate = phase.loop.kind === 'open' ? `, ${phase.loop.ratePerSecond}/s` : ''
    const name = `${phase.name}, ${phase.distribution}, ${phase.inFlight} in flight${rate}`
    add(name, phase.opsPerSecond)
    for (const [kind, { p50Us, p99Us }] of Object.entries(phase.latency)) {
      const named = `${name}: ${kindNames[kind as OperationKind]}`
      add(`${named} p50`, p50Us)
      add(`${named} p99`, p99Us)
    }
  }
  const figures = [...measured].map(([name, values]): HistoryFigure => {
    const [unit, better] = / p\d+$/.test(name) ? (['µs', 'lower'] as const) : (['ops/s', 'higher'] as const)
    return values.length > 1
      ? fromSpread(name, unit, better, spreadOf(values))
      : { name, unit, better, value: values[0]! }
  })
  // The version is what runs are compared for, as the commit is, and nothing that keeps them apart.
  const { 'kv-server': _, ...asked } = target.settings
  const rounds = `${runs} of ${seconds} s`
  const settings = { keys: String(data.keys), values: `${data.valueBytes} B`, rounds, ...asked }
  return { formatVersion: 1, startedAt, benchmark: 'cluster', environment, settings, figures }
}

/** What the history keeps of the micro-benchmarks: each case's median. */
export function microRun({ startedAt, environment, results }: MicroReport): HistoryRun {
  const figures = results.map(({ group, name, p50Ns }): HistoryFigure => {
    return { name: `${group}: ${name.trim()}`, unit: 'ns', better: 'lower', value: p50Ns }
  })
  return { formatVersion: 1, startedAt, benchmark: 'micro', environment, settings: {}, figures }
}

/** Whether more is better, of figures of the store. */
const betterOf: Readonly<Record<Unit, HistoryFigure['better']>> = {
  '/s': 'higher',
  'MB/s': 'higher',
  writes: 'higher',
  B: 'lower',
  ms: 'lower',
}

/** What the history keeps of a run of one node's storage. */
export function storeRun({ startedAt, environment, form, fileSystem, sections }: StoreReport): HistoryRun {
  const figures = sections.flatMap(({ figure, title, measurements }) =>
    measurements.map(({ name, value, unit, range }): HistoryFigure => {
      const described = `${figure}, ${title}: ${name.trim()}`
      const rounds = range && ([range.min, range.max] as const)
      return { name: described, unit, better: betterOf[unit], value, ...(rounds && { range: rounds }) }
    }),
  )
  const settings = { form, 'file system': fileSystem }
  return { formatVersion: 1, startedAt, benchmark: 'store', environment, settings, figures }
}

/** What the history keeps of the suites that were published for another store: rates, and mean latencies of writes alone. */
export function modelRun({
  startedAt,
  environment,
  rounds,
  secondsPerRound,
  fileSystem,
  results,
}: ModelReport): HistoryRun {
  const figures = results.map(({ suite, fsync, opsPerSecond, meanUs }): HistoryFigure => {
    const name = `${suite.name}, fsync ${fsync}`
    if (suite.workload === 'write-only') return fromSpread(name, 'µs', 'lower', meanUs)
    return fromSpread(name, 'ops/s', 'higher', opsPerSecond)
  })
  const settings = { 'file system': fileSystem, rounds: `${rounds} of ${secondsPerRound} s` }
  return { formatVersion: 1, startedAt, benchmark: 'model', environment, settings, figures }
}

/** What the history keeps of work that grows: throughput, and what an operation costs the nodes, of each point. */
export function growthRun(report: GrowthReport): HistoryRun {
  const { startedAt, environment, fileSystem, workload, rounds, secondsPerRound, results } = report
  const figures = results.flatMap(({ series, point, opsPerSecond, serverCpuUs }) => {
    const name = `${series} ${grownValue(series, point)}`
    return [
      fromSpread(`${name}, throughput`, 'ops/s', 'higher', opsPerSecond),
      ...(serverCpuUs === undefined
        ? []
        : [fromSpread(`${name}, processor time of the nodes`, 'µs/op', 'lower', serverCpuUs)]),
    ]
  })
  const settings = { workload, 'file system': fileSystem, rounds: `${rounds} of ${secondsPerRound} s` }
  return { formatVersion: 1, startedAt, benchmark: 'growth', environment, settings, figures }
}

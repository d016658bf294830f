import type { BenchReport, PhaseReport } from './report.js'
import { type Spread, spreadOf } from './spread.js'
import type { OperationKind, ProcessUsage } from './target.js'

/** How kinds of operation are called in reports. */
export const kindNames: Readonly<Record<OperationKind, string>> = {
  read: 'read',
  update: 'update',
  insert: 'insert',
  scan: 'scan',
  readModifyWrite: 'read-modify-write',
}

/** Whole numbers with thousands apart, small ones with one digit more. */
export function formatNumber(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 1 : 0 })
}

/** `95 % read, 5 % update` */
export function formatMix({ mix }: PhaseReport): string {
  const parts = Object.entries(mix) as [OperationKind, number][]
  return parts.map(([kind, share]) => `${formatNumber(share * 100)} % ${kindNames[kind]}`).join(', ')
}

/** `closed`, or `open, 5,000/s (poisson)` */
export function formatLoop({ loop }: PhaseReport): string {
  return loop.kind === 'closed' ? 'closed' : `open, ${formatNumber(loop.ratePerSecond)}/s (${loop.arrivals})`
}

/** CPU microseconds for each operation that succeeded; undefined where nobody can say. */
export function cpuPerOperationUs(processes: readonly ProcessUsage[], operations: number): number | undefined {
  if (processes.length === 0 || operations === 0) return undefined
  return (processes.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0) / operations) * 1e6
}

/** Memory of all of them; undefined where nobody can say. */
export function residentBytes(processes: readonly ProcessUsage[]): number | undefined {
  return processes.length === 0 ? undefined : processes.reduce((sum, { residentBytes }) => sum + residentBytes, 0)
}

/** Throughput of the same phase, run several times. */
export interface PhaseSpread {
  readonly name: string
  readonly runs: number
  readonly opsPerSecond: Spread
}

/** One for each phase that was run more than once, loads apart, and the one that was cut short by an interruption. */
export function spreads({ phases, interrupted }: BenchReport): PhaseSpread[] {
  const groups = new Map<string, number[]>()
  for (const phase of interrupted ? phases.slice(0, -1) : phases) {
    if (phase.name === 'load') continue
    const { clients, inFlight, distribution } = phase
    const name = `${phase.name}, ${distribution}, ${clients} × ${formatNumber(inFlight)}, ${formatLoop(phase)}`
    groups.set(name, [...(groups.get(name) ?? []), phase.opsPerSecond])
  }
  const repeated = [...groups].filter(([, rates]) => rates.length > 1)
  return repeated.map(([name, rates]) => ({ name, runs: rates.length, opsPerSecond: spreadOf(rates) }))
}

/** Rows of a table: what was run, how often, and the throughput's median, lowest and highest. */
export function spreadRows(report: BenchReport): string[][] {
  return spreads(report).map(({ name, runs, opsPerSecond: { median, min, max } }) => {
    return [name, ...[runs, median, min, max].map(formatNumber)]
  })
}

export const spreadHead: readonly string[] = ['ops/s over several runs', 'runs', 'median', 'lowest', 'highest']

/** `[what, text]` of everything that a reader must know to judge the figures. */
export function facts(report: BenchReport): [string, string][] {
  const { environment, target, data, startedAt } = report
  const { cpu, cores, memoryBytes, loadAverage, os, node, commit } = environment
  const settings = Object.entries(target.settings).map(([name, value]) => `${name} ${value}`)
  const checked = data.verified ? 'reads verified' : 'reads NOT verified'
  return [
    ['started', startedAt],
    [
      'machine',
      `${cpu}, ${cores} cores, ${formatNumber(memoryBytes / 2 ** 30)} GiB, ${os}, load average ${loadAverage.toFixed(1)} before`,
    ],
    ['program', `Node ${node}, commit ${commit ?? 'unknown'}`],
    ['store', [target.name, ...settings].join(', ')],
    [
      'data',
      `${formatNumber(data.keys)} keys of ${data.keyBytes} B, values of ${formatNumber(data.valueBytes)} B, ${checked}, seed ${data.seed}`,
    ],
  ]
}

/** Sentences about what went wrong, and what must be known before a figure is believed. */
export function remarks(report: BenchReport): string[] {
  const told: string[] = []
  for (const phase of report.phases) {
    const { name, errors, staleReads, open, operations } = phase
    if (errors.count > 0) {
      const codes = Object.entries(errors.byCode).map(([code, count]) => `${formatNumber(count)} ${code}`)
      told.push(`FAILED: ${name}: ${codes.join(', ')}; for example: ${errors.examples.join('; ')}`)
    }
    if (staleReads > 0 && errors.byCode['stale-value'] === undefined) {
      told.push(
        `${name}: ${formatNumber(staleReads)} reads gave a superseded value, as this level of consistency allows.`,
      )
    }
    if (open !== undefined && open.notStarted > 0) {
      const share = ((open.notStarted / open.due) * 100).toFixed(1)
      told.push(
        `${name}: ${formatNumber(open.notStarted)} of ${formatNumber(open.due)} operations that were due (${share} %) never started: ` +
          'the store does not keep up with this rate, and the latencies tell only of those that it did.',
      )
    }
    if (operations > 0 && phase.usage.client.cpuSeconds > 0.9 * phase.seconds && phase.loop.kind === 'closed') {
      told.push(`${name}: the load generator used a whole core: it may have been the limit, and not the store.`)
    }
  }
  if (report.target.settings['file system'] === 'tmpfs')
    told.push('The data was kept on tmpfs, where fsync costs nothing.')
  if (report.interrupted) told.push('Interrupted: the last phase is shorter than asked for, and others may be missing.')
  return told
}

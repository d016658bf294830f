import type { Environment, ProcessUsage, Usage } from '@quorumkv/cli/bench'
import type { Histogram } from 'hdr-histogram-js'
import type { ErrorTally, Latencies } from './runner.js'
import type { Kind } from './workload.js'

/** One kind of operation in one phase. Latencies are in microseconds, to three digits, of what succeeded. */
export interface KindSummary {
  readonly operations: number
  readonly opsPerSecond: number
  readonly meanUs: number
  readonly p50Us: number
  readonly p95Us: number
  readonly p99Us: number
  readonly p999Us: number
  readonly maxUs: number
}

export interface ErrorSummary {
  readonly count: number
  readonly byCode: Readonly<Record<string, number>>
  /** Some of them, word for word. */
  readonly examples: readonly string[]
}

/** What one kind of load did. */
export interface PhaseReport {
  readonly name: string
  /** How operations start: in a closed loop, when another one has ended. */
  readonly loop: 'closed'
  readonly inFlight: number
  readonly seconds: number
  readonly operations: number
  readonly opsPerSecond: number
  readonly get?: KindSummary
  readonly put?: KindSummary
  /** Those of the warm-up included. */
  readonly errors: ErrorSummary
  /** CPU time during the phase, memory at its end. */
  readonly usage: Usage
}

/** What was measured, and on what. */
export interface ClusterReport {
  readonly benchmark: 'cluster'
  readonly startedAt: string
  readonly environment: Environment
  readonly cluster: {
    readonly nodes: number
    readonly serverVersion: string
    /** Undefined where the cluster was running before. */
    readonly fsync?: string
    readonly fileSystem?: string
    readonly replicationFactor: number
    readonly readQuorum: number
    readonly writeQuorum: number
  }
  readonly workload: {
    readonly keys: number
    readonly keyBytes: number
    readonly valueBytes: number
    readonly distribution: 'uniform'
    readonly consistency: 'quorum'
    readonly seed: string
    readonly warmUpSeconds: number
  }
  readonly phases: readonly PhaseReport[]
  /** No operation failed, and all that was read was right. */
  readonly ok: boolean
}

function summarise(histogram: Histogram, seconds: number): KindSummary {
  // A quantile is told as the upper end of its bucket, which can lie above the largest value that there was.
  const quantile = (percent: number): number => Math.min(histogram.getValueAtPercentile(percent), histogram.maxValue)
  return {
    operations: histogram.totalCount,
    opsPerSecond: histogram.totalCount / seconds,
    meanUs: histogram.mean,
    p50Us: quantile(50),
    p95Us: quantile(95),
    p99Us: quantile(99),
    p999Us: quantile(99.9),
    maxUs: histogram.maxValue,
  }
}

/** What is known of a phase when it has ended. */
export interface PhaseFacts {
  readonly name: string
  readonly inFlight: number
  readonly seconds: number
  readonly latencies: Latencies
  readonly errors: ErrorTally
  readonly usage: Usage
}

export function reportPhase({ name, inFlight, seconds, latencies, errors, usage }: PhaseFacts): PhaseReport {
  const operations = latencies.get.totalCount + latencies.put.totalCount
  return {
    name,
    loop: 'closed',
    inFlight,
    seconds,
    operations,
    opsPerSecond: seconds > 0 ? operations / seconds : 0,
    ...(latencies.get.totalCount > 0 && { get: summarise(latencies.get, seconds) }),
    ...(latencies.put.totalCount > 0 && { put: summarise(latencies.put, seconds) }),
    errors: { count: errors.count, byCode: Object.fromEntries(errors.byCode), examples: errors.examples },
    usage,
  }
}

/** Whole numbers with thousands apart, small ones with one digit more. */
function number(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 1 : 0 })
}

/** Rows in columns: figures to the right, the first column, or all, to the left. */
function table(rows: readonly (readonly string[])[], figures = true): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 || !figures ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
  return rows.map((row) => line(row).trimEnd()).join('\n')
}

const phaseHead = ['', 'in flight', 'ops', 'ops/s', 'mean', 'p50', 'p95', 'p99', 'p99.9', 'max', 'errors']

function kindRow(label: string, kind: KindSummary): string[] {
  const { operations, opsPerSecond, meanUs, p50Us, p95Us, p99Us, p999Us, maxUs } = kind
  const figures = [operations, opsPerSecond, meanUs, p50Us, p95Us, p99Us, p999Us, maxUs]
  return [label, '', ...figures.map(number), '']
}

function phaseRows(phase: PhaseReport): string[][] {
  const { name, inFlight, operations, opsPerSecond, errors } = phase
  const none = ['', '', '', '', '', '']
  const total = [name, number(inFlight), number(operations), number(opsPerSecond), ...none, number(errors.count)]
  const kinds = (['get', 'put'] satisfies Kind[]).flatMap((kind) => {
    const summary = phase[kind]
    return summary === undefined ? [] : [kindRow(`  ${kind}`, summary)]
  })
  return [total, ...kinds]
}

function usageTable(phases: readonly PhaseReport[]): string {
  const ids = phases[0]!.usage.servers.map(({ id }) => id)
  const cell = ({ cpuSeconds, residentBytes }: ProcessUsage): string =>
    `${cpuSeconds.toFixed(1)} s ${(residentBytes / 2 ** 20).toFixed(0)} MiB`
  const rows = phases.map(({ name, seconds, usage }) => {
    return [name, `${seconds.toFixed(1)} s`, cell(usage.client), ...usage.servers.map(cell)]
  })
  return table([['CPU time and resident memory', 'took', 'client', ...ids], ...rows])
}

function header({ environment, cluster, workload, startedAt }: ClusterReport): string {
  const { cpu, cores, memoryBytes, loadAverage, os, node, commit } = environment
  const { nodes, serverVersion, fsync, fileSystem, replicationFactor, readQuorum, writeQuorum } = cluster
  const where = fsync === undefined ? 'running before; its fsync is not known' : `fsync ${fsync} on ${fileSystem}`
  const lines = [
    ['started', startedAt],
    [
      'machine',
      `${cpu}, ${cores} cores, ${number(memoryBytes / 2 ** 30)} GiB, ${os}, load average ${loadAverage.toFixed(1)} before`,
    ],
    ['program', `Node ${node}, kv-server ${serverVersion}, commit ${commit ?? 'unknown'}`],
    [
      'cluster',
      `${nodes} ${nodes === 1 ? 'node' : 'nodes'}, N/R/W ${replicationFactor}/${readQuorum}/${writeQuorum}, ${where}`,
    ],
    [
      'workload',
      `${number(workload.keys)} keys of ${workload.keyBytes} B, values of ${number(workload.valueBytes)} B, ` +
        `${workload.distribution}, consistency ${workload.consistency}, seed ${workload.seed}, ` +
        `${workload.warmUpSeconds} s warm-up`,
    ],
    ['loop', 'closed, from one client process; coordinated omission is not corrected'],
  ]
  return table(lines, false)
}

function errorLines(phases: readonly PhaseReport[]): string[] {
  return phases.flatMap(({ name, errors }) => {
    if (errors.count === 0) return []
    const codes = Object.entries(errors.byCode).map(([code, count]) => `${count} ${code}`)
    return [`FAILED: ${name}: ${codes.join(', ')}; for example`, ...errors.examples.map((example) => `  ${example}`)]
  })
}

/** The report for people. */
export function formatReport(report: ClusterReport): string {
  const { cluster, phases } = report
  const parts = [header(report)]
  if (phases.length > 0) {
    parts.push(`latencies in µs\n${table([phaseHead, ...phases.flatMap(phaseRows)])}`, usageTable(phases))
  }
  if (cluster.fileSystem === 'tmpfs') {
    parts.push('The data was kept on tmpfs, where fsync costs nothing: see --data-dir.')
  }
  const errors = errorLines(phases)
  if (errors.length > 0) parts.push(errors.join('\n'))
  return `${parts.join('\n\n')}\n`
}

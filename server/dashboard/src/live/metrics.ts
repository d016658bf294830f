import type { LatencyView, LoadByKind, NodeView, OperationKind, OperationLoad } from '../../../src/feed/view.js'

/** What is kept of each second, for charts. */
export const metrics = [
  'get',
  'put',
  'delete',
  'scan',
  'replicaOps',
  'errors',
  'quorumFailures',
  'readP50',
  'readP99',
  'readP999',
  'writeP50',
  'writeP99',
  'writeP999',
  'replicaReadP50',
  'replicaReadP99',
  'replicaReadP999',
  'replicaWriteP50',
  'replicaWriteP99',
  'replicaWriteP999',
  'loopDelay',
  'fdatasync',
  'cpu',
  'rss',
  'heap',
  'hints',
  'differing',
  'repairs',
] as const
export type Metric = (typeof metrics)[number]
export type Sample = Record<Metric, number>

/** Of several nodes: those that add up do; of the others the worst is taken, but the middle for p50. */
const summed: ReadonlySet<Metric> = new Set([
  'get',
  'put',
  'delete',
  'scan',
  'replicaOps',
  'errors',
  'quorumFailures',
  'cpu',
  'rss',
  'heap',
  'hints',
  'differing',
  'repairs',
])

const kinds: readonly OperationKind[] = ['get', 'put', 'delete', 'scan']

/** All operations of one role, in a second. */
export function totalRate(load: LoadByKind | undefined): number {
  return kinds.reduce((sum, kind) => sum + (load?.[kind]?.rate ?? 0), 0)
}

export function totalErrors(load: LoadByKind | undefined): number {
  return kinds.reduce((sum, kind) => sum + (load?.[kind]?.errors ?? 0), 0)
}

/** Of puts and deletes: the worse. */
export function writeLatency(load: LoadByKind | undefined): LatencyView | undefined {
  const [put, remove] = [load?.put, load?.delete]
  if (put === undefined || remove === undefined) return put ?? remove
  return {
    p50: busier(put, remove).p50,
    p99: Math.max(put.p99, remove.p99),
    p999: Math.max(put.p999, remove.p999),
    max: Math.max(put.max, remove.max),
  }
}

function busier(a: OperationLoad, b: OperationLoad): OperationLoad {
  return a.rate >= b.rate ? a : b
}

/** What one member's figures say now. */
export function sampleOf({ load, process, storage, repair }: NodeView): Sample {
  const { coordinator, replica } = load ?? { coordinator: {}, replica: {} }
  const [read, write] = [coordinator.get, writeLatency(coordinator)]
  const [replicaRead, replicaWrite] = [replica.get, writeLatency(replica)]
  return {
    get: coordinator.get?.rate ?? 0,
    put: coordinator.put?.rate ?? 0,
    delete: coordinator.delete?.rate ?? 0,
    scan: coordinator.scan?.rate ?? 0,
    replicaOps: totalRate(replica),
    errors: totalErrors(coordinator),
    quorumFailures: load?.quorumFailures ?? 0,
    readP50: read?.p50 ?? 0,
    readP99: read?.p99 ?? 0,
    readP999: read?.p999 ?? 0,
    writeP50: write?.p50 ?? 0,
    writeP99: write?.p99 ?? 0,
    writeP999: write?.p999 ?? 0,
    replicaReadP50: replicaRead?.p50 ?? 0,
    replicaReadP99: replicaRead?.p99 ?? 0,
    replicaReadP999: replicaRead?.p999 ?? 0,
    replicaWriteP50: replicaWrite?.p50 ?? 0,
    replicaWriteP99: replicaWrite?.p99 ?? 0,
    replicaWriteP999: replicaWrite?.p999 ?? 0,
    loopDelay: process?.loopDelay.p99 ?? 0,
    fdatasync: storage?.fdatasync.p99 ?? 0,
    cpu: process?.cpu ?? 0,
    rss: process?.rssBytes ?? 0,
    heap: process?.heapUsedBytes ?? 0,
    hints: repair?.hintsWaiting ?? 0,
    differing: repair?.differingSlots ?? 0,
    repairs: (repair?.readRepairs ?? 0) + (repair?.pulled ?? 0) + (repair?.pushed ?? 0),
  }
}

/** The cluster as one: see `summed`. Percentiles of several nodes cannot be added up; the slowest node's are honest. */
export function combined(samples: readonly Sample[]): Sample {
  const entries = metrics.map((metric): [Metric, number] => {
    const values = samples.map((sample) => sample[metric])
    if (summed.has(metric)) return [metric, values.reduce((sum, value) => sum + value, 0)]
    if (metric.endsWith('P50')) return [metric, median(values.filter((value) => value > 0))]
    return [metric, values.reduce((most, value) => Math.max(most, value), 0)]
  })
  return Object.fromEntries(entries) as Sample
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0
}

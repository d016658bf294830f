import type { SnapshotInfo, Store } from '@quorumkv/internal/store'
import { openInDirectory } from './store-disk.js'
import { LoopStallMeter } from './store-meters.js'
import { MixedLoad, type MixedLoadOptions, type MixedResult } from './store-mixed-load.js'
import { fill, Stamps } from './store-records.js'
import { budgets, type Measurement } from './store-report.js'

/** Snapshots, of an idle store and of one that has something to do. */
export interface SnapshotTask {
  readonly kind: 'snapshot'
  readonly entries: number
  /** How long the load is measured with no snapshot beside it. */
  readonly aloneMs: number
}

export async function measureSnapshot(task: SnapshotTask, directory: string, seed: string): Promise<Measurement[]> {
  const { entries, aloneMs } = task
  const stamps = new Stamps()
  const store = await openInDirectory(directory, { fsync: 'always', snapshots: 'on-demand' })
  await fill(store, 0, entries, { seed, stamps, batchRecords: 64, commitsInFlight: 16 })
  const idle = await idleSnapshot(store)
  // Small batches: with large ones the load's own turns of the event loop would be the longest.
  const load = { keys: entries, seed, stamps, batchRecords: 16, commitsInFlight: 4 }
  const measured = [...idle, ...(await sideBySide(store, 'that load', load, aloneMs))]
  // As many small commits as there can be: what a snapshot took from these was seven eighths once.
  const small = { ...load, batchRecords: 1, commitsInFlight: 256 }
  measured.push(...(await sideBySide(store, '256 commits of one put', small, aloneMs)))
  await store.close()
  return measured
}

/** The load with no snapshot beside it, and then with one. */
async function sideBySide(store: Store, name: string, load: MixedLoadOptions, aloneMs: number): Promise<Measurement[]> {
  const until = performance.now() + aloneMs
  const alone = await MixedLoad.while(store, load, () => performance.now() < until)
  return [
    loadOf(`${name}, without a snapshot`, alone),
    { name: '  longest event-loop stall', value: alone.loopStallMs, unit: 'ms' },
    { name: '  longest time in which no operation ended', value: alone.gapMs, unit: 'ms' },
    ...(await busySnapshot(store, name, load)),
  ]
}

async function idleSnapshot(store: Store): Promise<Measurement[]> {
  const stalls = await LoopStallMeter.start()
  const started = performance.now()
  const info = await store.snapshot()
  const seconds = (performance.now() - started) / 1000
  return [
    rateOf('snapshot of an idle store', info, seconds),
    { name: '  longest event-loop stall', value: await stalls.stop(), unit: 'ms', budget: budgets.stallMs },
  ]
}

async function busySnapshot(store: Store, name: string, load: MixedLoadOptions): Promise<Measurement[]> {
  const started = performance.now()
  let seconds: number | undefined
  const taken = store.snapshot().finally(() => {
    seconds = (performance.now() - started) / 1000
  })
  const [info, result] = await Promise.all([taken, MixedLoad.while(store, load, () => seconds === undefined)])
  return [
    rateOf(`snapshot under ${name}`, info, seconds!),
    loadOf('  the load meanwhile', result),
    { name: '  longest event-loop stall', value: result.loopStallMs, unit: 'ms', budget: budgets.stallMs },
    { name: '  longest time in which no operation ended', value: result.gapMs, unit: 'ms' },
  ]
}

function rateOf(name: string, { bytes }: SnapshotInfo, seconds: number): Measurement {
  return { name, value: bytes / 1e6 / seconds, unit: 'MB/s' }
}

/** Operations per second, with the latencies of its puts. */
function loadOf(name: string, { gets, puts, seconds, putUs }: MixedResult): Measurement {
  return { name, value: (gets + puts) / seconds, unit: '/s', ...(putUs && { latencyUs: putUs }) }
}

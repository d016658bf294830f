import type { FsyncPolicy } from '@quorumkv/internal/store'
import { openInDirectory } from './store-disk.js'
import { MixedLoad, type MixedResult, type Windows } from './store-mixed-load.js'
import { fill, Stamps } from './store-records.js'
import type { Measurement } from './store-report.js'

/** Gets and puts half and half: so many of them, and then for some time. */
export interface StressTask {
  readonly kind: 'stress'
  readonly fsync: FsyncPolicy
  readonly keys: number
  readonly operations: number
  readonly windows: Windows
  readonly batchRecords: number
  readonly commitsInFlight: number
}

export async function measureStress(task: StressTask, directory: string, seed: string): Promise<Measurement[]> {
  const { fsync, keys, operations, windows, batchRecords, commitsInFlight } = task
  const options = { keys, seed, stamps: new Stamps(), batchRecords, commitsInFlight }
  const store = await openInDirectory(directory, { fsync, snapshots: 'as-served' })
  await fill(store, 0, keys, options)
  const counted = await MixedLoad.count(store, options, operations)
  const timed = await MixedLoad.timed(store, { ...options, seed: `${seed}/timed` }, windows)
  await store.close()
  const secondAt = (window: number): number => (window * windows.windowMs) / 1000
  return [
    ...countedFigures(counted),
    { name: `then for ${secondAt(windows.count)} s`, value: (timed.gets + timed.puts) / timed.seconds, unit: '/s' },
    ...timed.perSecond.map((value, i) => {
      return { name: `  second ${secondAt(i)} to ${secondAt(i + 1)}`, value, unit: '/s' } as const
    }),
    { name: '  longest time in which no operation ended', value: timed.gapMs, unit: 'ms' },
    { name: '  longest event-loop stall', value: timed.loopStallMs, unit: 'ms' },
  ]
}

function countedFigures({ gets, puts, seconds, getUs, putUs, gapMs, loopStallMs }: MixedResult): Measurement[] {
  return [
    { name: `${(gets + puts).toLocaleString('en-US')} operations`, value: (gets + puts) / seconds, unit: '/s' },
    { name: '  took', value: seconds * 1000, unit: 'ms' },
    { name: '  get', value: gets / seconds, unit: '/s', ...(getUs && { latencyUs: getUs }) },
    { name: '  put, until acknowledged', value: puts / seconds, unit: '/s', ...(putUs && { latencyUs: putUs }) },
    { name: '  longest time in which no operation ended', value: gapMs, unit: 'ms' },
    { name: '  longest event-loop stall', value: loopStallMs, unit: 'ms' },
  ]
}

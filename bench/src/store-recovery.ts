import { openInDirectory } from './store-disk.js'
import { checkRecord, fill, keyBytes, Stamps, writeKey } from './store-records.js'
import { budgets, type Measurement } from './store-report.js'

/** Leaves a store's files behind, for a process that has none of it in memory. */
export interface FillTask {
  readonly kind: 'fill'
  readonly entries: number
  /** Take a snapshot of all of it at the end. */
  readonly snapshot: boolean
}

/** Opens what a fill has left. */
export interface RecoverTask {
  readonly kind: 'recover'
  readonly entries: number
  readonly from: 'snapshot' | 'log'
}

export async function fillForRecovery(task: FillTask, directory: string, seed: string): Promise<Measurement[]> {
  const store = await openInDirectory(directory, { fsync: 'never', snapshots: 'on-demand' })
  await fill(store, 0, task.entries, { seed, stamps: new Stamps(), batchRecords: 64, commitsInFlight: 16 })
  if (task.snapshot) await store.snapshot()
  await store.close()
  return []
}

export async function measureRecovery(task: RecoverTask, directory: string): Promise<Measurement[]> {
  const { entries, from } = task
  const started = performance.now()
  const store = await openInDirectory(directory, { fsync: 'always', snapshots: 'on-demand' })
  const seconds = (performance.now() - started) / 1000
  const { entries: found, snapshotSequence } = store.statistics()
  const key = new Uint8Array(keyBytes)
  for (const number of [0, entries >> 1, entries - 1]) {
    writeKey(number, key)
    checkRecord(number, store.get(key))
  }
  await store.close()
  if (found !== entries) throw new Error(`${found} of ${entries} entries were recovered`)
  if (snapshotSequence > 0 !== (from === 'snapshot')) throw new Error(`nothing was recovered from a ${from}`)
  return [
    {
      name: `entries from a ${from}`,
      value: entries / seconds,
      unit: '/s',
      ...(from === 'snapshot' && { budget: budgets.recoveredPerSecond }),
    },
  ]
}

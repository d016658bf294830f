import type { FsyncPolicy } from '@quorumkv/internal/store'
import { openInDirectory } from './store-disk.js'
import { spread } from './store-meters.js'
import { checkRecord, fill, KeyChooser, keyBytes, putMany, Stamps, writeKey } from './store-records.js'
import { type Budget, budgets, type Measurement } from './store-report.js'

/** Puts alone, and gets alone. */
export interface PutGetTask {
  readonly kind: 'put-get'
  readonly fsync: FsyncPolicy
  readonly keys: number
  /** Of each round. */
  readonly puts: number
  /** Of each round; 0: no gets. */
  readonly gets: number
  readonly rounds: number
  readonly batchRecords: number
  readonly commitsInFlight: number
}

export async function measurePutGet(task: PutGetTask, directory: string, seed: string): Promise<Measurement[]> {
  const { fsync, keys, puts, gets, rounds, batchRecords, commitsInFlight } = task
  const chooser = new KeyChooser(keys, seed)
  const options = { seed, stamps: new Stamps(), batchRecords, commitsInFlight }
  const store = await openInDirectory(directory, { fsync, snapshots: 'on-demand' })
  const started = performance.now()
  await fill(store, 0, keys, options)
  const filled: Measurement = {
    name: 'put, new keys',
    value: (keys / (performance.now() - started)) * 1000,
    unit: '/s',
  }
  const putRound = (): Promise<void> => putMany(store, puts, () => chooser.next(), options)
  const key = new Uint8Array(keyBytes)
  const getRound = (): void => {
    for (let i = 0; i < gets; i++) {
      const number = chooser.next()
      writeKey(number, key)
      checkRecord(number, store.get(key))
    }
  }
  const keyRound = (): void => {
    for (let i = 0; i < gets; i++) writeKey(chooser.next(), key)
  }
  // The disk's speed is not the store's to keep.
  const putBudget = fsync === 'never' ? budgets.putPerSecond : undefined
  const measured = [filled, await measureRounds('put, over old ones', puts, rounds, putRound, putBudget)]
  if (gets > 0) {
    measured.push(await measureRounds('get', gets, rounds, getRound, budgets.getPerSecond))
    measured.push(await measureRounds('  part of it: making the key', gets, rounds, keyRound))
  }
  await store.close()
  return measured
}

/** One round that is not measured, and then some that are. */
async function measureRounds(
  name: string,
  operations: number,
  rounds: number,
  round: () => Promise<void> | void,
  budget?: Budget,
): Promise<Measurement> {
  const perSecond: number[] = []
  for (let i = 0; i <= rounds; i++) {
    const started = performance.now()
    await round()
    if (i > 0) perSecond.push((operations / (performance.now() - started)) * 1000)
  }
  const { median, min, max } = spread(perSecond)
  return { name, value: median, unit: '/s', range: { min, max }, ...(budget && { budget }) }
}

import type { StoredRecord } from '@quorumkv/internal/record'
import { type CommitResult, type Store, Table } from '@quorumkv/internal/store'
import { expect, test } from 'vitest'
import { MixedLoad, type MixedLoadOptions } from './store-mixed-load.js'
import { fill, Stamps } from './store-records.js'

/** What the load sees of a store: a table, and commits that take a turn of the event loop. */
class FakeStore {
  readonly table: Table = new Table()
  readonly commits: number[] = []
  inFlight = 0
  mostInFlight = 0

  get face(): Store {
    return this as unknown as Store
  }

  async commit(records: readonly StoredRecord[]): Promise<CommitResult[]> {
    this.commits.push(records.length)
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight)
    await new Promise(setImmediate)
    this.inFlight--
    for (const record of records) this.table.merge(record)
    return records.map(() => ({ applied: true, seen: undefined, existed: false, previous: undefined }))
  }

  get(key: Uint8Array): StoredRecord | undefined {
    return this.table.get(key)
  }
}

async function prepare(): Promise<{ store: FakeStore; options: MixedLoadOptions }> {
  const store = new FakeStore()
  const options = { keys: 500, seed: '1', stamps: new Stamps(), batchRecords: 8, commitsInFlight: 4 }
  await fill(store.face, 0, options.keys, options)
  store.commits.length = 0
  store.mostInFlight = 0
  return { store, options }
}

test('as many operations as asked for, half of them puts in full batches, no more in flight than asked for', async () => {
  const { store, options } = await prepare()
  const { gets, puts, getUs, putUs } = await MixedLoad.count(store.face, options, 4000)
  expect(gets + puts).toBeGreaterThanOrEqual(4000)
  expect(puts).toBe(store.commits.reduce((sum, records) => sum + records))
  expect(new Set(store.commits)).toEqual(new Set([8]))
  expect(store.mostInFlight).toBe(4)
  expect(gets / (gets + puts)).toBeGreaterThan(0.4)
  expect(gets / (gets + puts)).toBeLessThan(0.6)
  expect(getUs).toBeDefined()
  expect(putUs).toBeDefined()
})

test('the load ends when it is told to, with what was in flight', async () => {
  const { store, options } = await prepare()
  let asked = 0
  await MixedLoad.while(store.face, options, () => ++asked <= 6)
  expect(store.commits).toHaveLength(6)
  expect(store.inFlight).toBe(0)
})

test('a get that finds nothing fails the run', async () => {
  const { store, options } = await prepare()
  const run = MixedLoad.count(store.face, { ...options, keys: 5000 }, 4000)
  await expect(run).rejects.toThrow('is missing')
})

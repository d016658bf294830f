import { WrongValueError } from '@quorumkv/cli/bench'
import type { CommitResult, Store } from '@quorumkv/internal/store'
import { Table } from '@quorumkv/internal/store'
import { expect, test } from 'vitest'
import { Batch, checkRecord, fill, KeyChooser, keyBytes, putMany, Stamps, writeKey } from './store-records.js'

const applied: CommitResult = { applied: true, seen: undefined, existed: false, previous: undefined }

/** What these functions see of a store: a table, and results that say whether it took a record. */
class FakeStore {
  readonly table: Table = new Table()
  readonly commits: number[] = []
  refuse = false

  get face(): Store {
    return this as unknown as Store
  }

  async commit(records: Parameters<Store['commit']>[0]): Promise<CommitResult[]> {
    this.commits.push(records.length)
    for (const record of records) this.table.merge(record)
    return records.map(() => ({ ...applied, applied: !this.refuse }))
  }

  get(number: number) {
    return this.table.get(keyOf(number))
  }
}

function keyOf(number: number): Uint8Array {
  const key = new Uint8Array(keyBytes)
  writeKey(number, key)
  return key
}

function options(batchRecords: number, commitsInFlight: number) {
  return { seed: '1', stamps: new Stamps(), batchRecords, commitsInFlight }
}

test('keys differ, also far apart', () => {
  const numbers = [0, 1, 2, 255, 256, 65_536, 9_999_999, 2 ** 24, 2 ** 32 - 1]
  expect(new Set(numbers.map((number) => keyOf(number).join())).size).toBe(numbers.length)
})

test('filling puts every key once, the rest of the last batch included', async () => {
  const store = new FakeStore()
  await fill(store.face, 10, 110, options(16, 3))
  expect(store.commits.reduce((sum, records) => sum + records)).toBe(100)
  expect(store.table.entries).toBe(100)
  for (let number = 10; number < 110; number++) checkRecord(number, store.get(number))
})

test('a value of another key, a missing one and one of another size are found', async () => {
  const store = new FakeStore()
  await fill(store.face, 1000, 1002, options(4, 1))
  const record = store.get(1001)!
  checkRecord(1001, record)
  expect(() => checkRecord(1000, record)).toThrow(WrongValueError)
  expect(() => checkRecord(7, undefined)).toThrow('key 7 is missing')
  expect(() => checkRecord(1001, { ...record, value: record.value.subarray(1) })).toThrow(WrongValueError)
})

test('each put of a key is above the one before, within a batch and across batches', async () => {
  const store = new FakeStore()
  const seen: number[] = []
  const commit = store.commit.bind(store)
  store.commit = async (records) => {
    for (const { lo } of records) seen.push(lo)
    return commit(records)
  }
  await putMany(store.face, 40, () => 5, options(8, 2))
  expect(seen).toHaveLength(40)
  for (let i = 1; i < seen.length; i++) expect(seen[i]).toBeGreaterThan(seen[i - 1]!)
})

test('a record that the store refuses fails the run', async () => {
  const store = new FakeStore()
  store.refuse = true
  const batch = new Batch(2, new Stamps(), '1')
  batch.add(1)
  await expect(batch.commit(store.face)).rejects.toThrow('stale')
})

test('keys are chosen alike often, and the same seed chooses the same', () => {
  const counts = new Array<number>(10).fill(0)
  const chooser = new KeyChooser(10, '1')
  const again = new KeyChooser(10, '1')
  for (let i = 0; i < 10_000; i++) {
    const number = chooser.next()
    expect(again.next()).toBe(number)
    counts[number]!++
  }
  // Six standard deviations.
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(180)
})

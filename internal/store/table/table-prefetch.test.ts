import fc from 'fast-check'
import { expect, it } from 'vitest'
import { emptyBytes, equalBytes, type Slot } from '../../base/index.js'
import { murmur3_32 } from '../../hash/index.js'
import { compareRecords, type StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import { Arena } from './arena.js'
import { Table } from './table.js'
import { prefetchKeysMax } from './table-prefetch.js'

const text = new TextEncoder()
/** Two of one hash, some of one slot, and enough others for several passes. */
const keys: readonly Uint8Array[] = ['k15599', 'k97211', ...Array.from({ length: 150 }, (_, i) => `key-${i}`)].map(
  (key) => text.encode(key),
)

const arbitraryRecord: fc.Arbitrary<StoredRecord> = fc
  .record({
    key: fc.constantFrom(...keys),
    lo: fc.nat(3),
    tombstone: fc.boolean(),
    expiresAtMs: fc.constantFrom(0, 1, 2 ** 48),
    size: fc.constantFrom(0, 1, 100, 2000),
  })
  .map(({ size, ...rest }) => ({
    hi: 1,
    node: 1,
    ...rest,
    value: rest.tombstone ? emptyBytes : new Uint8Array(size).fill(rest.lo),
  }))

function smallTable(): Table {
  return new Table(new Arena(1024))
}

/** Cheap where `toEqual` is not: it runs for every key after every batch. */
function isSame(a: StoredRecord | undefined, b: StoredRecord | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a.key, b.key) && compareRecords(a, b) === 0
}

it('changes no result of reads and merges, whatever is there, absent, doubled or beyond what a pass takes', () => {
  expect(murmur3_32(keys[0]!)).toBe(murmur3_32(keys[1]!))
  const batches = fc.array(fc.array(arbitraryRecord, { maxLength: 3 * prefetchKeysMax, size: 'max' }), { maxLength: 6 })
  fc.assert(
    fc.property(batches, (records) => {
      const [announced, plain] = [smallTable(), smallTable()]
      for (const batch of records) {
        for (const [i, each] of batch.entries()) {
          if (i % prefetchKeysMax === 0) announced.prefetchKeysOf(batch, i, batch.length)
          const [outcome, expected] = [announced.merge(each), plain.merge(each)]
          if (outcome !== expected) expect(outcome).toBe(expected)
        }
        announced.compactStep(500)
        for (const [i, key] of keys.entries()) {
          if (i % prefetchKeysMax === 0) announced.prefetch(keys, i, keys.length)
          const [found, expected] = [announced.get(key), plain.get(key)]
          if (!isSame(found, expected)) expect(found).toEqual(expected)
          if (announced.getVersion(key)?.lo !== expected?.lo) expect(announced.getVersion(key)).toEqual(expected)
        }
      }
      for (const key of keys) {
        const slot: Slot = slotOf(key)
        expect(announced.digest(slot)).toEqual(plain.digest(slot))
      }
      expect([announced.entries, announced.tombstones]).toEqual([plain.entries, plain.tombstones])
    }),
    { numRuns: 60 },
  )
})

it('reads no key beyond those that it was given, and may be called during a scan', () => {
  const table = smallTable()
  const records = keys.map((key): StoredRecord => {
    return { hi: 1, lo: 1, node: 1, key, tombstone: false, expiresAtMs: 0, value: text.encode('value') }
  })
  for (const each of records) table.merge(each)
  const read: PropertyKey[] = []
  const watched = new Proxy(keys, {
    get(target, property) {
      read.push(property)
      return Reflect.get(target, property)
    },
  })
  table.prefetch(watched, 3, 7)
  expect(read).toEqual(['3', '4', '5', '6'])
  table.prefetch(watched, 7, 7)
  table.prefetch(watched, 0, keys.length)
  expect(read).toHaveLength(4 + prefetchKeysMax)
  let visits = 0
  table.scanSlot(slotOf(keys[2]!), () => {
    visits++
    table.prefetch(keys, 0, keys.length)
  })
  expect(visits).toBeGreaterThan(0)
})

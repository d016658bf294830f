import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareRecords, isLive, type StoredRecord } from './index.js'

const key = Uint8Array.of(1)

// Few different values for each field, so that ties, which decide the hard cases, are common.
const small = fc.constantFrom(0, 1, 0xffffffff)
const records: fc.Arbitrary<StoredRecord> = fc
  .record({
    key: fc.constant(key),
    hi: small,
    lo: small,
    node: small,
    tombstone: fc.boolean(),
    expiresAtMs: fc.constantFrom(0, 1, 5, 2 ** 48),
    value: fc.constantFrom([], [0], [0, 0], [255], [0, 255]).map((bytes) => Uint8Array.from(bytes)),
  })
  .map((record) => (record.tombstone ? { ...record, value: new Uint8Array(0) } : record))

function merge(a: StoredRecord, b: StoredRecord): StoredRecord {
  return compareRecords(a, b) >= 0 ? a : b
}

function record(change: Partial<StoredRecord>): StoredRecord {
  return { key, hi: 1, lo: 1, node: 1, tombstone: false, expiresAtMs: 0, value: Uint8Array.of(1), ...change }
}

test('the order is total: antisymmetric, transitive, and equal only for equal records', () => {
  fc.assert(
    fc.property(records, records, records, (a, b, c) => {
      const ab = Math.sign(compareRecords(a, b))
      expect(Math.sign(compareRecords(b, a)) + ab).toBe(0)
      expect(compareRecords(a, a)).toBe(0)
      if (ab === 0) expect(b).toEqual(a)
      if (ab >= 0 && compareRecords(b, c) >= 0) expect(compareRecords(a, c)).toBeGreaterThanOrEqual(0)
    }),
    { numRuns: 5000 },
  )
})

test('merging is commutative, associative and idempotent, so order and repetition do not matter', () => {
  fc.assert(
    fc.property(records, records, records, (a, b, c) => {
      expect(merge(a, b)).toEqual(merge(b, a))
      expect(merge(merge(a, b), c)).toEqual(merge(a, merge(b, c)))
      expect(merge(a, a)).toBe(a)
      expect(merge(merge(a, b), b)).toEqual(merge(a, b))
    }),
    { numRuns: 5000 },
  )
})

test('any order of arrival leaves the same record', () => {
  const all = fc.array(records, { minLength: 1, maxLength: 8 })
  const shuffled = all.chain((list) =>
    fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
  )
  fc.assert(
    fc.property(shuffled, ([list, other]) => {
      expect(other.reduce(merge)).toEqual(list.reduce(merge))
    }),
  )
})

test('the later stamp wins, whatever the value; between equal stamps the higher node', () => {
  expect(compareRecords(record({ hi: 2, lo: 0 }), record({ hi: 1, lo: 9 }))).toBeGreaterThan(0)
  expect(compareRecords(record({ lo: 2, node: 1 }), record({ lo: 1, node: 9, tombstone: true }))).toBeGreaterThan(0)
  expect(compareRecords(record({ node: 2 }), record({ node: 1, tombstone: true }))).toBeGreaterThan(0)
})

test('halves above 2^31 are compared as unsigned', () => {
  expect(compareRecords(record({ hi: 0xffffffff }), record({ hi: 0x7fffffff }))).toBeGreaterThan(0)
  expect(compareRecords(record({ lo: 0x80000000 }), record({ lo: 0x7fffffff }))).toBeGreaterThan(0)
})

test('of one version, deleted beats written, earlier expiry beats later and none, then the larger value wins', () => {
  const none = new Uint8Array(0)
  const order = [
    record({ tombstone: true, value: none }),
    record({ expiresAtMs: 5 }),
    record({ expiresAtMs: 6, value: Uint8Array.of(9) }),
    record({ value: Uint8Array.of(2) }),
    record({ value: Uint8Array.of(1, 0) }),
    record({ value: Uint8Array.of(1) }),
    record({ value: none }),
  ]
  for (let i = 0; i < order.length; i++) {
    for (let j = 0; j < order.length; j++) {
      expect(Math.sign(compareRecords(order[i]!, order[j]!))).toBe(Math.sign(j - i))
    }
  }
})

test('a reader sees a value until the millisecond of its expiry, and never a tombstone', () => {
  expect(isLive(record({}), Number.MAX_SAFE_INTEGER)).toBe(true)
  expect(isLive(record({ expiresAtMs: 1000 }), 999)).toBe(true)
  expect(isLive(record({ expiresAtMs: 1000 }), 1000)).toBe(false)
  expect(isLive(record({ expiresAtMs: 1000 }), 1001)).toBe(false)
  expect(isLive(record({ tombstone: true }), 0)).toBe(false)
  expect(isLive(record({ tombstone: true, expiresAtMs: 1000 }), 0)).toBe(false)
})

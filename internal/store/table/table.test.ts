import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AssertionError, equalBytes, limits, type Slot } from '../../base/index.js'
import { hash64, murmur3_32 } from '../../hash/index.js'
import { compareVersions, type Version } from '../../hlc/index.js'
import { compareRecords, type StoredRecord } from '../../record/index.js'
import { Met } from '../met.js'
import type { Digest } from '../store.js'
import { Arena } from './arena.js'
import { Table } from './table.js'

const text = new TextEncoder()

function record(key: string | Uint8Array, fields: Partial<StoredRecord> = {}): StoredRecord {
  return {
    hi: 1,
    lo: 1,
    node: 1,
    key: typeof key === 'string' ? text.encode(key) : key,
    tombstone: false,
    expiresAtMs: 0,
    value: fields.tombstone ? new Uint8Array(0) : text.encode('value'),
    ...fields,
  }
}

function slotOfKey(key: Uint8Array): Slot {
  return (murmur3_32(key) >>> 20) as Slot
}

function keyText(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1')
}

function plain(found: StoredRecord | undefined): StoredRecord | undefined {
  return found && { ...found, key: Uint8Array.from(found.key), value: Uint8Array.from(found.value) }
}

function hlc({ hi, lo, node }: Version): Version {
  return { hi, lo, node }
}

/** Cheap where `toEqual` is not: it runs for every record after every run. */
function isSame(a: StoredRecord | undefined, b: StoredRecord | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return equalBytes(a.key, b.key) && compareRecords(a, b) === 0
}

function scanned(table: Table, slot: Slot): Map<string, StoredRecord> {
  const found = new Map<string, StoredRecord>()
  let visits = 0
  table.scanSlot(slot, (each) => {
    visits++
    found.set(keyText(each.key), plain(each)!)
  })
  expect(found.size, 'a key is visited once').toBe(visits)
  return found
}

function digestOf(records: Iterable<StoredRecord>): Digest {
  const hash = { hi: 0, lo: 0 }
  let hi = 0
  let lo = 0
  for (const each of records) {
    hash64(each.key, each.hi, each.lo, each.node, hash)
    hi ^= hash.hi
    lo ^= hash.lo
  }
  return { hi: hi >>> 0, lo: lo >>> 0 }
}

/** Chunks of 4 KiB, so that a few hundred records seal, sparsen and free many of them. */
function smallTable(): Table {
  return new Table(new Arena(1024))
}

/** What a Map does with the same commands; a table must not differ from it in anything but speed. */
class Model {
  readonly records = new Map<string, StoredRecord>()

  merge(given: StoredRecord): 'applied' | 'same' | 'stale' {
    const stored = this.records.get(keyText(given.key))
    const order = stored === undefined ? 1 : compareRecords(given, stored)
    if (order > 0) this.records.set(keyText(given.key), plain(given)!)
    return order > 0 ? 'applied' : order === 0 ? 'same' : 'stale'
  }

  remove(key: Uint8Array, version: Version): boolean {
    const stored = this.records.get(keyText(key))
    if (stored?.hi !== version.hi || stored.lo !== version.lo || stored.node !== version.node) return false
    return this.records.delete(keyText(key))
  }

  check(table: Table): void {
    const bySlot = new Map<Slot, StoredRecord[]>()
    let tombstones = 0
    for (const each of this.records.values()) {
      const found = table.get(each.key)
      const version = table.getVersion(each.key)
      if (!isSame(found, each) || version === undefined || compareVersions(version, each) !== 0) {
        expect({ ...plain(found), version }).toEqual({ ...each, version: hlc(each) })
      }
      const slot = slotOfKey(each.key)
      bySlot.set(slot, [...(bySlot.get(slot) ?? []), each])
      if (each.tombstone) tombstones++
    }
    expect([table.entries, table.tombstones]).toEqual([this.records.size - tombstones, tombstones])
    for (const [slot, records] of bySlot) {
      expect(table.digest(slot)).toEqual(digestOf(records))
      const found = scanned(table, slot)
      expect(found.size).toBe(records.length)
      for (const each of records) {
        if (!isSame(found.get(keyText(each.key)), each)) expect(found.get(keyText(each.key))).toEqual(each)
      }
    }
  }
}

/** Keys that all fall into one slot, so that small runs make its index grow, wrap around and shrink. */
function keysOfOneSlot(count: number): Uint8Array[] {
  const keys: Uint8Array[] = []
  for (let i = 0; keys.length < count; i++) {
    const key = text.encode(`k${i}`)
    if (slotOfKey(key) === slotOfKey(text.encode('k0'))) keys.push(key)
  }
  return keys
}

const crowded = keysOfOneSlot(40)
const scattered = Array.from({ length: 40 }, (_, i) => new Uint8Array(1 + ((i * 7) % 90)).fill(i))

const arbitraryKey = fc.constantFrom(...crowded, ...scattered)
const arbitraryVersion = fc.record({
  hi: fc.constantFrom(0, 1, 2 ** 32 - 1),
  lo: fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1),
  node: fc.constantFrom(1, 2, 2 ** 32 - 1),
})
const arbitraryRecord: fc.Arbitrary<StoredRecord> = fc
  .record({
    key: arbitraryKey,
    version: arbitraryVersion,
    tombstone: fc.boolean(),
    expiresAtMs: fc.constantFrom(0, 1, 1_700_000_000_000, 2 ** 48),
    value: fc.oneof(
      fc.uint8Array({ maxLength: 3 }),
      fc.integer({ min: 0, max: 3000 }).map((n) => new Uint8Array(n).fill(n)),
    ),
  })
  .map(({ version, tombstone, value, ...rest }) => ({
    ...version,
    ...rest,
    tombstone,
    value: tombstone ? new Uint8Array(0) : value,
  }))

type Step =
  | { do: 'merge'; record: StoredRecord; wantPrevious: boolean }
  | { do: 'remove'; record: StoredRecord; stored: boolean }
  | { do: 'compact'; budget: number }
  | { do: 'expect'; key: Uint8Array; records: number }

const arbitraryStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('merge' as const), record: arbitraryRecord, wantPrevious: fc.boolean() }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('remove' as const), record: arbitraryRecord, stored: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('compact' as const), budget: fc.integer({ min: 1, max: 4000 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('expect' as const), key: arbitraryKey, records: fc.nat(200) }),
  },
)

const met = new Met()

/** `merge` does what the model does, says what it replaced, and has been foretold by `wouldMerge`. */
function mergeInto(table: Table, model: Model, given: StoredRecord, wantPrevious: boolean): void {
  const stored = model.records.get(keyText(given.key))
  const expected = model.merge(given)
  const seen = stored && { ...hlc(stored), tombstone: stored.tombstone, expiresAtMs: stored.expiresAtMs }
  const seenNow = (): unknown =>
    met.found ? { ...met.version, tombstone: met.tombstone, expiresAtMs: met.expiresAtMs } : undefined
  expect([table.wouldMerge(given, met), met.previous]).toEqual([expected, undefined])
  expect(seenNow()).toEqual(seen)
  expect(table.merge(given, met, wantPrevious)).toBe(expected)
  expect(seenNow()).toEqual(seen)
  const previous = expected === 'applied' && wantPrevious ? stored : undefined
  if (!isSame(met.previous, previous)) expect(plain(met.previous)).toEqual(previous)
}

function run(step: Step, table: Table, model: Model): void {
  if (step.do === 'compact') {
    table.compactStep(step.budget)
    return
  }
  if (step.do === 'expect') {
    table.expect(slotOfKey(step.key), step.records)
    return
  }
  const { key } = step.record
  if (step.do === 'merge') {
    mergeInto(table, model, step.record, step.wantPrevious)
  } else {
    const version = step.stored ? (table.getVersion(key) ?? step.record) : step.record
    const removed = table.remove(key, version)
    const expected = model.remove(key, version)
    if (removed !== expected) expect(removed).toBe(expected)
  }
  const stored = model.records.get(keyText(key))
  if (!isSame(table.get(key), stored)) expect(plain(table.get(key))).toEqual(stored)
}

describe('Table', () => {
  it('never differs from a Map merged by compareRecords, whatever is merged, removed and compacted', () => {
    fc.assert(
      fc.property(fc.array(arbitraryStep, { maxLength: 400, size: 'max' }), (steps) => {
        const table = smallTable()
        const model = new Model()
        for (const step of steps) run(step, table, model)
        model.check(table)
        while (table.compactStep(1000));
        model.check(table)
      }),
      { numRuns: 200 },
    )
  })

  it('never differs from a Map while thousands of keys come, change size and go', () => {
    const table = new Table(new Arena(4096))
    const model = new Model()
    let state = 12345
    const next = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return (state >>> 8) % below
    }
    for (let i = 1; i <= 60_000; i++) {
      const key = text.encode(`key-${next(i < 40_000 ? 20_000 : 200)}`)
      const stored = table.getVersion(key)
      if (stored !== undefined && next(3) === 0) {
        expect(table.remove(key, stored)).toBe(model.remove(key, stored))
      } else {
        const given = record(key, { lo: i, tombstone: next(5) === 0, ...(next(2) === 0 ? { expiresAtMs: i } : {}) })
        const sized = given.tombstone ? given : { ...given, value: new Uint8Array(next(200)).fill(i) }
        expect(table.merge(sized)).toBe(model.merge(sized))
      }
      if (next(20) === 0) table.compactStep(2000)
    }
    model.check(table)
  })

  it('grows the index of a slot once for all records that it was told to expect, and shrinks it when they go', () => {
    const table = new Table()
    const slot = slotOfKey(crowded[0]!)
    table.merge(record(scattered[0]!))
    const empty = table.bytes
    table.expect(slot, crowded.length)
    const expecting = table.bytes
    expect(expecting).toBeGreaterThan(empty)
    for (const key of crowded) {
      table.merge(record(key))
      expect(table.bytes).toBe(expecting)
    }
    for (const key of crowded) expect(table.remove(key, record(key))).toBe(true)
    expect(table.bytes).toBe(empty)
  })

  it('tells the same record, a lower and a higher one apart, at every step of the order', () => {
    const ascending = [
      record('k', { hi: 1, lo: 2 ** 32 - 1, node: 9 }),
      record('k', { hi: 2, lo: 0, node: 1, value: text.encode('a') }),
      record('k', { hi: 2, lo: 0, node: 1, value: text.encode('ab') }),
      record('k', { hi: 2, lo: 0, node: 1, expiresAtMs: 2 ** 48 }),
      record('k', { hi: 2, lo: 0, node: 1, expiresAtMs: 1 }),
      record('k', { hi: 2, lo: 0, node: 1, tombstone: true }),
      record('k', { hi: 2, lo: 0, node: 2 }),
      record('k', { hi: 2, lo: 2 ** 31, node: 1 }),
    ]
    const table = new Table()
    for (const [i, each] of ascending.entries()) {
      expect(table.merge(each)).toBe('applied')
      expect(table.merge({ ...each, key: Uint8Array.from(each.key), value: Uint8Array.from(each.value) })).toBe('same')
      for (const lower of ascending.slice(0, i)) expect(table.merge(lower)).toBe('stale')
      expect(plain(table.get(each.key))).toEqual(each)
    }
    expect([table.entries, table.tombstones]).toEqual([1, 0])
  })

  it('removes a record only at exactly its version', () => {
    const table = new Table()
    const given = record('k', { hi: 5, lo: 6, node: 7, tombstone: true })
    table.merge(given)
    for (const other of [{ hi: 4 }, { hi: 6 }, { lo: 5 }, { lo: 7 }, { node: 6 }, { node: 8 }]) {
      expect(table.remove(given.key, { ...hlc(given), ...other })).toBe(false)
    }
    expect(table.remove(text.encode('other'), given)).toBe(false)
    expect(table.tombstones).toBe(1)
    expect(table.remove(given.key, given)).toBe(true)
    expect(table.remove(given.key, given)).toBe(false)
    expect(table.get(given.key)).toBeUndefined()
    expect([table.entries, table.tombstones]).toEqual([0, 0])
  })

  it('tells keys apart whose hashes are equal, also where one is the beginning of the other', () => {
    const extended = Uint8Array.of(...text.encode('abcd'), 106, 96, 139, 35)
    for (const [one, other] of [
      [text.encode('k15599'), text.encode('k97211')],
      [text.encode('abcd'), extended],
      [extended, text.encode('abcd')],
    ] as const) {
      expect(murmur3_32(one)).toBe(murmur3_32(other))
      const table = new Table()
      const given = record(one)
      table.merge(given)
      expect(table.get(other)).toBeUndefined()
      expect(table.remove(other, given)).toBe(false)
      expect(table.merge(record(other))).toBe('applied')
      expect(table.entries).toBe(2)
      expect(table.remove(one, given)).toBe(true)
      expect(plain(table.get(other))).toEqual(record(other))
    }
  })

  it('shares no bytes with its callers but the key that a record was asked for with', () => {
    for (const size of [1, 2, 3, 63, 64, 65, 100, 255, 256, 257, 1023, 1024, 1025, 5000]) {
      const table = new Table()
      const given = record('key', { value: new Uint8Array(size).fill(1) })
      const expected = plain(given)
      table.merge(given)
      given.key.fill(0)
      given.value.fill(0)
      const first = table.get(expected!.key)!
      expect(plain(first)).toEqual(expected)
      expect(first.key).toBe(expected!.key)
      const second = table.get(expected!.key)!
      first.value.fill(9)
      expect(plain(second)).toEqual(expected)
      expect(plain(table.get(expected!.key))).toEqual(expected)
      table.merge({ ...expected!, lo: 2, value: new Uint8Array(size).fill(2) })
      expect(plain(second)).toEqual(expected)
    }
  })

  it('stores keys and values up to their limits and asserts that none is larger', () => {
    const table = new Table()
    const keys = [new Uint8Array(1), new Uint8Array(limits.keyBytesMax).fill(255)]
    const sizes = [0, 1, 16_000, 65_400, 65_600, 262_100, limits.valueBytesMax - 1, limits.valueBytesMax]
    let lo = 0
    for (const key of keys) {
      for (const size of [...sizes, ...sizes.reverse()]) {
        const given = record(key, { lo: ++lo, expiresAtMs: 2 ** 48, value: new Uint8Array(size).fill(lo) })
        expect(table.merge(given)).toBe('applied')
        expect(isSame(table.get(key), given)).toBe(true)
        expect(isSame(scanned(table, slotOfKey(key)).get(keyText(key)), given)).toBe(true)
      }
    }
    expect(() => table.merge(record(new Uint8Array(0)))).toThrow(AssertionError)
    expect(() => table.merge(record(new Uint8Array(limits.keyBytesMax + 1)))).toThrow(AssertionError)
    const tooLarge = new Uint8Array(limits.valueBytesMax + 1)
    expect(() => table.merge(record('k', { value: tooLarge }))).toThrow(AssertionError)
  })

  it('finds records in more chunks than a cell has low bits for', () => {
    const table = new Table(new Arena(64))
    const model = new Model()
    for (let i = 0; i < 9000; i++) {
      const given = record(`key-${i}`, { lo: i, value: new Uint8Array(10 + (i % 50)) })
      table.merge(given)
      model.merge(given)
    }
    model.check(table)
  })

  it('lets a scan read but not change the table, also after a visit that threw', () => {
    const table = new Table()
    const given = record('k')
    table.merge(given)
    const slot = slotOfKey(given.key)
    const changes = [
      () => table.merge(record('k', { lo: 2 })),
      () => table.remove(given.key, given),
      () => table.compactStep(1),
    ]
    for (const change of changes) expect(() => table.scanSlot(slot, change)).toThrow(AssertionError)
    let visits = 0
    table.scanSlot(slot, () => table.scanSlot(slot, (each) => (visits += isSame(table.get(each.key), given) ? 1 : 0)))
    expect(visits).toBe(1)
    for (const change of changes) expect(change).not.toThrow()
  })

  it('has the same digest whatever the order of writes, and an empty one when all is removed', () => {
    const records = Array.from({ length: 2000 }, (_, i) =>
      record(`key-${i % 500}`, { lo: (i * 7919) % 2000, tombstone: i % 3 === 0 }),
    )
    const [forwards, backwards] = [new Table(), smallTable()]
    for (const each of records) forwards.merge(each)
    for (const each of records.reverse()) {
      backwards.merge(each)
      backwards.compactStep(500)
    }
    let differing = 0
    for (let slot = 0; slot < 4096; slot++) {
      expect(forwards.digest(slot as Slot)).toEqual(backwards.digest(slot as Slot))
      if (forwards.digest(slot as Slot).lo !== 0) differing++
    }
    expect(differing).toBeGreaterThan(400)
    for (const { key } of records) {
      const stored = forwards.getVersion(key)
      if (stored !== undefined) forwards.remove(key, stored)
    }
    for (let slot = 0; slot < 4096; slot++) expect(forwards.digest(slot as Slot)).toEqual({ hi: 0, lo: 0 })
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Slot } from '../base/index.js'
import { hash64, murmur3_32 } from '../hash/index.js'
import { compareRecords, type StoredRecord } from '../record/index.js'
import { Arena } from './arena.js'
import type { Digest } from './store.js'
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

function scanned(table: Table, slot: Slot): Map<string, StoredRecord> {
  const found = new Map<string, StoredRecord>()
  table.scanSlot(slot, (each) => {
    expect(found.has(keyText(each.key))).toBe(false)
    found.set(keyText(each.key), plain(each)!)
  })
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

  remove(key: Uint8Array, version: { hi: number; lo: number; node: number }): boolean {
    const stored = this.records.get(keyText(key))
    if (stored?.hi !== version.hi || stored.lo !== version.lo || stored.node !== version.node) return false
    return this.records.delete(keyText(key))
  }

  check(table: Table): void {
    const bySlot = new Map<Slot, StoredRecord[]>()
    let tombstones = 0
    for (const each of this.records.values()) {
      expect(plain(table.get(each.key))).toEqual(each)
      expect(table.getVersion(each.key)).toEqual({ hi: each.hi, lo: each.lo, node: each.node })
      const slot = slotOfKey(each.key)
      bySlot.set(slot, [...(bySlot.get(slot) ?? []), each])
      if (each.tombstone) tombstones++
    }
    expect([table.entries, table.tombstones]).toEqual([this.records.size - tombstones, tombstones])
    for (const [slot, records] of bySlot) {
      expect(table.digest(slot)).toEqual(digestOf(records))
      expect(scanned(table, slot)).toEqual(new Map(records.map((each) => [keyText(each.key), each])))
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
  | { do: 'merge'; record: StoredRecord }
  | { do: 'remove'; record: StoredRecord; stored: boolean }
  | { do: 'compact'; budget: number }

const arbitraryStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('merge' as const), record: arbitraryRecord }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('remove' as const), record: arbitraryRecord, stored: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('compact' as const), budget: fc.integer({ min: 1, max: 4000 }) }),
  },
)

function run(step: Step, table: Table, model: Model): void {
  if (step.do === 'compact') {
    table.compactStep(step.budget)
  } else if (step.do === 'merge') {
    expect(table.merge(step.record)).toBe(model.merge(step.record))
  } else {
    const { key } = step.record
    const version = step.stored ? (table.getVersion(key) ?? step.record) : step.record
    expect(table.remove(key, version)).toBe(model.remove(key, version))
    expect(plain(table.get(key))).toEqual(model.records.get(keyText(key)))
  }
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
      { numRuns: 150 },
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
})

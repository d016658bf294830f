import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { emptyBytes, type Slot } from '../../base/index.js'
import { murmur3_32 } from '../../hash/index.js'
import { compareRecords, isLive, type StoredRecord } from '../../record/index.js'
import { slotCount, slotOf } from '../../slots/index.js'
import { Arena } from './arena.js'
import { Table } from './table.js'

const text = new TextEncoder()
const startMs = Date.UTC(2026, 0)

function record(key: string, lo: number, expiresAtMs: number, value: number | undefined): StoredRecord {
  const bytes = value === undefined ? emptyBytes : new Uint8Array(value).fill(lo)
  return { hi: 1, lo, node: 1, key: text.encode(key), tombstone: value === undefined, expiresAtMs, value: bytes }
}

function purged(from: StoredRecord): StoredRecord {
  return { ...from, tombstone: true, value: emptyBytes }
}

function plain(found: StoredRecord | undefined): StoredRecord | undefined {
  return found && { ...found, key: Uint8Array.from(found.key), value: Uint8Array.from(found.value) }
}

function smallTable(): Table {
  return new Table(new Arena(1024))
}

function expireAll(table: Table, nowMs: number): void {
  while (table.expireStep(nowMs, 16));
}

function compactAll(table: Table): void {
  while (table.compactStep(100_000));
}

/** A Map that purges by a scan of everything. */
class Model {
  readonly records = new Map<string, StoredRecord>()

  merge(key: string, given: StoredRecord): void {
    const stored = this.records.get(key)
    if (stored === undefined || compareRecords(given, stored) > 0) this.records.set(key, given)
  }

  /** What has expired for a second has been purged; what has not expired has not. What lies between may be either. */
  check(table: Table, nowMs: number): void {
    let tombstones = 0
    for (const [key, stored] of this.records) {
      const found = plain(table.get(stored.key))!
      if (found.tombstone && !stored.tombstone && !isLive(stored, nowMs)) this.records.set(key, purged(stored))
      if (!isLive(stored, nowMs - 1000)) this.records.set(key, purged(stored))
      expect(found).toEqual(this.records.get(key))
      if (found.tombstone) tombstones++
    }
    expect([table.entries, table.tombstones]).toEqual([this.records.size - tombstones, tombstones])
  }
}

describe('expireStep', () => {
  it('never differs from a scan of a Map, whatever is merged, removed, compacted and expired', () => {
    const keys = Array.from({ length: 30 }, (_, i) => `key-${i}`)
    const expiry = fc.oneof(
      fc.constant(0),
      fc.integer({ min: 1, max: 60_000 }).map((ms) => startMs + ms),
    )
    const value = fc.option(fc.constantFrom(0, 1, 2, 3, 4, 5, 100, 101, 300, 5000), { freq: 6, nil: undefined })
    const command = fc.oneof(
      { weight: 6, arbitrary: fc.tuple(fc.constant('merge'), fc.nat(29), fc.nat(20), expiry, value) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('remove'), fc.nat(29)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('compact'), fc.integer({ min: 1, max: 5000 })) },
      // The clock goes back as well.
      { weight: 2, arbitrary: fc.tuple(fc.constant('expire'), fc.integer({ min: -5000, max: 65_000 })) },
    )
    fc.assert(
      fc.property(fc.array(command, { maxLength: 150 }), (commands) => {
        const table = smallTable()
        const model = new Model()
        let latestMs = 0
        for (const [what, a, b, c, d] of commands) {
          if (what === 'merge') {
            const given = record(keys[a]!, b!, c!, d as number | undefined)
            table.merge(given)
            model.merge(keys[a]!, given)
          } else if (what === 'remove') {
            const stored = model.records.get(keys[a]!)
            if (stored !== undefined) expect(table.remove(stored.key, stored)).toBe(true)
            model.records.delete(keys[a]!)
          } else if (what === 'compact') {
            table.compactStep(a)
          } else {
            latestMs = startMs + a
            expireAll(table, latestMs)
            model.check(table, latestMs)
          }
        }
        expireAll(table, startMs + 100_000)
        model.check(table, startMs + 100_000)
        expect(table.hasExpiries, 'nothing is left in the queue').toBe(false)
      }),
      { numRuns: 300 },
    )
  })

  it('takes nothing before its expiry, and everything a second after', () => {
    const table = smallTable()
    const expiresAtMs = startMs + 1
    table.merge(record('a', 1, expiresAtMs, 100))
    expireAll(table, expiresAtMs - 1)
    expect(table.get(text.encode('a'))?.tombstone).toBe(false)
    expireAll(table, expiresAtMs + 999)
    expect(plain(table.get(text.encode('a')))).toEqual(purged(record('a', 1, expiresAtMs, 100)))
  })

  it('keeps every digest', () => {
    const table = smallTable()
    for (let i = 0; i < 500; i++) table.merge(record(`k${i}`, i, startMs + (i % 50) * 1000, i % 120))
    const digests = (): unknown[] => Array.from({ length: slotCount }, (_, slot) => table.digest(slot as Slot))
    const before = digests()
    expireAll(table, startMs + 25_000)
    expect(table.tombstones).toBeGreaterThan(200)
    expect(digests()).toEqual(before)
    compactAll(table)
    expect(digests()).toEqual(before)
  })

  it('gives the memory of values back, the large ones and those among records that stay included', () => {
    const expiring = new Table(new Arena(4096))
    const without = new Table(new Arena(4096))
    for (let i = 0; i < 5000; i++) {
      const [key, expiresAtMs] = [`key-${String(i).padStart(8, '0')}`, i % 10 === 0 ? 0 : startMs]
      expiring.merge(record(key, 1, expiresAtMs, 200))
      without.merge(record(key, 1, expiresAtMs, i % 10 === 0 ? 200 : undefined))
    }
    expiring.merge(record('large', 1, startMs, 1_000_000))
    const full = expiring.bytes
    for (let more = true; more; ) {
      more = expiring.expireStep(startMs, 100)
      expiring.compactStep(20_000)
    }
    compactAll(expiring)
    expect(full).toBeGreaterThan(2_000_000)
    expect(expiring.bytes).toBeLessThan(without.bytes * 1.25 + 2 * 4096 * 4)
  })

  it('needs no compaction where all values of a chunk expire', () => {
    const [table, tombstones] = [smallTable(), smallTable()]
    for (let i = 0; i < 2000; i++) {
      table.merge(record(`k${i}`, 1, startMs, 200))
      tombstones.merge(record(`k${i}`, 1, startMs, undefined))
    }
    expireAll(table, startMs)
    expect(table.bytes).toBeLessThanOrEqual(tombstones.bytes + 2 * 4096)
  })

  it('works in steps bounded by the records that they touch', () => {
    const table = new Table()
    for (let i = 0; i < 10_000; i++) table.merge(record(`k${i}`, 1, startMs, 10))
    let before = 0
    for (let more = true, steps = 0; more; before = table.tombstones, steps++) {
      more = table.expireStep(startMs, 128)
      expect(table.tombstones - before).toBeLessThanOrEqual(128)
      if (more) expect(table.tombstones - before).toBeGreaterThan(0)
      expect(steps).toBeLessThan(200)
    }
    expect(table.tombstones).toBe(10_000)
  })

  it('takes both of two records of one hash that expire in the same second', () => {
    const [a, b] = keysOfOneHash()
    const table = smallTable()
    table.merge(record(a, 1, startMs, 50))
    table.merge(record(b, 1, startMs - 1, 50))
    table.merge(record(b, 2, startMs, 50))
    expireAll(table, startMs)
    expect(table.tombstones).toBe(2)
  })

  it('has no quarrel with a replica that has not purged, in either direction', () => {
    const fresh = record('k', 3, startMs, 10)
    const [here, there] = [smallTable(), smallTable()]
    for (const table of [here, there]) table.merge(fresh)
    expireAll(here, startMs)
    expect(here.digest(slotOf(fresh.key) as Slot)).toEqual(there.digest(slotOf(fresh.key) as Slot))
    expect(here.merge(plain(there.get(fresh.key))!), 'the value does not come back').toBe('stale')
    expect(there.merge(plain(here.get(fresh.key))!)).toBe('applied')
    expect(plain(there.get(fresh.key))).toEqual(plain(here.get(fresh.key)))
    expect(there.merge(plain(here.get(fresh.key))!)).toBe('same')
    expect(there.hasExpiries && there.expireStep(startMs, 1), 'what came purged is not counted again').toBe(false)
    expect([there.entries, there.tombstones]).toEqual([0, 1])
  })

  it('lets replicas that purge at different times agree, even where two writes carry one version', () => {
    const write = fc.tuple(fc.nat(3), fc.nat(3), fc.nat(9), fc.option(fc.nat(5), { freq: 5, nil: undefined }))
    const writes = fc
      .array(write, { minLength: 1, maxLength: 30 })
      .map((all) =>
        all.map(([key, lo, second, value]) => record(`k${key}`, lo, second === 0 ? 0 : startMs + second * 1000, value)),
      )
    const times = fc.array(fc.nat(10), { minLength: 30, maxLength: 30 })
    fc.assert(
      fc.property(writes, writes, times, times, (toHere, toThere, timesHere, timesThere) => {
        const [here, there] = [smallTable(), smallTable()]
        for (const [i, each] of toHere.entries()) {
          here.merge(each)
          expireAll(here, startMs + timesHere[i]! * 1000)
        }
        for (const [i, each] of toThere.entries()) {
          there.merge(each)
          expireAll(there, startMs + timesThere[i]! * 1000)
        }
        const keys = new Map([...toHere, ...toThere].map(({ key }) => [String(key), key]))
        for (const key of keys.values()) {
          const [fromHere, fromThere] = [plain(here.get(key)), plain(there.get(key))]
          if (fromHere !== undefined) there.merge(fromHere)
          if (fromThere !== undefined) here.merge(fromThere)
          expect(plain(here.get(key))).toEqual(plain(there.get(key)))
        }
        const never = smallTable()
        for (const each of [...toThere, ...toHere]) never.merge(each)
        for (const table of [here, never]) expireAll(table, startMs + 100_000)
        for (const key of keys.values()) {
          const { lo, tombstone, value } = plain(never.get(key))!
          expect(plain(here.get(key)), 'as if nobody had purged before').toMatchObject({ lo, tombstone, value })
        }
      }),
      { numRuns: 300 },
    )
  })

  it('is idempotent under replay of what was purged, in any order', () => {
    const writes = Array.from({ length: 40 }, (_, i) => record(`k${i % 7}`, i, i % 3 === 0 ? 0 : startMs + i, i % 9))
    fc.assert(
      fc.property(fc.shuffledSubarray([...writes, ...writes], { minLength: 80 }), fc.nat(79), (order, cut) => {
        const [once, twice] = [smallTable(), smallTable()]
        for (const each of order) once.merge(each)
        for (const each of order.slice(0, cut)) twice.merge(each)
        expireAll(twice, startMs + 100_000)
        for (const each of order) twice.merge(each)
        for (const table of [once, twice]) expireAll(table, startMs + 100_000)
        for (const { key } of writes) expect(plain(twice.get(key))).toEqual(plain(once.get(key)))
        expect(twice.tombstones).toBe(once.tombstones)
      }),
      { numRuns: 50 },
    )
  })
})

/** Two keys that differ and whose 32-bit hashes do not. */
function keysOfOneHash(): readonly [string, string] {
  const seen = new Map<number, string>()
  for (let i = 0; ; i++) {
    const key = `key ${i}`
    const hash = murmur3_32(text.encode(key))
    const other = seen.get(hash)
    if (other !== undefined) return [other, key]
    seen.set(hash, key)
  }
}

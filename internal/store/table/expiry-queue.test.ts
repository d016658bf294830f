import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { limits } from '../../base/index.js'
import { ExpiryQueue, expiryTick, passedTick, staleEntriesMax } from './expiry-queue.js'

const furthestMs = 2 ** 48

/** The records of a table, as far as the queue cares: by slot and name, a tag and an expiry. */
class Records {
  readonly queue: ExpiryQueue = new ExpiryQueue(this)
  /** Names of what was purged and not asked for yet, in order. */
  #purged: string[] = []
  readonly #slots = new Map<number, Map<string, { readonly tag: number; readonly expiresAtMs: number }>>()

  slot(slot: number): Map<string, { readonly tag: number; readonly expiresAtMs: number }> {
    let records = this.#slots.get(slot)
    if (records === undefined) {
      records = new Map()
      this.#slots.set(slot, records)
    }
    return records
  }

  holds(slot: number, tag: number, tick: number): boolean {
    for (const each of this.slot(slot).values()) {
      if (each.tag === tag && expiryTick(each.expiresAtMs) === tick) return true
    }
    return false
  }

  purge(slot: number, tag: number, tick: number): number {
    const records = this.slot(slot)
    const before = records.size
    for (const [name, each] of records) {
      if (each.tag !== tag || expiryTick(each.expiresAtMs) !== tick) continue
      records.delete(name)
      this.#purged.push(name)
    }
    return before - records.size
  }

  /** 0: it is deleted, or is written without an expiry. */
  write(slot: number, name: string, tag: number, expiresAtMs: number): void {
    const records = this.slot(slot)
    const beforeMs = records.get(name)?.expiresAtMs ?? 0
    if (expiresAtMs === 0) records.delete(name)
    else records.set(name, { tag, expiresAtMs })
    this.queue.changed(slot, tag, beforeMs, expiresAtMs)
  }

  /** Takes everything that is due, and returns the names of what went, in order. */
  expire(nowMs: number, budget = 7): string[] {
    while (this.queue.step(nowMs, budget));
    return this.purged()
  }

  purged(): string[] {
    const purged = this.#purged
    this.#purged = []
    return purged
  }
}

describe('the tick of an expiry', () => {
  const moment = fc.oneof(
    fc.integer({ min: 1, max: furthestMs }),
    fc.integer({ min: -300_000, max: 300_000 }).map((ms) => 2 ** 32 * 1000 + ms),
    fc.constantFrom(1, 999, 1000, 1001, furthestMs - 1, furthestMs),
  )

  it('never passes before the expiry, and soon after it', () => {
    fc.assert(
      fc.property(moment, fc.integer({ min: -200_000, max: 200_000 }), (expiresAtMs, awayMs) => {
        const nowMs = Math.max(0, expiresAtMs + awayMs)
        const due = expiryTick(expiresAtMs) <= passedTick(nowMs)
        if (nowMs < expiresAtMs) expect(due).toBe(false)
        if (nowMs >= expiresAtMs + (expiresAtMs <= 2 ** 32 * 1000 ? 999 : 2 * 128_000)) expect(due).toBe(true)
      }),
    )
  })

  it('keeps the order of expiries', () => {
    fc.assert(
      fc.property(moment, moment, (a, b) => {
        expect(Math.sign(expiryTick(a) - expiryTick(b)) * Math.sign(a - b)).toBeGreaterThanOrEqual(0)
      }),
    )
  })

  it('leaves room for the tag up to the furthest expiry that a record can have', () => {
    expect(expiryTick(furthestMs) * 2 ** 20 + 2 ** 20 - 1).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER)
    const furthestPut = Date.UTC(2090, 0) + limits.ttlMsMax
    expect(expiryTick(furthestPut)).toBeGreaterThan(passedTick(furthestPut - 1))
  })
})

describe('the expiry queue', () => {
  it('brings up whatever is due, once, and nothing else, as a sorted Map does', () => {
    const tags = [0, 1, 2, 2 ** 20 - 1]
    const names = Array.from({ length: 12 }, (_, i) => ({ name: `k${i}`, slot: (i % 3) * 2047, tag: tags[i % 4]! }))
    const base = 2 ** 32 * 1000 - 40_000
    const command = fc.record({
      which: fc.nat({ max: names.length - 1 }),
      expiresAtMs: fc.oneof(
        fc.constant(0),
        fc.integer({ min: base, max: base + 400_000 }),
        fc.integer({ min: 1, max: furthestMs }),
      ),
      nowMs: fc.option(fc.integer({ min: base - 1000, max: base + 500_000 }), { freq: 4 }),
    })
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
        const records = new Records()
        for (const { which, expiresAtMs, nowMs } of commands) {
          const { name, slot, tag } = names[which]!
          records.write(slot, name, tag, expiresAtMs)
          if (nowMs === null) continue
          const due: string[] = []
          for (const each of names) {
            const held = records.slot(each.slot).get(each.name)
            if (held !== undefined && expiryTick(held.expiresAtMs) <= passedTick(nowMs)) due.push(each.name)
          }
          expect(records.expire(nowMs).sort()).toEqual(due.sort())
        }
      }),
      { numRuns: 300 },
    )
  })

  it('brings up the records of one slot in the order of their expiries', () => {
    const records = new Records()
    const seconds = fc.sample(fc.integer({ min: 1, max: 1e9 }), 500)
    for (const [i, second] of seconds.entries()) records.write(5, `${second} ${i}`, i, second * 1000)
    const purged = records.expire(1e12).map((name) => Number.parseInt(name, 10))
    expect(purged).toEqual([...seconds].sort((a, b) => a - b))
  })

  it('stays small while one key is overwritten a million times with another expiry each time', () => {
    const records = new Records()
    const before = records.queue.bytes
    for (let i = 1; i <= 1_000_000; i++) records.write(7, 'busy', 3, i * 1000)
    expect(records.queue.entries).toBeLessThanOrEqual(2 + staleEntriesMax)
    expect(records.queue.bytes - before).toBeLessThan(2048)
    expect(records.expire(1_000_000_000)).toEqual(['busy'])
  })

  it('adds nothing while a key is overwritten within one tick', () => {
    const records = new Records()
    for (let i = 1; i <= 1000; i++) records.write(7, 'busy', 3, 5000 + i)
    expect(records.queue.entries).toBe(1)
  })

  it('holds at most twice the perishable records and a few, whatever is written, deleted and due', () => {
    const command = fc.tuple(fc.nat({ max: 99 }), fc.nat({ max: 50 }))
    fc.assert(
      fc.property(fc.array(command, { minLength: 500, maxLength: 1000 }), (commands) => {
        const records = new Records()
        for (const [i, [which, second]] of commands.entries()) {
          records.write(9, `k${which}`, which, second * 1000)
          if (i % 100 === 99) records.expire(10_000)
          expect(records.queue.entries).toBeLessThanOrEqual(2 * records.slot(9).size + staleEntriesMax)
        }
      }),
      { numRuns: 20 },
    )
  })

  it('gives all of its memory back when nothing perishable is left', () => {
    const records = new Records()
    const before = records.queue.bytes
    for (let i = 0; i < 20_000; i++) records.write(i % 4096, `k${i}`, i, 1000 + i)
    expect(records.queue.bytes - before).toBeGreaterThan(20_000 * 8)
    records.expire(60_000)
    expect([records.queue.entries, records.queue.bytes - before]).toEqual([0, 0])
  })

  it('finds nothing in slots that have nothing due', () => {
    const records = new Records()
    for (const slot of [3, 4000]) for (let i = 0; i < 3; i++) records.write(slot, `${slot}/${i}`, i, 1000)
    records.write(100, 'later', 0, 9_000_000)
    expect(records.expire(1000)).toHaveLength(6)
    expect(records.expire(8_999_999)).toEqual([])
    expect(records.expire(9_000_000)).toEqual(['later'])
  })

  it('works in steps of so many records, stale ones and the clearing of a slot included', () => {
    const records = new Records()
    const keys = 200
    for (let i = 0; i < keys; i++) records.write(i % 20, `k${i}`, i, 1000)
    for (let i = 0; i < keys; i += 2) records.write(i % 20, `k${i}`, i, 0)
    let steps = 0
    let purged = 0
    for (let more = true; more; steps++) {
      more = records.queue.step(1000, 10)
      const count = records.purged().length
      expect(count).toBeLessThanOrEqual(10)
      purged += count
    }
    expect(purged).toBe(keys / 2)
    expect(steps).toBeGreaterThanOrEqual(keys / 10)
  })
})

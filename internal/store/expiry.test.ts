import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { emptyBytes, limits, type Slot } from '../base/index.js'
import { compareRecords, isLive, type StoredRecord } from '../record/index.js'
import { slotCount, slotOf } from '../slots/index.js'
import { put, SimStore, tombstone } from './fixture.conformance.js'
import { Table } from './table/table.js'

const driftMs = 10_000
/** From an expiry on, until it must have been purged: the drift bound, the rounding, the interval, and the slices. */
const lateMs: number = driftMs + 1000 + limits.expiryIntervalMs + 100

function simStore(seed: string): SimStore {
  const tuning = { scrubDelayMs: 3_600_000 } // so that no timer but this one's fires
  const sim: SimStore = new SimStore(seed, { purgeTimeMs: () => sim.process.clock.wallMs() - driftMs, tuning })
  return sim
}

function expiring(key: string, stamp: number, expiresAtMs: number): StoredRecord {
  return { ...put(key, stamp), expiresAtMs }
}

function purged(record: StoredRecord): StoredRecord {
  return { ...record, tombstone: true, value: emptyBytes }
}

function plain(record: StoredRecord | undefined): StoredRecord | undefined {
  return record && { ...record, key: Uint8Array.from(record.key), value: Uint8Array.from(record.value) }
}

function digests(sim: SimStore): unknown[] {
  return Array.from({ length: slotCount }, (_, slot) => sim.store.digest(slot as Slot))
}

describe('a store with expired values', () => {
  it('throws a value away once the purge time has passed its expiry, and not before', async () => {
    const sim = simStore('in time')
    await sim.open()
    const record = expiring('a', 1, sim.process.clock.wallMs() + 60_000)
    await sim.settle(sim.store.commit([record, put('b', 1)]))
    const digest = digests(sim)
    await sim.world.advance(60_000 + driftMs - 100)
    expect(plain(sim.store.get(record.key))).toEqual(record)
    await sim.world.advance(lateMs - driftMs + 100)
    expect(plain(sim.store.get(record.key))).toEqual(purged(record))
    expect(sim.store.statistics()).toMatchObject({ entries: 1, tombstones: 1 })
    expect(digests(sim)).toEqual(digest)
    await sim.settle(sim.store.close())
  })

  it('keeps what a clock that jumps ahead and back would have thrown away, if the purge time does not follow', async () => {
    const sim: SimStore = new SimStore('jump', {
      purgeTimeMs: () => (skewed ? 0 : sim.process.clock.wallMs() - driftMs),
    })
    let skewed = false
    await sim.open()
    const record = expiring('a', 1, sim.process.clock.wallMs() + 600_000)
    await sim.settle(sim.store.commit([record]))
    sim.process.time.setSkewMs(3_600_000)
    skewed = true
    await sim.world.advance(60_000)
    sim.process.time.setSkewMs(0)
    skewed = false
    await sim.world.advance(60_000)
    expect(plain(sim.store.get(record.key))).toEqual(record)
    await sim.settle(sim.store.close())
  })

  it('never throws away what is left when the purge time is not known', async () => {
    const sim = new SimStore('no purge time')
    await sim.open()
    const record = expiring('a', 1, sim.process.clock.wallMs() + 1)
    await sim.settle(sim.store.commit([record]))
    await sim.world.advance(3_600_000)
    expect(plain(sim.store.get(record.key))).toEqual(record)
  })

  it('gives the memory of what it has thrown away back without waiting for the next write', async () => {
    const sim = simStore('memory')
    await sim.open()
    const expiresAtMs = sim.process.clock.wallMs() + 60_000
    for (let i = 0; i < 300; i++) {
      const record = { ...put(`k${i}`, 1, 'x'.repeat(20_000)), expiresAtMs: i % 10 === 0 ? 0 : expiresAtMs }
      await sim.settle(sim.store.commit([record]))
    }
    const full = sim.store.statistics().tableBytes
    await sim.world.advance(60_000 + lateMs)
    expect(sim.store.statistics().tombstones).toBe(270)
    expect(sim.store.statistics().tableBytes).toBeLessThan(full / 2)
    await sim.settle(sim.store.close())
  })

  it('sets a timer only while something can expire, and none when it is closed', async () => {
    const sim = simStore('timers')
    await sim.open()
    await sim.settle(sim.store.commit([put('a', 1)]))
    await sim.world.advance(1000)
    const idle = sim.world.eventsRun
    await sim.world.advance(60_000)
    expect(sim.world.eventsRun, 'nothing can expire').toBe(idle)
    await sim.settle(sim.store.commit([expiring('b', 1, sim.process.clock.wallMs() + 5000)]))
    await sim.world.advance(5000 + lateMs)
    expect(sim.store.statistics().tombstones).toBe(1)
    const done = sim.world.eventsRun
    await sim.world.advance(60_000)
    expect(sim.world.eventsRun, 'all of it has').toBe(done)
    await sim.settle(sim.store.commit([expiring('c', 1, sim.process.clock.wallMs() + 5000)]))
    await sim.world.advance(100)
    await sim.settle(sim.store.close())
    const closed = sim.world.eventsRun
    await sim.world.advance(60_000)
    expect(sim.world.eventsRun, 'closed').toBe(closed)
  })

  it('ends up the same when the log brings a purged value back, and when a snapshot has it purged', async () => {
    const sim = simStore('replay')
    await sim.open()
    const record = expiring('a', 1, sim.process.clock.wallMs() + 1000)
    await sim.settle(sim.store.commit([record]))
    await sim.world.advance(1000 + lateMs)
    expect(sim.store.statistics()).toMatchObject({ entries: 0, tombstones: 1 })
    await sim.reopen()
    expect(plain(sim.store.get(record.key)), 'the log holds the value').toEqual(record)
    await sim.world.advance(lateMs)
    expect(plain(sim.store.get(record.key))).toEqual(purged(record))
    await sim.settle(sim.store.commit([put('b', 1)]))
    await sim.settle(sim.store.snapshot())
    await sim.reopen()
    expect(plain(sim.store.get(record.key)), 'the snapshot does not').toEqual(purged(record))
    expect(sim.store.statistics()).toMatchObject({ entries: 1, tombstones: 1 })
  })

  it('refuses the value of a purged record as stale, and does not log it again', async () => {
    const sim = simStore('late copy')
    await sim.open()
    const record = expiring('a', 1, sim.process.clock.wallMs() + 1000)
    await sim.settle(sim.store.commit([record]))
    await sim.world.advance(1000 + lateMs)
    const { lastSequence } = sim.store.statistics()
    const [result] = await sim.settle(sim.store.commit([record]))
    expect(result).toMatchObject({ applied: false, seen: { hi: 1, lo: 1, node: 1 }, existed: false })
    expect(sim.store.statistics()).toMatchObject({ lastSequence, entries: 0, tombstones: 1 })
    const [over] = await sim.settle(sim.store.commit([put('a', 2)]))
    expect(over).toMatchObject({ applied: true, existed: false })
  })

  it('gives the event loop back after each slice of a mass expiry, and wins the memory back', async () => {
    const sim = simStore('mass expiry')
    await sim.open()
    const expiresAtMs = sim.process.clock.wallMs() + 1000
    const count = 20 * limits.expirySliceRecords
    for (let i = 0; i < count; i += 512) {
      const batch = Array.from({ length: 512 }, (_, j) => ({
        ...put(`k${i + j}`, 1, new Uint8Array(300)),
        expiresAtMs,
      }))
      await sim.settle(sim.store.commit(batch))
    }
    const full = sim.store.statistics().tableBytes
    const seen = [0]
    await sim.world.runUntil(() => {
      const { tombstones } = sim.store.statistics()
      if (tombstones > seen.at(-1)!) seen.push(tombstones)
      return tombstones === count
    }, 1000 + lateMs)
    expect(seen).toEqual(Array.from({ length: 21 }, (_, i) => i * limits.expirySliceRecords))
    await sim.world.advance(1000)
    expect(full - sim.store.statistics().tableBytes).toBeGreaterThan(count * 300 * 0.9 - 2 * 2 ** 20)
    await sim.settle(sim.store.close())
  })

  it('never differs from a Map, through overwrites, deletes, clock steps, snapshots, crashes and closings', async () => {
    const key = fc.nat(11).map((i) => `key-${i}`)
    const command = fc.oneof(
      { weight: 5, arbitrary: fc.tuple(fc.constant('put' as const), key, fc.nat(40_000)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('delete' as const), key) },
      { weight: 3, arbitrary: fc.tuple(fc.constant('wait' as const), fc.integer({ min: 1, max: 30_000 })) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('skew' as const), fc.integer({ min: -9_000, max: 9_000 })) },
      { weight: 1, arbitrary: fc.tuple(fc.constantFrom('snapshot' as const, 'crash' as const, 'reopen' as const)) },
    )
    let runs = 0
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 60 }), async (commands) => {
        const sim = simStore(`model ${runs++}`)
        await sim.open()
        const model = new Map<string, StoredRecord>()
        let stamp = 0
        const write = async (name: string, record: StoredRecord): Promise<void> => {
          await sim.settle(sim.store.commit([record]))
          model.set(name, record)
        }
        for (const [what, a, b] of commands) {
          if (what === 'put') {
            const expiresAtMs = b! < 10_000 ? 0 : sim.process.clock.wallMs() + b! - 10_000
            await write(a, { ...put(a, ++stamp, new Uint8Array(b! % 50)), expiresAtMs })
          } else if (what === 'delete') await write(a, tombstone(a, ++stamp))
          else if (what === 'wait') await sim.world.advance(a)
          else if (what === 'skew') sim.process.time.setSkewMs(a)
          else if (what === 'snapshot') await sim.settle(sim.store.snapshot())
          else if (what === 'crash') await sim.reopen()
          else {
            await sim.settle(sim.store.close())
            await sim.open()
          }
          checkAgainst(model, sim)
        }
        sim.process.time.setSkewMs(0)
        await sim.world.advance(9_000 + 30_000 + lateMs)
        for (const [name, record] of model) if (record.expiresAtMs > 0) model.set(name, purged(record))
        const tombstones = [...model.values()].filter((record) => record.tombstone).length
        expect(sim.store.statistics()).toMatchObject({ entries: model.size - tombstones, tombstones })
        for (const record of model.values()) expect(plain(sim.store.get(record.key))).toEqual(record)
        await sim.settle(sim.store.close())
      }),
      { numRuns: 40 },
    )
  })
})

/** Everything is there at its version; a value is missing only where nobody in order would show it any more. */
function checkAgainst(model: ReadonlyMap<string, StoredRecord>, sim: SimStore): void {
  const expected = new Table()
  for (const record of model.values()) {
    expected.merge(record)
    const found = plain(sim.store.get(record.key))!
    if (compareRecords(found, record) === 0) continue
    expect(found).toEqual(purged(record))
    // The clocks of this run have been at most 18 s apart: what is ahead by 9 s purges 10 s late.
    expect(isLive(record, sim.process.clock.wallMs() + 18_000 - driftMs)).toBe(false)
  }
  for (const { key } of model.values()) {
    expect(sim.store.digest(slotOf(key))).toEqual(expected.digest(slotOf(key)))
  }
}

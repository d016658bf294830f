import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../base/index.js'
import { isLive, type StoredRecord } from '../record/index.js'
import { SimStore } from './fixture.conformance.js'
import { keysOfOneSlot, floorSlot as slot, write } from './floors.conformance.js'
import { type Store, surveyDirectory, Table } from './index.js'
import { rebuild } from './repair/repair-rebuild.js'
import { Arena } from './table/arena.js'

const keys = keysOfOneSlot(60)
const decoder = new TextDecoder()

function held(store: Pick<Store, 'scanSlot'>): string[] {
  const found: string[] = []
  store.scanSlot(slot, ({ key, hi, lo }) => found.push(`${decoder.decode(key)}@${hi}.${lo}`))
  return found.sort()
}

function named(...records: StoredRecord[]): string[] {
  return records.map(({ key, hi, lo }) => `${decoder.decode(key)}@${hi}.${lo}`).sort()
}

async function opened(seed: string): Promise<SimStore> {
  const sim = new SimStore(seed)
  await sim.open()
  return sim
}

const old = keys.slice(0, 20).map((key) => write(key, 10))
const fresh = [write(keys[0]!, 30), write(keys[50]!, 31)]

test('a table that empties a slot forgets all of it at once, and gives its memory back step by step', () => {
  const table = new Table()
  for (let i = 0; i < 20_000; i++) {
    table.merge(write(keys[i % 60]!.slice(), i + 1, i % 3 === 0 ? { expiresAtMs: 50_000 + i } : {}))
    table.merge(write(new TextEncoder().encode(`other-${i}`), 5))
  }
  let here = 0
  table.scanSlot(slot, () => here++)
  const others = table.entries - here
  table.setFloor(slot, 3)
  const digestOfNothing = new Table().digest(slot)
  table.emptySlot(slot)
  expect(held(table)).toEqual([])
  expect(table.get(keys[1]!)).toBeUndefined()
  expect(table.digest(slot)).toEqual(digestOfNothing)
  expect(table.floorMs(slot)).toBe(0)
  expect(table.entries).toBe(others)
  table.merge(write(keys[1]!, 2))
  for (let steps = 0; table.compactStep(1_000); steps++) expect(steps).toBeLessThan(1_000_000)
  expect(held(table)).toEqual(named(write(keys[1]!, 2)))
  while (table.expireStep(1e12, 100));
  expect(table.entries).toBe(others + 1)
})

test('a table is what the model is, however writes, emptying, expiry and compaction mix', () => {
  const step = fc.oneof(
    { weight: 12, arbitrary: fc.record({ do: fc.constant('write'), key: fc.nat(59), big: fc.nat(40) }) },
    { weight: 1, arbitrary: fc.constant({ do: 'empty', key: 0, big: 0 }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('compact'), key: fc.constant(0), big: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.constant({ do: 'expire', key: 0, big: 0 }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      const table = new Table(new Arena(256))
      const model = new Map<string, StoredRecord>()
      let ms = 0
      for (const { do: what, key, big } of steps) {
        ms++
        if (what === 'write') {
          const value = new Uint8Array(big * 4)
          const record = write(keys[key]!, ms, { value, expiresAtMs: big % 2 === 0 ? 0 : 1_000 * ms + 3_000 })
          table.merge(record)
          model.set(decoder.decode(record.key), record)
        } else if (what === 'empty') {
          table.emptySlot(slot)
          model.clear()
        } else if (what === 'compact') {
          table.compactStep(1 + big * 60)
        } else {
          table.expireStep(1_000 * ms, 5)
        }
        expect(table.entries + table.tombstones).toBe(model.size)
        expect(held(table)).toEqual(named(...model.values()))
      }
      while (table.compactStep(64));
      while (table.expireStep(1e12, 64));
      for (const [name, record] of model) {
        const stored = table.get(new TextEncoder().encode(name))
        expect(stored?.lo).toBe(record.lo)
        expect(stored !== undefined && isLive(stored, 1e12)).toBe(record.expiresAtMs === 0)
      }
    }),
    { numRuns: 100 },
  )
})

test('after a crash at any moment nothing old comes back, and nothing new is lost', async () => {
  let finished = false
  for (let events = 0; !finished; events++) {
    for (const policy of ['lose', 'keep', 'random'] as const) {
      const sim = await opened(`crash ${events}`)
      await sim.settle(sim.store.commit(old))
      await sim.settle(sim.store.raiseFloors([{ slot, floorMs: 12 }]))
      let emptied = false
      let regained = false
      const from = sim.world.eventsRun
      void sim.store.emptySlots([slot]).then(() => {
        emptied = true
      })
      void sim.store.commit(fresh).then(() => {
        regained = true
      })
      await sim.world.runUntil(() => regained || sim.world.eventsRun - from >= events)
      const [wasEmptied, wasRegained] = [emptied, regained]
      await sim.reopen(policy)
      const found = held(sim.store)
      if (wasEmptied) for (const record of old) expect(found).not.toContain(named(record)[0])
      if (wasRegained) expect(found).toEqual(named(...fresh))
      if (found.includes(named(fresh[1]!)[0]!)) expect(found).toEqual(named(...fresh))
      await sim.settle(sim.store.snapshot())
      await sim.reopen('lose')
      expect(held(sim.store)).toEqual(found)
      finished = wasRegained
    }
  }
})

test('what is committed behind it stays, even where the table still holds the very same', async () => {
  const sim = await opened('same')
  await sim.settle(sim.store.commit(old))
  const emptied = sim.store.emptySlots([slot])
  const again = sim.store.commit([old[3]!])
  await sim.settle(emptied)
  expect((await sim.settle(again))[0]).toMatchObject({ applied: true, seen: undefined })
  expect(held(sim.store)).toEqual(named(old[3]!))
  expect(held(await sim.reopen())).toEqual(named(old[3]!))
})

test('what is committed before it goes, even where it is only on its way', async () => {
  const sim = await opened('before')
  const before = sim.store.commit(old)
  await sim.settle(sim.store.emptySlots([slot]))
  await sim.settle(before)
  expect(held(sim.store)).toEqual([])
  expect(held(await sim.reopen())).toEqual([])
})

test('the floor goes with it: what is live below it comes back with the slot', async () => {
  const sim = await opened('floor')
  await sim.settle(sim.store.commit(old))
  await sim.settle(sim.store.raiseFloors([{ slot, floorMs: 20 }]))
  await sim.settle(sim.store.emptySlots([slot]))
  expect(sim.store.holds(slot)).toBe(false)
  const [result] = await sim.settle(sim.store.commit([old[0]!]))
  expect(result?.applied).toBe(true)
  for (const snapshot of [false, true]) {
    if (snapshot) await sim.settle(sim.store.snapshot())
    await sim.reopen()
    expect(sim.store.floorMs(slot)).toBe(0)
    expect(held(sim.store)).toEqual(named(old[0]!))
  }
})

test('a floor that is raised behind it stays, even where the table still has that very floor', async () => {
  const sim = await opened('floor behind')
  await sim.settle(sim.store.raiseFloors([{ slot, floorMs: 20 }]))
  const emptied = sim.store.emptySlots([slot])
  expect(sim.store.floorMs(slot)).toBe(0)
  await sim.settle(sim.store.raiseFloors([{ slot, floorMs: 20 }]))
  await sim.settle(emptied)
  expect(sim.store.floorMs(slot)).toBe(20)
  expect((await sim.reopen()).floorMs(slot)).toBe(20)
})

test('its digests are those of nothing from the call on: who compares them must not count on what will be gone', async () => {
  const sim = await opened('digest')
  await sim.settle(sim.store.commit(old))
  const nothing = new Table().digest(slot)
  expect(sim.store.digest(slot)).not.toEqual(nothing)
  const emptied = sim.store.emptySlots([slot])
  expect(sim.store.digest(slot)).toEqual(nothing)
  expect(sim.store.digest(slot, { hi: 1, lo: 2 })).toEqual(nothing)
  expect(sim.store.digestUpTo(slot, 1e12)).toEqual({ ...nothing, dead: 0 })
  await sim.settle(emptied)
  await sim.settle(sim.store.commit([old[0]!]))
  expect(sim.store.digest(slot)).not.toEqual(nothing)
})

test('a snapshot that was begun before it brings nothing back', async () => {
  const sim = await opened('snapshot')
  await sim.settle(sim.store.commit(old))
  const snapshot = sim.store.snapshot()
  const emptied = sim.store.emptySlots([slot])
  const regained = sim.store.commit(fresh)
  await sim.settle(Promise.all([snapshot, emptied, regained]))
  expect(held(await sim.reopen())).toEqual(named(...fresh))
})

test('an offline repair leaves out what was dropped, lost slots included, and verify finds the log sound', async () => {
  for (const lost of [false, true]) {
    const sim = await opened('repair')
    await sim.settle(sim.store.commit(old))
    await sim.settle(sim.store.emptySlots([slot]))
    await sim.settle(sim.store.commit(fresh))
    await sim.settle(sim.store.close())
    const { findings } = await sim.settle(surveyDirectory(sim.process.disk))
    expect(findings.filter(({ path }) => path.startsWith('log/'))).toEqual([])
    const { clusterId, incarnation } = sim.options
    const wholeSince = new Float64Array(4096).fill(lost ? -1 : 0)
    const sources = { origin: { clusterId, incarnation }, base: undefined, salvaged: [], wholeSince, lost: [] }
    const identity = { nodeId: 'n1' as never, incarnation, clusterId }
    const rebuilt = await sim.settle(rebuild(sim.process.disk, sources, { identity, sequence: 1_000, segment: 1_000 }))
    expect(rebuilt.records).toBe(fresh.length)
  }
})

test('many slots are emptied in one write, and those that hold nothing in none', async () => {
  const sim = await opened('many')
  await sim.settle(sim.store.commit(old))
  const { lastSequence } = sim.store.statistics()
  const all = Array.from({ length: 4096 }, (_, i) => i as typeof slot)
  await sim.settle(sim.store.emptySlots(all))
  expect(sim.store.statistics()).toMatchObject({ entries: 0, lastSequence: lastSequence + 1 })
  await sim.world.advance(1_000)
  const { lastSequence: sealed } = sim.store.statistics()
  await sim.settle(sim.store.emptySlots(all))
  expect(sim.store.statistics().lastSequence).toBe(sealed)
  expect(limits.logFrameBytesMax).toBeGreaterThan(4096 * 22)
})

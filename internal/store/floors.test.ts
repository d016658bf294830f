import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CrashPolicy } from '../env-sim/index.js'
import { floorVersion, isLive, type StoredRecord } from '../record/index.js'
import { SimStore } from './fixture.conformance.js'
import { FloorModel, keysOfOneSlot, floorSlot as slot, write } from './floors.conformance.js'
import { type CommitResult, type Store, Table } from './index.js'

const keys = keysOfOneSlot(8)
const [a, b, c, d] = keys as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
const decoder = new TextDecoder()
const big = new Uint8Array(400_000)

async function opened(seed: string): Promise<SimStore> {
  const sim = new SimStore(seed)
  await sim.open()
  return sim
}

const commit = async (sim: SimStore, ...records: StoredRecord[]): Promise<readonly CommitResult[]> =>
  sim.settle(sim.store.commit(records))
const raise = (sim: SimStore, floorMs: number): Promise<void> => sim.settle(sim.store.raiseFloors([{ slot, floorMs }]))
const gone = (key: Uint8Array, ms: number): StoredRecord => write(key, ms, { tombstone: true })

/** What the slot holds and answers, in a form that can be compared. */
function answers(store: Store): unknown {
  const held: string[] = []
  store.scanSlot(slot, ({ key, hi, lo, tombstone }) => held.push(`${decoder.decode(key)}@${hi}.${lo} ${tombstone}`))
  const versions = keys.map((key) => store.getVersion(key))
  return { floorMs: store.floorMs(slot), held: held.sort(), versions, digest: store.digest(slot) }
}

test('a floor drops what is dead at it, and keeps what is live or later', async () => {
  const sim = await opened('drops')
  await commit(sim, write(a, 10), gone(b, 10), write(c, 10, { expiresAtMs: 20 }), gone(d, 30))
  await commit(sim, write(keys[4]!, 10, { expiresAtMs: 21 }), { ...gone(keys[5]!, 10), expiresAtMs: 20 })
  await raise(sim, 20)
  const held: string[] = []
  sim.store.scanSlot(slot, ({ key }) => held.push(decoder.decode(key)))
  expect(held.sort()).toEqual([a, d, keys[4]!].map((key) => decoder.decode(key)).sort())
  expect(sim.store.statistics()).toMatchObject({ entries: 2, tombstones: 1 })
})

test('what is absent under a floor answers as a tombstone of the floor', async () => {
  const sim = await opened('absent')
  expect(sim.store.get(a)).toBeUndefined()
  expect(sim.store.getVersion(a)).toBeUndefined()
  await raise(sim, 20)
  expect(sim.store.get(a)).toMatchObject({ ...floorVersion(20), tombstone: true, expiresAtMs: 0 })
  expect(sim.store.getVersion(a)).toEqual(floorVersion(20))
  expect(sim.store.get(new TextEncoder().encode('elsewhere'))).toBeUndefined()
})

test('what was stamped under the floor is refused for an absent key, whoever brings it, and what is above is taken', async () => {
  const sim = await opened('refused')
  await commit(sim, write(b, 5))
  await raise(sim, 20)
  const [late, tomb, late2, fresh] = await commit(sim, write(a, 20), gone(c, 20), write(b, 6), write(d, 21))
  expect(late).toMatchObject({ applied: false, seen: floorVersion(20), existed: false })
  expect(tomb).toMatchObject({ applied: false, seen: floorVersion(20) })
  expect(late2?.applied).toBe(true)
  expect(fresh).toMatchObject({ applied: true, seen: undefined })
  await commit(sim, gone(b, 7))
  expect(sim.store.getVersion(b), 'a delete under the floor leaves nothing').toEqual(floorVersion(20))
  expect(sim.store.statistics().tombstones).toBe(0)
})

test('a write that met the floor only in the log is refused then, and after every start', async () => {
  const sim = await opened('order')
  const before = sim.store.commit([write(a, 10)])
  const raised = sim.store.raiseFloors([{ slot, floorMs: 20 }])
  const behind = sim.store.commit([write(b, 10)])
  await sim.settle(raised)
  expect((await sim.settle(before))[0]?.applied).toBe(true)
  expect((await sim.settle(behind))[0]).toMatchObject({ applied: false, seen: floorVersion(20) })
  const expected = answers(sim.store)
  expect(answers(await sim.reopen())).toEqual(expected)
  await sim.settle(sim.store.snapshot())
  expect(answers(await sim.reopen())).toEqual(expected)
})

test('a floor never falls, is not logged twice, and outlives the log and the records of its slot', async () => {
  const sim = await opened('floor')
  await raise(sim, 20)
  const { lastSequence } = sim.store.statistics()
  await raise(sim, 20)
  await raise(sim, 19)
  expect(sim.store.statistics().lastSequence).toBe(lastSequence)
  for (let i = 0; i < 3; i++) {
    await commit(sim, write(new TextEncoder().encode(`other-${i}`), 100))
    await sim.settle(sim.store.snapshot())
  }
  expect((await sim.reopen()).floorMs(slot)).toBe(20)
})

test('digests up to a moment leave out what is later, and are equal after a floor where they were before', async () => {
  const one = await opened('one')
  const other = await opened('other')
  await commit(one, write(a, 10), gone(b, 12), write(c, 40))
  await commit(other, write(c, 41), gone(b, 12), write(b, 9), write(a, 10))
  const past = one.store.digestUpTo(slot, 20)
  expect(past).toEqual(other.store.digestUpTo(slot, 20))
  expect(past.dead).toBe(1)
  expect(one.store.digestUpTo(slot, 11)).not.toEqual({ ...past, dead: 0 })
  expect(one.store.digestUpTo(slot, 50)).not.toEqual(other.store.digestUpTo(slot, 50))
  for (const sim of [one, other]) await raise(sim, 20)
  expect(one.store.digestUpTo(slot, 20)).toEqual(other.store.digestUpTo(slot, 20))
  await commit(one, write(c, 41))
  expect(one.store.digest(slot)).toEqual(other.store.digest(slot))
})

test('settled: what was committed before is visible', async () => {
  const sim = await opened('settled')
  void sim.store.commit([write(a, 10)])
  void sim.store.commit([write(b, 10)])
  expect(sim.store.getVersion(b)).toBeUndefined()
  await sim.settle(sim.store.settled())
  expect(sim.store.getVersion(b)).toBeDefined()
  let told = false
  sim.store.commitOne(write(a, 20), false, false, { committed: () => (told = true), commitFailed: () => undefined })
  await sim.settle(sim.store.settled())
  expect(told).toBe(true)
})

test('the table drops any mixture of the dead, and finds all others afterwards', () => {
  const many = keysOfOneSlot(120)
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(119), fc.nat(30), fc.boolean()), { maxLength: 200 }),
      fc.nat(31),
      (steps, ms) => {
        const table = new Table()
        const model = new FloorModel()
        for (const [key, at, tombstone] of steps) {
          const record = write(many[key]!, at + 1, { tombstone })
          table.merge(record)
          model.commit(record)
        }
        table.setFloor(slot, ms)
        model.raise(ms)
        for (const key of many) expect(table.get(key)).toEqual(model.get(key))
        expect(table.entries + table.tombstones).toBe(model.stored.size)
        expect(table.tombstonesIn(slot)).toBe(table.tombstones)
      },
    ),
    { numRuns: 150 },
  )
})

type Step =
  | {
      readonly do: 'write'
      readonly key: number
      readonly aheadMs: number
      readonly kind: 'put' | 'delete' | 'expiring'
    }
  | { readonly do: 'repeat'; readonly which: number }
  | { readonly do: 'raise'; readonly behindMs: number }
  | { readonly do: 'snapshot' | 'close' }
  | { readonly do: 'crash'; readonly policy: CrashPolicy }

const arbitraryStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      key: fc.nat(5),
      aheadMs: fc.nat(5),
      kind: fc.constantFrom('put', 'delete', 'expiring'),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('repeat' as const), which: fc.nat(100) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('raise' as const), behindMs: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('snapshot' as const, 'close' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('crash' as const),
      policy: fc.constantFrom<CrashPolicy>('lose', 'keep', 'random'),
    }),
  },
)

test('to every reader a store with floors is one that never collected, through old copies, snapshots and crashes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(arbitraryStep, { maxLength: 60, size: 'max' }), async (steps) => {
      const sim = await opened('model')
      const model = new FloorModel()
      const history: StoredRecord[] = []
      let nowMs = 10
      for (const step of steps) {
        nowMs += 2
        switch (step.do) {
          case 'write': {
            const change = step.kind === 'expiring' ? { expiresAtMs: nowMs + 8 } : { tombstone: step.kind === 'delete' }
            const record = write(keys[step.key]!, nowMs + step.aheadMs, change)
            history.push(record)
            model.commit(record)
            await commit(sim, record)
            break
          }
          case 'repeat': {
            const record = history[step.which % Math.max(1, history.length)]
            if (record === undefined) break
            model.commit(record)
            await commit(sim, record)
            break
          }
          case 'raise':
            model.raise(nowMs - step.behindMs)
            await raise(sim, nowMs - step.behindMs)
            break
          case 'snapshot':
            await sim.settle(sim.store.snapshot())
            break
          case 'close':
            await sim.settle(sim.store.close())
            await sim.open()
            break
          case 'crash':
            await sim.reopen(step.policy)
            break
          default:
            step satisfies never
        }
        for (const key of keys) {
          const record = sim.store.get(key)
          expect(record).toEqual(model.get(key))
          const seen = record !== undefined && isLive(record, nowMs + 10) ? decoder.decode(record.value) : undefined
          expect(seen).toBe(model.seen(key, nowMs + 10))
        }
      }
    }),
    { numRuns: 60 },
  )
}, 60_000)

test('a crash at any moment of raises, of writes beside them and of a snapshot around them brings nothing back', async () => {
  const base = await opened('base')
  await commit(base, write(a, 10), gone(b, 11), write(c, 12), write(d, 13))
  await base.settle(base.store.snapshot())
  await commit(base, gone(c, 14))
  await base.world.advance(100)
  let finished = false
  for (let events = 1; !finished; events++) {
    for (const policy of ['keep', 'lose', 'random'] as const satisfies CrashPolicy[]) {
      const sim = base.clone('lose')
      const store = await sim.open()
      const from = sim.world.eventsRun
      const acknowledged = { raised: 0, first: false, second: false }
      void (async () => {
        const snapshot = store.snapshot()
        await store.raiseFloors([{ slot, floorMs: 12 }])
        acknowledged.raised = 12
        // Repairs of what another owner has, between two floors: the first is older than the second one.
        await store.commit([write(keys[4]!, 15)])
        acknowledged.first = true
        await store.raiseFloors([{ slot, floorMs: 20 }])
        acknowledged.raised = 20
        await store.commit([write(keys[5]!, 25)])
        acknowledged.second = true
        await snapshot
        await store.snapshot()
        finished = true
      })()
      await sim.world.runUntil(() => finished || sim.world.eventsRun - from >= events)
      for (let start = 0; start < 2; start++) {
        await sim.reopen(start === 0 ? policy : 'lose')
        const what = `${policy} after ${events} events, start ${start}`
        const floorMs = sim.store.floorMs(slot)
        expect(floorMs, what).toBeGreaterThanOrEqual(acknowledged.raised)
        expect(sim.store.get(a)?.tombstone, what).toBe(false)
        expect(sim.store.get(d)?.tombstone, what).toBe(false)
        for (const key of [b, c]) expect(sim.store.get(key)?.tombstone, what).toBe(true)
        expect(sim.store.statistics().tombstones, what).toBe(floorMs === 0 ? 2 : floorMs === 12 ? 1 : 0)
        if (acknowledged.first) expect(sim.store.get(keys[4]!)?.tombstone, what).toBe(false)
        if (acknowledged.second) expect(sim.store.get(keys[5]!)?.tombstone, what).toBe(false)
        await sim.settle(sim.store.commit([write(b, 10), write(c, 12)]))
        for (const key of [b, c]) expect(sim.store.get(key)?.tombstone, what).toBe(true)
        await sim.settle(sim.store.snapshot())
      }
    }
  }
}, 60_000)

test('whenever a slot is written while floors rise and writes come, its block has the floor of that moment', async () => {
  const base = await opened('fuzzy')
  // Enough for the snapshot to give way many times, so that slots are written at many moments.
  const filler = Array.from({ length: 12 }, (_, i) => write(new TextEncoder().encode(`filler-${i}`), 5, { value: big }))
  for (const record of filler) await commit(base, record)
  await commit(base, gone(a, 3), gone(b, 12))
  await base.world.advance(100)
  let finished = 0
  for (let events = 0; finished < 2; events++) {
    const sim = base.clone('lose')
    const store = await sim.open()
    // The put is in the log behind the delete that beats it, because it was checked before that was visible.
    const inFlight = [store.commit([gone(c, 12)])]
    await sim.world.runUntil(() => store.statistics().lastSequence > base.store.statistics().lastSequence)
    inFlight.push(store.commit([write(c, 11)]))
    await sim.settle(inFlight[0]!)
    let taken = false
    const from = sim.world.eventsRun
    const snapshot = store.snapshot().then(() => {
      taken = true
    })
    await sim.world.runUntil(() => taken || sim.world.eventsRun - from >= events)
    if (taken) finished++
    const repaired = store.commit([write(d, 11)])
    await sim.settle(store.raiseFloors([{ slot, floorMs: 20 }]))
    await sim.settle(Promise.all([...inFlight, repaired, snapshot]))
    const expected = answers(store)
    expect(store.get(c)?.tombstone).toBe(true)
    expect(store.get(d)?.tombstone).toBe(false)
    expect(answers(await sim.reopen('lose')), `raised ${events} events behind the start of the snapshot`).toEqual(
      expected,
    )
  }
}, 60_000)

import { expect, test } from 'vitest'
import type { Slot } from '../base/index.js'
import { slotOf } from '../slots/index.js'
import { put, SimStore } from './fixture.conformance.js'
import { readLostSlots, type StoreOptions, writeLostSlots } from './index.js'

const slots = (...numbers: number[]): Slot[] => numbers as Slot[]

async function withLost(...numbers: number[]): Promise<SimStore> {
  return await withLostUnder({}, ...numbers)
}

async function withLostUnder(overrides: Partial<StoreOptions>, ...numbers: number[]): Promise<SimStore> {
  const sim = new SimStore('lost', overrides)
  await sim.settle(writeLostSlots(sim.process.disk, slots(...numbers)))
  return sim
}

test('without a document nothing is lost', async () => {
  const sim = new SimStore('none')
  const store = await sim.open()
  expect(store.lostSlots()).toEqual([])
  expect(store.isLost(slots(0)[0]!)).toBe(false)
  await sim.settle(store.refilled(slots(1, 2)))
  expect(sim.drive.paths()).not.toContain('lost')
})

test('lost slots are told after every start, and the store works in them', async () => {
  const sim = await withLost(7, 4095, 0, 6, 7)
  for (let life = 0; life < 2; life++) {
    const store = await sim.reopen('lose')
    expect(store.lostSlots()).toEqual([0, 6, 7, 4095])
    expect(store.statistics().lostSlots).toBe(4)
    expect([5, 6, 7, 8].map((slot) => store.isLost(slot as Slot))).toEqual([false, true, true, false])
    expect(sim.said.at(-1)).toContain('lost')
  }
  const all = Array.from({ length: 4096 }, (_, slot) => slot as Slot)
  await sim.settle(sim.store.close())
  await sim.settle(writeLostSlots(sim.process.disk, all))
  await sim.reopen('lose')
  await sim.settle(sim.store.commit([put('a', 1)]))
  await sim.reopen('lose')
  expect(sim.store.get(new TextEncoder().encode('a'))?.lo).toBe(1)
  expect(sim.store.lostSlots()).toEqual(all)
})

test('a refilled slot counts as lost until that is durable, and not after a crash behind it', async () => {
  let resolved = false
  for (let events = 0; !resolved; events++) {
    for (const policy of ['keep', 'lose', 'random'] as const) {
      const sim = await withLost(1, 2, 3)
      const store = await sim.open()
      let done = false
      const from = sim.world.eventsRun
      void store.refilled(slots(2)).then(() => {
        done = true
      })
      expect(store.isLost(slots(2)[0]!)).toBe(true)
      await sim.world.runUntil(() => done || sim.world.eventsRun - from >= events)
      const saidWhole = !store.isLost(slots(2)[0]!)
      const found = (await sim.reopen(policy)).lostSlots()
      if (done || saidWhole) expect(found, `${events} events, ${policy}`).toEqual([1, 3])
      else expect([slots(1, 3), slots(1, 2, 3)]).toContainEqual(found)
      resolved ||= done
    }
  }
})

test('a slot is whole only when what refilled it is durable too, also where commits do not wait for that', async () => {
  const { key } = put('a', 1)
  for (const fsync of ['never', 'interval'] as const) {
    const sim = await withLostUnder({ fsync }, slotOf(key))
    const store = await sim.open()
    await sim.settle(store.commit([put('a', 1)]))
    await sim.settle(store.refilled(slots(slotOf(key))))
    const after = await sim.reopen('lose')
    expect(after.lostSlots(), fsync).toEqual([])
    expect(after.get(key)?.lo, fsync).toBe(1)
  }
})

test('a store that is closed while a refill waits for the log writes nothing afterwards', async () => {
  const { key } = put('a', 1)
  const sim = await withLostUnder({ fsync: 'never' }, slotOf(key), 4095)
  const store = await sim.open()
  await sim.settle(store.commit([put('a', 1)]))
  let told: unknown
  const refilling = store.refilled(slots(slotOf(key))).then(
    () => 'whole',
    (error: unknown) => error,
  )
  void refilling.then((outcome) => {
    told = outcome
  })
  await sim.settle(store.close())
  expect(told).toBeDefined()
  expect(await sim.settle(readLostSlots(sim.process.disk))).toHaveLength(told === 'whole' ? 1 : 2)
})

test('refills that come while one is being written go with the next, and the last takes the document away', async () => {
  const sim = await withLost(1, 2, 3, 4)
  const store = await sim.open()
  const refills = [store.refilled(slots(1)), store.refilled(slots(2)), store.refilled(slots(4, 4))]
  await sim.settle(Promise.all(refills))
  expect(store.lostSlots()).toEqual([3])
  await sim.settle(store.refilled(slots(3)))
  expect(sim.drive.paths()).not.toContain('lost')
  expect((await sim.reopen('lose')).lostSlots()).toEqual([])
})

test('without room for the document the slot stays lost, and can be tried again', async () => {
  const sim = await withLost(1, 2)
  const store = await sim.open()
  sim.drive.faults.setFreeBytes(0)
  const error = await sim.settle(store.refilled(slots(1)).catch((failure: unknown) => failure))
  expect(error).toMatchObject({ code: 'read-only' })
  expect(store.lostSlots()).toEqual([1, 2])
  sim.drive.faults.setFreeBytes(1_000_000)
  await sim.settle(store.refilled(slots(1)))
  expect((await sim.reopen('lose')).lostSlots()).toEqual([2])
  expect(sim.fatal).toEqual([])
})

test('a sync that fails under the document ends the process, and the slot stays lost', async () => {
  const sim = await withLost(1, 2)
  const store = await sim.open()
  sim.drive.faults.failNext('sync', { path: 'lost.tmp' })
  const error = await sim.settle(store.refilled(slots(1)).catch((failure: unknown) => failure))
  expect(error).toMatchObject({ code: 'unavailable' })
  expect(sim.fatal).toHaveLength(1)
  expect(store.isLost(slots(1)[0]!)).toBe(true)
})

test('a closed store takes no refills, and waits for one that runs', async () => {
  const sim = await withLost(1, 2)
  const store = await sim.open()
  const refilling = store.refilled(slots(2))
  await sim.settle(store.close())
  await sim.settle(refilling)
  expect(await sim.settle(store.refilled(slots(1)).catch((failure: unknown) => failure))).toMatchObject({
    code: 'closed',
  })
  expect(await sim.settle(readLostSlots(sim.process.disk))).toEqual([1])
})

test('each byte of the document turned over stops the node', async () => {
  const sim = await withLost(1, 2, 9)
  const { length } = sim.drive.peek('lost')!
  for (let at = 0; at < length; at++) {
    sim.drive.corrupt('lost', at, 0x02)
    expect(await sim.openFailure(), `byte ${at}`).toMatchObject({ reason: 'corrupt' })
    sim.drive.corrupt('lost', at, 0x02)
  }
  expect((await sim.open()).lostSlots()).toEqual([1, 2, 9])
})

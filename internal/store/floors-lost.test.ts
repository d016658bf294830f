import { expect, test } from 'vitest'
import type { NodeId, Slot } from '../base/index.js'
import { slotOf } from '../slots/index.js'
import { SimStore } from './fixture.conformance.js'
import { keysOfOneSlot, floorSlot as slot, write } from './floors.conformance.js'
import {
  carryOutRepair,
  planRepair,
  type RepairOptions,
  type RepairPlan,
  surveyDirectory,
  writeDocument,
  writeIdentity,
  writeLostSlots,
} from './index.js'

/*
 * Floors beside what a directory has lost: a floor promises that everything below it is here, and where that is not so
 * any more it must be gone, or it would delete everywhere what this replica alone has lost.
 */

const [a, b, c] = keysOfOneSlot(3) as [Uint8Array, Uint8Array, Uint8Array]
const nodeId = 'node-1' as NodeId
const firstSegment = 'log/0000000001.log'
/** In the padding of a segment's header: what stands in the segment can still be read. */
const headerByte = 499

/** A live key below the floor, one above it, and a collected one. */
async function withFloor(seed: string): Promise<SimStore> {
  const sim = new SimStore(seed)
  await sim.settle(writeDocument(sim.process.disk, 'topology', new TextEncoder().encode(nodeId)))
  const { clusterId, incarnation } = sim.options
  await sim.settle(writeIdentity(sim.process.disk, { clusterId, incarnation, nodeId }))
  await sim.open()
  await sim.settle(sim.store.commit([write(a, 10), write(b, 10, { tombstone: true })]))
  await sim.settle(sim.store.raiseFloors([{ slot, floorMs: 20 }]))
  await sim.settle(sim.store.commit([write(c, 30)]))
  return sim
}

async function plan(sim: SimStore, acceptLoss = false): Promise<RepairPlan> {
  const { incarnation } = sim.options
  const members: RepairOptions['members'] = () => [{ id: nodeId, incarnation }]
  const options = {
    disk: sim.process.disk,
    checks: {},
    members,
    newIncarnation: incarnation,
    name: 'first',
    acceptLoss,
  }
  return await sim.settle(planRepair(options))
}

/** What the slot had lost and another owner has: it must stay, over starts as well. */
async function bringBack(sim: SimStore, refill: boolean): Promise<void> {
  expect(sim.store.floorMs(slot)).toBe(0)
  const [old] = await sim.settle(sim.store.commit([write(b, 11)]))
  expect(old?.applied).toBe(true)
  if (refill) await sim.settle(sim.store.refilled([slot]))
  for (const again of ['log', 'snapshot']) {
    await sim.reopen('lose')
    expect(sim.store.isLost(slot)).toBe(false)
    expect(sim.store.get(b), again).toMatchObject({ tombstone: false })
    expect(sim.store.floorMs(slot), again).toBe(0)
    await sim.settle(sim.store.snapshot())
  }
}

for (const how of ['log', 'snapshot'] as const) {
  test(`a lost slot has no floor, and what refills it stays: the floor is in the ${how}`, async () => {
    const sim = await withFloor(`lost ${how}`)
    if (how === 'snapshot') await sim.settle(sim.store.snapshot())
    await sim.settle(sim.store.close())
    await sim.settle(writeLostSlots(sim.process.disk, [slot]))
    await sim.open()
    await bringBack(sim, true)
  })
}

test('a slot that is refilled with nothing has no floor after the next start either', async () => {
  const sim = await withFloor('nothing')
  await sim.settle(sim.store.close())
  await sim.settle(writeLostSlots(sim.process.disk, [slot]))
  await sim.open()
  await sim.settle(sim.store.refilled([slot]))
  await sim.reopen('lose')
  expect(sim.store.floorMs(slot)).toBe(0)
})

test('a floor that a refill brings is raised behind the clearing of the old one', async () => {
  const sim = await withFloor('raised')
  await sim.settle(sim.store.close())
  await sim.settle(writeLostSlots(sim.process.disk, [slot]))
  const store = await sim.open()
  const committed = store.commit([write(b, 11)])
  await sim.settle(store.raiseFloors([{ slot, floorMs: 15 }]))
  await sim.settle(committed)
  await sim.settle(store.refilled([slot]))
  for (let start = 0; start < 2; start++) {
    expect(sim.store.floorMs(slot)).toBe(15)
    expect(sim.store.get(b)?.tombstone).toBe(false)
    await sim.reopen('lose')
  }
})

test('on a full disk the clearing is tried again with the next write, and comes before it', async () => {
  const sim = await withFloor('full')
  await sim.settle(sim.store.close())
  await sim.settle(writeLostSlots(sim.process.disk, [slot]))
  await sim.open()
  sim.drive.faults.setFreeBytes(0)
  const refused = sim.store.commit([write(c, 40, { value: new Uint8Array(9_000) })])
  await expect(sim.settle(refused)).rejects.toMatchObject({ code: 'read-only' })
  sim.drive.faults.setFreeBytes(1e9)
  await sim.world.advance(1_100)
  await bringBack(sim, true)
})

test('a slot whose loss is accepted has no floor, over all starts', async () => {
  const sim = await withFloor('accepted')
  await sim.settle(sim.store.close())
  await sim.settle(writeLostSlots(sim.process.disk, [slot]))
  await sim.settle(carryOutRepair(sim.process.disk, await plan(sim, true)))
  expect((await sim.settle(surveyDirectory(sim.process.disk))).lost).toEqual([])
  await sim.open()
  expect(sim.store.lostCount).toBe(0)
  await sim.world.advance(100)
  expect(sim.drive.paths(), 'the log says it now').not.toContain('lost')
  await bringBack(sim, false)
})

/** What is damaged so that the store is made anew though nothing is lost: something of it has all of the slot. */
const rebuilds: Readonly<
  Record<'a snapshot' | 'the log' | 'the log, behind a damaged snapshot', (sim: SimStore) => void>
> = {
  'a snapshot': (sim) => sim.drive.corrupt(firstSegment, 512 + 45),
  'the log': (sim) => sim.drive.corrupt(firstSegment, headerByte),
  'the log, behind a damaged snapshot': (sim) => {
    sim.drive.corrupt(firstSegment, headerByte)
    damageSlot(sim, sim.drive.paths().find((path) => path.endsWith('.snapshot'))!, slot)
  },
}

for (const [whole, damage] of Object.entries(rebuilds)) {
  test(`a repair that makes the store anew keeps the floors of what is whole in ${whole}`, async () => {
    const sim = await withFloor('rebuilt')
    if (whole !== 'the log') await sim.settle(sim.store.snapshot())
    await sim.settle(sim.store.close())
    damage(sim)
    const repair = await plan(sim)
    expect(repair).toMatchObject({ kind: 'repair', rebuild: { target: {} }, lost: [] })
    await sim.settle(carryOutRepair(sim.process.disk, repair))
    await sim.open()
    expect(sim.store.floorMs(slot)).toBe(20)
    expect(sim.store.get(a)?.tombstone).toBe(false)
    expect(sim.store.get(c)?.tombstone).toBe(false)
    expect((await sim.settle(sim.store.commit([write(b, 9)])))[0]?.applied).toBe(false)
    expect((await sim.settle(sim.store.commit([write(b, 15)])))[0]?.applied).toBe(false)
  })
}

test('a slot that only the older snapshot has whole gets its floor from there and from the log, and loses nothing', async () => {
  const sim = await withFloor('salvaged')
  const other = new TextEncoder().encode('other')
  await sim.settle(sim.store.commit([write(other, 10)]))
  for (let i = 0; i < 3; i++) {
    await sim.settle(sim.store.commit([write(other, 40 + i), write(c, 40 + i)]))
    await sim.settle(sim.store.snapshot())
  }
  await sim.settle(sim.store.commit([write(b, 35)]))
  await sim.settle(sim.store.raiseFloors([{ slot, floorMs: 36 }]))
  await sim.settle(sim.store.close())
  const [older, newer] = sim.drive.paths().filter((path) => path.endsWith('.snapshot'))
  damageSlot(sim, newer!, slot)
  damageSlot(sim, older!, slotOf(other))
  await sim.open()
  expect(sim.store.lostCount).toBe(0)
  expect(sim.store.floorMs(slot)).toBe(36)
  for (const key of [a, b, c]) expect(sim.store.get(key)?.tombstone).toBe(false)
})

/** Turns a bit over in the payload of the slot's block. */
function damageSlot(sim: SimStore, path: string, of: Slot): void {
  const bytes = Buffer.from(sim.drive.peek(path)!)
  const magic = Uint8Array.of(0xf2, 0x4b, 0x56, 0x0a)
  for (let at = bytes.indexOf(magic); at !== -1; at = bytes.indexOf(magic, at + 1)) {
    if (bytes.readUInt32LE(at + 12) === of) sim.drive.corrupt(path, at + 32 + 9, 1)
  }
}

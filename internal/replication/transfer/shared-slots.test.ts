import { expect, test } from 'vitest'
import type { Epoch, Slot } from '../../base/index.js'
import type { SlotTable } from '../../slots/index.js'
import type { Store } from '../../store/index.js'
import type { Routing } from '../operations/routing.js'
import { SharedSlots } from './shared-slots.js'
import { routingOf } from './slot-quorums.js'

/** What a tree is made of, with a count of the looks. */
class CountedStore {
  changes = 0
  looks = 0
  digestOfSlot7 = 1

  digest(slot: Slot): { hi: number; lo: number } {
    this.looks++
    return { hi: 0, lo: slot === 7 ? this.digestOfSlot7 : 0 }
  }

  floorMs(): number {
    return 0
  }
}

function routing(owns: (member: number, slot: Slot) => boolean): Routing {
  const table = { ownsSlot: owns } as unknown as SlotTable
  return { epoch: 1 as Epoch, table, self: 0, replicas: [] } as unknown as Routing
}

test('a tree is made again when something has changed, and only then', () => {
  const shared = new SharedSlots()
  const counted = new CountedStore()
  const store = counted as unknown as Store
  const all = routing(() => true)
  const before = shared.tree(1, all, store).root()
  const { looks } = counted
  expect(shared.tree(1, all, store).root()).toEqual(before)
  expect(counted.looks).toBe(looks)
  counted.changes++
  counted.digestOfSlot7 = 2
  expect(shared.tree(1, all, store).root()).not.toEqual(before)
})

test('a tree is made again under another topology, and for another store', () => {
  const shared = new SharedSlots()
  const counted = new CountedStore()
  const store = counted as unknown as Store
  const all = shared.tree(
    1,
    routing(() => true),
    store,
  )
  const without7 = routing((_, slot) => slot !== 7)
  const fewer = shared.tree(1, without7, store)
  expect(fewer.root()).not.toEqual(all.root())
  const other = new CountedStore()
  other.digestOfSlot7 = 3
  expect(
    shared
      .tree(
        1,
        routing(() => true),
        other as unknown as Store,
      )
      .root(),
  ).not.toEqual(all.root())
})

test('while slots move only owners on the side that is read are compared, from the switch on those to come', () => {
  const tableOf = (...owners: number[]): SlotTable => {
    const members = [{ id: 'n0' }, { id: 'n1' }, { id: 'n2' }]
    const ownsSlot = (member: number): boolean => owners.includes(member)
    const list = Uint16Array.from(owners)
    return { members, ownersPerSlot: owners.length, owners: () => list, ownsSlot } as unknown as SlotTable
  }
  const [before, after] = [tableOf(0, 1), tableOf(0, 2)]
  const quorums = { readQuorum: 2, writeQuorum: 2, otherReadQuorum: 2, otherWriteQuorum: 2 }
  const at = { epoch: 1 as Epoch, self: 0, replicas: [], ...quorums }
  const shared = new SharedSlots()
  const counts = (routing: Routing): number[] => [1, 2].map((member) => shared.with(member, routing).length)
  expect(counts(routingOf({ ...at, table: before, other: after, step: 'both' }))).toEqual([4096, 0])
  expect(counts(routingOf({ ...at, table: after, other: before, step: 'switch' }))).toEqual([0, 4096])
})

import { expect, test } from 'vitest'
import type { Epoch, Slot } from '../base/index.js'
import type { SlotTable } from '../slots/index.js'
import type { Store } from '../store/index.js'
import type { Routing } from './routing.js'
import { SharedSlots } from './shared-slots.js'

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

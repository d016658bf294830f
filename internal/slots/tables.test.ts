import { expect, test } from 'vitest'
import type { Epoch, NodeId } from '../base/index.js'
import { allSlots, incomingSlots, movedSlots, type SlotTable, slotTable, slotTables, type Topology } from './index.js'
import { topologyOf } from './topology.test-support.js'

const three = topologyOf([{ id: 'n1' }, { id: 'n2' }, { id: 'n3' }])
const four = topologyOf([{ id: 'n1' }, { id: 'n2' }, { id: 'n3' }, { id: 'n4' }])
const joining = topologyOf([{ id: 'n1' }, { id: 'n2' }, { id: 'n3' }, { id: 'n4', state: 'joining' }])

function handingOver(topology: Topology, ids: readonly string[], step: 'both' | 'switch' = 'both'): Topology {
  const ring = ids.map((id) => ({ id: id as NodeId, weight: 1 }))
  return { ...topology, handover: { step, since: 1 as Epoch, ring, changes: [] } }
}

function names(table: SlotTable): string[][] {
  return allSlots().map((slot) => Array.from(table.owners(slot), (owner) => table.members[owner]!.id))
}

test('who joins owns nothing, and changes nothing for the others', () => {
  const { current, next } = slotTables(joining)
  expect(next).toBeUndefined()
  expect(current.members).toBe(joining.members)
  expect(names(current)).toEqual(names(slotTable(three)))
  expect([current.load(3), current.fairShare(3), current.slotsOf(3)]).toEqual([0, 0, []])
})

test('a handover has the tables before and after, and the step says which of them is read', () => {
  const both = handingOver(joining, ['n1', 'n2', 'n3', 'n4'])
  const { current, next } = slotTables(both)
  expect(names(current)).toEqual(names(slotTable(three)))
  expect(names(next!)).toEqual(names(slotTable(four)))
  expect(names(slotTable(both))).toEqual(names(current))
  expect(names(slotTable(handingOver(joining, ['n1', 'n2', 'n3', 'n4'], 'switch')))).toEqual(names(next!))
})

test('weights of the ring to come decide over its table, those of the members over the present one', () => {
  const two = topologyOf([{ id: 'n1' }, { id: 'n2' }], 1)
  const ring = [
    { id: 'n1' as NodeId, weight: 1 },
    { id: 'n2' as NodeId, weight: 3 },
  ]
  const { current, next } = slotTables({ ...two, handover: { step: 'both', since: 1 as Epoch, ring, changes: [] } })
  expect(current.fairShare(1)).toBe(2048)
  expect(next!.fairShare(1)).toBe(3072)
})

test('moved slots are those whose sets of owners differ, and a member merges those of them that it gets', () => {
  const both = handingOver(joining, ['n1', 'n2', 'n3', 'n4'])
  const tables = slotTables(both)
  const [before, after] = [names(tables.current), names(tables.next!)]
  const differ = allSlots().filter((slot) => [...before[slot]!].sort().join() !== [...after[slot]!].sort().join())
  const moved = movedSlots(tables.current, tables.next!)
  expect(moved).toEqual(differ)
  expect(moved.length).toBeGreaterThan(2900)
  expect(incomingSlots(both, tables, 3)).toEqual(moved)
  for (const member of [0, 1, 2]) expect(incomingSlots(both, tables, member)).toEqual([])
  expect(incomingSlots(joining, slotTables(joining), 3)).toEqual([])
})

test('where the read quorum shrinks those who stay merge what they have as well', () => {
  const five = topologyOf(
    Array.from({ length: 5 }, (_, i) => ({ id: `n${i + 1}` })),
    5,
  )
  const toTwo = handingOver(five, ['n1', 'n2'])
  expect(incomingSlots(toTwo, slotTables(toTwo), 0)).toEqual(allSlots())
  const toFour = handingOver(five, ['n1', 'n2', 'n3', 'n4'])
  expect(incomingSlots(toFour, slotTables(toFour), 0)).toEqual([])
})

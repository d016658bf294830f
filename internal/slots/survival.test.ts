import { describe, expect, test } from 'vitest'
import { movedSlots, slotTables } from './layout.js'
import { slotCount } from './slot.js'
import { tightestSlot } from './survival.js'
import type { Topology } from './topology.js'
import { topologyOf } from './topology.test-support.js'

const all = (): boolean => true
const five = ['a', 'b', 'c', 'd', 'e'].map((id) => ({ id }))

/** Whether every slot has its quorums on both sides, counted the plain way. */
function hasQuorums(topology: Topology, down: ReadonlySet<number>): boolean {
  const { current, next } = slotTables(topology)
  return [current, next].every((table) => {
    if (table === undefined) return true
    return Array.from({ length: slotCount }, (_, slot) => table.owners(slot as never)).every((owners) => {
      return [...owners].filter((owner) => !down.has(owner)).length >= Math.floor(owners.length / 2) + 1
    })
  })
}

describe('how many members may go down', () => {
  test('as many as the tightest slot can spare may, whoever they are; one more, and some slot has no quorum', () => {
    for (const [topology, spare] of [
      [topologyOf(five, 3), 1],
      [topologyOf(five, 5), 2],
      [topologyOf(five.slice(0, 2), 3), 0],
      [topologyOf(five.slice(0, 1), 3), 0],
    ] as const) {
      expect(tightestSlot(topology, all)?.spare).toBe(spare)
    }
    const topology = topologyOf(five, 3)
    for (let one = 0; one < 5; one++) expect(hasQuorums(topology, new Set([one]))).toBe(true)
    expect(hasQuorums(topology, new Set([0, 1]))).toBe(false)
  })

  test('a slot that is lost on one owner, with another one down, has no quorum, and says who is missing', () => {
    const topology = topologyOf(five.slice(0, 3), 3)
    const counts = (member: number, slot: number): boolean => member !== 2 && !(member === 1 && slot === 77)
    expect(tightestSlot(topology, counts)).toEqual({
      ...{ slot: 77, spare: -1, counting: 1, needed: 2, short: 1 },
      absent: expect.arrayContaining([1, 2]),
    })
  })

  test('while a handover runs the side counts that has the fewest left', () => {
    const before = topologyOf([...five.slice(0, 3), { id: 'd', state: 'joining' as const }], 3)
    const ring = before.members.map(({ id, weight }) => ({ id, weight }))
    const during: Topology = { ...before, handover: { step: 'both', since: before.epoch, ring, changes: [] } }
    // Of the owners before nobody is down, but of those to come two are, where both are.
    const down = new Set([3, 0])
    const counts = (member: number): boolean => !down.has(member)
    expect(tightestSlot(before, counts)?.spare).toBe(0)
    expect(tightestSlot(during, counts)?.spare).toBe(-1)
    expect(hasQuorums(during, down)).toBe(false)
    const { current, next } = slotTables(during)
    const short = movedSlots(current, next!).filter((slot) => {
      return [0, 3].every((member) => next!.ownsSlot(member, slot))
    })
    expect(tightestSlot(during, counts)?.short).toBe(short.length)
  })

  test('concerning a member, only its slots are looked at; one that owns none concerns nobody', () => {
    const topology = topologyOf([...five, { id: 'f', state: 'joining' as const }], 3)
    const { current } = slotTables(topology)
    const slot = current.slotsOf(1).find((each) => !current.ownsSlot(0, each))!
    const counts = (member: number, each: number): boolean => each !== slot || member === 1
    expect(tightestSlot(topology, counts, 0)?.spare).toBe(1)
    expect(tightestSlot(topology, counts, 1)).toMatchObject({ spare: -1, slot, short: 1 })
    expect(tightestSlot(topology, all, 5)).toBeUndefined()
  })
})

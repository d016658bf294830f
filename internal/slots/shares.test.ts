import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sharesOf } from './shares.js'
import { slotCount } from './slot.js'

test('equal members share equally, with 5 % of room', () => {
  const { fair, caps } = sharesOf([1, 1, 1, 1], 3)
  expect([...fair]).toEqual([3072, 3072, 3072, 3072])
  expect([...caps]).toEqual([3225, 3225, 3225, 3225])
})

test('a member that outweighs the rest owns every slot once, and the others share what is left', () => {
  const { fair, caps } = sharesOf([1, 100, 1, 2], 3)
  expect([...fair]).toEqual([slotCount / 2, slotCount, slotCount / 2, slotCount])
  expect(caps[1]).toBe(slotCount)
})

test('shares add up to all copies, none is above all slots, and the caps leave room for every copy', () => {
  const weights = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 64 })
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 7 }), (given, factor) => {
      const picks = Math.min(factor, given.length)
      const { fair, caps } = sharesOf(given, picks)
      const sum = (figures: Iterable<number>): number => [...figures].reduce((total, figure) => total + figure, 0)
      expect(sum(fair)).toBeCloseTo(slotCount * picks, 6)
      expect(sum(caps)).toBeGreaterThanOrEqual(slotCount * picks)
      fair.forEach((slots, member) => {
        expect(slots).toBeLessThanOrEqual(slotCount)
        expect(caps[member]).toBeLessThanOrEqual(Math.max(slots * 1.05, Math.ceil(slots)))
        expect(caps[member]).toBeGreaterThanOrEqual(Math.min(slotCount, Math.floor(slots)))
      })
    }),
  )
})

test('members that should own less than a slot may own one, else the others could not hold all copies', () => {
  const weights = Array.from({ length: 256 }, (_, i) => (i < 200 ? 10 : 777))
  const { fair, caps } = sharesOf(weights, 1)
  expect(fair[0]).toBeLessThan(1)
  expect(caps[0]).toBe(1)
  expect(caps.reduce((sum, cap) => sum + cap, 0)).toBeGreaterThanOrEqual(slotCount)
})

test('nobody gains by weighing less, below or above the weight of every slot', () => {
  const { fair } = sharesOf([1, 5, 2, 900, 3, 4], 3)
  const byWeight = [0, 2, 4, 5, 1, 3].map((member) => fair[member]!)
  expect(byWeight).toEqual([...byWeight].sort((a, b) => a - b))
})

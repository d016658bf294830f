import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Pending, PendingCount } from './pending.js'

test('whoever waits is found by its id once, whatever comes and goes between (against a Map)', () => {
  const step = fc.oneof(fc.record({ add: fc.nat(255) }), fc.record({ take: fc.nat(500) }), fc.constant('all' as const))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
      const pending = new Pending<string>()
      const model = new Map<number, [string, number]>()
      const ids: number[] = []
      for (const [i, each] of steps.entries()) {
        if (each === 'all') {
          const ended: [string, number][] = []
          pending.takeAll((waiter, position) => ended.push([waiter, position]))
          expect(ended.sort()).toEqual([...model.values()].sort())
          model.clear()
        } else if ('add' in each) {
          const id = pending.add(`w${i}`, each.add)
          expect(model.has(id)).toBe(false)
          model.set(id, [`w${i}`, each.add])
          ids.push(id)
        } else {
          const id = ids[each.take % Math.max(1, ids.length)] ?? 12_345
          const expected = model.get(id)
          expect(pending.take(id)).toBe(expected?.[0])
          if (expected !== undefined) expect(pending.takenPosition).toBe(expected[1])
          model.delete(id)
        }
        expect(pending.size).toBe(model.size)
      }
    }),
  )
})

test('many may wait at a time; an id that never was, or is answered twice, finds nobody', () => {
  const pending = new Pending<number>()
  const ids = Array.from({ length: 10_000 }, (_, i) => pending.add(i, i % 7))
  expect(new Set(ids).size).toBe(10_000)
  expect(pending.take(0)).toBeUndefined()
  expect(pending.take(2 ** 31)).toBeUndefined()
  for (const [i, id] of ids.entries()) {
    expect(pending.take(id)).toBe(i)
    expect(pending.takenPosition).toBe(i % 7)
    expect(pending.take(id)).toBeUndefined()
  }
})

test('a position beyond a byte comes back as it went in: a scan numbers its write-backs into the thousands', () => {
  const pending = new Pending<string>()
  const ids = [255, 256, 300, 70_000].map((position) => pending.add(`w${position}`, position))
  const positions = ids.map((id) => {
    pending.take(id)
    return pending.takenPosition
  })
  expect(positions).toEqual([255, 256, 300, 70_000])
})

test('several count together those who wait, through every way of ending', () => {
  const count = new PendingCount()
  const [one, other] = [new Pending<string>(count), new Pending<string>(count)]
  const ids = Array.from({ length: 100 }, (_, i) => one.add(`w${i}`, 0))
  other.add('x', 0)
  expect(count.total).toBe(101)
  one.take(ids[7]!)
  one.take(ids[7]!)
  expect(count.total).toBe(100)
  one.takeAll((waiter) => {
    if (waiter === 'w8') one.add('again', 0)
  })
  expect(count.total).toBe(2)
})

import { describe, expect, test } from 'vitest'
import { confirmationsNeeded, mergeAccusers, type Suspicion, suspicionMinMs, suspicionTimeoutMs } from './suspicion.js'

const times = (members: number) => ({ probeIntervalMs: 1000, suspicionMult: 4, members })
const of = (accusers: readonly number[], fields: Partial<Suspicion> = {}): Suspicion => {
  return { startMs: 0, accusers, confirmed: false, factor: 1, ...fields }
}

describe('the time that a suspicion runs', () => {
  test('grows with the logarithm of the cluster, and not at all up to ten members', () => {
    expect([2, 3, 10].map((members) => suspicionMinMs(times(members)))).toEqual([4000, 4000, 4000])
    expect(suspicionMinMs(times(100))).toBe(8000)
    expect(suspicionMinMs(times(1000))).toBe(12_000)
  })

  test('is six times as long for one accuser alone, and shrinks with each that confirms, fastest with the first', () => {
    const after = [[1], [1, 2], [1, 2, 3]].map((accusers) => suspicionTimeoutMs(of(accusers), times(10)))
    expect(after[0]).toBe(24_000)
    expect(after[1]).toBeCloseTo(24_000 - (20_000 * Math.log(2)) / Math.log(3))
    expect(after[2]).toBe(4000)
    expect(suspicionTimeoutMs(of([1, 2, 3, 4, 5]), times(10))).toBe(4000)
  })

  test('waits for nobody where there are too few to confirm', () => {
    expect([2, 3, 4, 5].map((members) => confirmationsNeeded(times(members)))).toEqual([0, 0, 2, 2])
    expect(suspicionTimeoutMs(of([1]), times(3))).toBe(4000)
  })

  test('is the shortest where it comes from one who holds the member for dead already', () => {
    expect(suspicionTimeoutMs(of([1], { confirmed: true }), times(10))).toBe(4000)
  })

  test('is longer for a node that was not well itself when it began, but never longer than without any accuser', () => {
    expect(suspicionTimeoutMs(of([1, 2, 3], { factor: 3 }), times(10))).toBe(12_000)
    expect(suspicionTimeoutMs(of([1, 2, 3], { factor: 8 }), times(10))).toBe(24_000)
    expect(suspicionTimeoutMs(of([1], { factor: 8 }), times(10))).toBe(24_000)
  })
})

describe('accusers', () => {
  test('count once each, however often they are named, and up to a bound', () => {
    expect(mergeAccusers([1], [2, 2, 1, 3], 8)).toEqual([1, 2, 3])
    expect(mergeAccusers([1, 2], [3, 4], 3)).toEqual([1, 2, 3])
  })

  test('who confirms nothing new changes nothing', () => {
    const known = [1, 2, 3]
    expect(mergeAccusers(known, [2], 8)).toBe(known)
    expect(mergeAccusers(known, [9], 3)).toBe(known)
  })
})

import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { DeadlineWheel, WheelEntry } from './deadlines.js'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

test('an entry is never early and at most a tick and a timer late, however far off it is', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 20_000, noNaN: true }), { maxLength: 40 }), (delays) => {
      const fired = new Map<WheelEntry, number>()
      const wheel = new DeadlineWheel((entry) => fired.set(entry, performance.now()))
      const startedAt = performance.now()
      const entries = delays.map(() => new WheelEntry())
      for (const [i, entry] of entries.entries()) wheel.set(entry, startedAt + delays[i]!)
      vi.advanceTimersByTime(20_100)
      for (const entry of entries) {
        expect(fired.get(entry)).toBeGreaterThanOrEqual(entry.dueAt)
        expect(fired.get(entry)).toBeLessThan(entry.dueAt + 20)
      }
      expect(wheel.size).toBe(0)
    }),
    { numRuns: 30 },
  )
})

test('a deadline that has passed already comes with the next tick', () => {
  let fired = 0
  const wheel = new DeadlineWheel(() => fired++)
  vi.advanceTimersByTime(1000)
  wheel.set(new WheelEntry(), performance.now() - 500)
  vi.advanceTimersByTime(20)
  expect(fired).toBe(1)
})

test('an entry that was removed or moved does not come at its old time', () => {
  const fired: WheelEntry[] = []
  const wheel = new DeadlineWheel((entry) => fired.push(entry))
  const removed = new WheelEntry()
  const moved = new WheelEntry()
  const now = performance.now()
  wheel.set(removed, now + 50)
  wheel.set(moved, now + 50)
  wheel.delete(removed)
  wheel.set(moved, now + 500)
  vi.advanceTimersByTime(400)
  expect(fired).toEqual([])
  vi.advanceTimersByTime(200)
  expect(fired).toEqual([moved])
})

test('a callback may remove another entry that is due in the same tick, and set itself again', () => {
  const fired: WheelEntry[] = []
  const first = new WheelEntry()
  const second = new WheelEntry()
  const wheel = new DeadlineWheel((entry) => {
    fired.push(entry)
    wheel.delete(second)
    if (fired.length === 1) wheel.set(first, performance.now() + 100)
  })
  const now = performance.now()
  wheel.set(first, now + 15)
  wheel.set(second, now + 15)
  vi.advanceTimersByTime(50)
  expect(fired).toEqual([first])
  vi.advanceTimersByTime(100)
  expect(fired).toEqual([first, first])
  expect(wheel.size).toBe(0)
})

test('the timer runs only while there are entries', () => {
  const wheel = new DeadlineWheel(() => undefined)
  expect(vi.getTimerCount()).toBe(0)
  const entry = new WheelEntry()
  wheel.set(entry, performance.now() + 1000)
  expect(vi.getTimerCount()).toBe(1)
  wheel.delete(entry)
  vi.advanceTimersByTime(20)
  expect(vi.getTimerCount()).toBe(0)
})

test('after the process stood still for several turns nothing is lost', () => {
  let fired = 0
  const wheel = new DeadlineWheel(() => fired++)
  const now = performance.now()
  for (let i = 0; i < 1000; i++) wheel.set(new WheelEntry(), now + i * 7)
  // One late tick instead of many: as when the event loop was blocked.
  const interval = vi.spyOn(performance, 'now').mockReturnValue(now + 30_000)
  vi.advanceTimersByTime(10)
  interval.mockRestore()
  expect(fired).toBe(1000)
})

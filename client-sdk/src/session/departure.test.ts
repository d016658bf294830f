import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { limits } from '../limits.js'
import { Departure } from './departure.js'

const { gatherFrom, gatherOpsMax, gatherMs } = limits
let left = 0
let departure: Departure

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setImmediate', 'clearImmediate', 'setTimeout', 'clearTimeout'] })
  left = 0
  departure = new Departure(() => left++)
})
afterEach(() => {
  vi.useRealTimers()
})

/** The code that runs comes to its end; the event loop does not turn. */
function ticks(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}

/** The event loop turns, and no time passes. */
function turn(): void {
  vi.advanceTimersByTime(0)
}

test('where the node owes nothing a message leaves when the running code ends, once for all of it', async () => {
  departure.plan(1, 0)
  departure.plan(2, 0)
  expect(left).toBe(0)
  await ticks()
  expect(left).toBe(1)
  turn()
  expect(left).toBe(1)
})

test('where the node owes few answers a message leaves when the loop turns', async () => {
  departure.plan(1, gatherFrom - 1)
  await ticks()
  expect(left).toBe(0)
  turn()
  expect(left).toBe(1)
})

test('where the node owes many answers a message leaves with the turn of the next one', () => {
  departure.plan(1, gatherFrom)
  turn()
  expect(left).toBe(0)
  departure.answered(0)
  departure.plan(2, 0)
  expect(left).toBe(0)
  turn()
  expect(left).toBe(1)
  vi.advanceTimersByTime(10 * gatherMs)
  expect(left).toBe(1)
})

test('what many answers set free leaves together, also to a node that still owes many', () => {
  departure.answered(gatherFrom)
  departure.plan(1, gatherFrom)
  turn()
  expect(left).toBe(1)
})

test('an answer with nothing behind it does not hold up what is asked for next', async () => {
  departure.answered(0)
  departure.plan(1, 0)
  await ticks()
  expect(left).toBe(1)
})

test('a node that owes many answers and gives none is sent what waits after a moment', () => {
  departure.plan(1, gatherFrom)
  departure.plan(2, gatherFrom)
  vi.advanceTimersByTime(gatherMs - 1)
  expect(left).toBe(0)
  vi.advanceTimersByTime(1)
  expect(left).toBe(1)
})

test('a full message does not wait for an answer', () => {
  departure.plan(1, gatherFrom)
  departure.plan(gatherOpsMax, gatherFrom)
  turn()
  expect(left).toBe(1)
  vi.advanceTimersByTime(10 * gatherMs)
  expect(left).toBe(1)
})

test('what was called off does not leave later', () => {
  departure.plan(1, gatherFrom)
  departure.cancel()
  vi.advanceTimersByTime(10 * gatherMs)
  expect(left).toBe(0)
})

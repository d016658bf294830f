import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { NodeClock } from './index.js'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

test('a delay of months is waited for in pieces that Node can wait for', () => {
  const clock = new NodeClock()
  const delayMs = 3 * 2 ** 31
  let fired = 0
  clock.setTimer(delayMs, () => fired++)
  vi.advanceTimersByTime(delayMs - 1)
  expect(fired).toBe(0)
  vi.advanceTimersByTime(1)
  expect(fired).toBe(1)
  expect(vi.getTimerCount()).toBe(0)
})

test('a timer cancelled after its first piece is gone', () => {
  const clock = new NodeClock()
  let fired = 0
  const timer = clock.setTimer(3 * 2 ** 31, () => fired++)
  vi.advanceTimersByTime(2 ** 31)
  expect(vi.getTimerCount()).toBe(1)
  timer.cancel()
  expect(vi.getTimerCount()).toBe(0)
})

test('a timer that Node fires early waits for the rest', () => {
  const clock = new NodeClock()
  let fired = 0
  vi.spyOn(globalThis, 'setTimeout').mockImplementationOnce(((wake: () => void) => {
    const timeout = setTimeout(wake, 9)
    return timeout
  }) as typeof setTimeout)
  clock.setTimer(10, () => fired++)
  vi.advanceTimersByTime(9)
  expect(fired).toBe(0)
  vi.advanceTimersByTime(1)
  expect(fired).toBe(1)
})

test('timers do not keep a process alive, deferred calls do', async () => {
  vi.useRealTimers()
  const timer = new NodeClock().setTimer(1_000_000, () => {})
  const resources = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  timer.cancel()
  expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length).toBe(resources)
  const deferred = new Promise<void>((resolve) => new NodeClock().defer(resolve))
  expect(process.getActiveResourcesInfo()).toContain('Immediate')
  await deferred
})

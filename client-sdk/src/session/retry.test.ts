import { afterEach, expect, test, vi } from 'vitest'
import { limits } from '../limits.js'
import { backoffMs, RetryBudget } from './retry.js'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const spendAll = (budget: RetryBudget): number => {
  let count = 0
  while (budget.spend()) count++
  return count
}

test('a burst is bounded, and after it a tenth of the operations may be repeated', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const budget = new RetryBudget()
  expect(spendAll(budget)).toBe(limits.retryTokensMax)
  for (let i = 0; i < 1005; i++) budget.earn()
  expect(spendAll(budget)).toBe(100)
})

test('without any operations a few repetitions a second remain', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const budget = new RetryBudget()
  spendAll(budget)
  vi.advanceTimersByTime(2000)
  expect(spendAll(budget)).toBe(2 * limits.retryTokensPerSecond)
  vi.advanceTimersByTime(3_600_000)
  expect(spendAll(budget)).toBe(limits.retryTokensMax)
})

test('pauses grow to a bound and are spread from nothing to their full length', () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  expect([0, 1, 2, 10, 5000].map((failures) => backoffMs(failures, 10, 500))).toEqual([5, 10, 20, 250, 250])
  vi.restoreAllMocks()
  const pauses = Array.from({ length: 200 }, () => backoffMs(3, 10, 500))
  expect(Math.min(...pauses)).toBeLessThan(20)
  expect(Math.max(...pauses)).toBeGreaterThan(60)
})

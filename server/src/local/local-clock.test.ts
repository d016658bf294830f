import { Life } from '@quorumkv/internal/env'
import { expect, test } from 'vitest'
import { describeClock } from '../../../internal/env/clock.conformance.js'
import { LocalTime } from './local-clock.js'

const settle = <T>(promise: Promise<T>): Promise<T> => promise
const close = async (): Promise<void> => undefined

describeClock('LocalClock', async () => ({ clock: new LocalTime().clock(), settle, close }))
describeClock('LocalClock of a life', async () => ({ clock: new Life().clock(new LocalTime().clock()), settle, close }))

test('wall and monotonic time move on together, and a skew is of one wall clock only', () => {
  const time = new LocalTime()
  const [one, other] = [time.clock(), time.clock()]
  const before = { wallMs: one.wallMs(), monotonicMs: one.monotonicMs() }
  other.skewMs = -5_000
  time.advance(3_600_000)
  expect(one.wallMs() - before.wallMs).toBeGreaterThanOrEqual(3_600_000)
  expect(one.monotonicMs() - before.monotonicMs).toBeGreaterThanOrEqual(3_600_000)
  expect(one.wallMs() - other.wallMs()).toBeGreaterThanOrEqual(4_990)
  expect(Math.abs(one.monotonicMs() - other.monotonicMs())).toBeLessThan(1_000)
})

test('timers for long fire when they are due in the new time, in order; those of conversations do not', async () => {
  const time = new LocalTime()
  const clock = time.clock()
  const fired: string[] = []
  clock.setTimer(60_000, () => fired.push('minute'))
  clock.setTimer(30_000, () => fired.push('half'))
  clock.setTimer(5_000, () => fired.push('conversation'))
  const cancelled = clock.setTimer(10_000, () => fired.push('cancelled'))
  const rest = clock.setTimer(90_000, () => fired.push('rest'))
  cancelled.cancel()
  time.advance(45_000)
  await expect.poll(() => fired).toEqual(['half'])
  time.advance(20_000)
  await expect.poll(() => fired).toEqual(['half', 'minute'])
  // What was left of it after two steps counts.
  time.advance(25_000)
  await expect.poll(() => fired).toEqual(['half', 'minute', 'rest'])
  rest.cancel()
})

import { expect, it } from 'vitest'
import { systemClock } from './clock.js'

it('a pause ends when it is aborted, before or meanwhile', async () => {
  const stop = new AbortController()
  const waiting = systemClock.pause(3_600_000, stop.signal)
  stop.abort()
  await waiting
  await systemClock.pause(3_600_000, stop.signal)
})

it('a pause is over a little early rather than late: the rest is watched', async () => {
  const before = systemClock.now()
  await systemClock.pause(30, new AbortController().signal)
  expect(systemClock.now() - before).toBeGreaterThanOrEqual(27)
})

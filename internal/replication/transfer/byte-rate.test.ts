import { expect, test } from 'vitest'
import { Cancellation } from '../../base/index.js'
import { SimWorld } from '../../env-sim/index.js'
import { ByteRate } from './byte-rate.js'
import { Pauses } from './pauses.js'

function slowRate(): { readonly world: SimWorld; readonly nowMs: () => number; readonly rate: ByteRate } {
  const world = new SimWorld({ seed: 'byte rate' })
  const { clock } = world.process('node')
  const rate = new ByteRate(clock, new Pauses(clock), 10)
  rate.owe(100)
  return { world, nowMs: () => clock.monotonicMs(), rate }
}

test('who waits hears when all that was owed is paid for', async () => {
  const { world, nowMs, rate } = slowRate()
  const startedMs = nowMs()
  expect(await world.settle(rate.isPaidBy(startedMs + 20_000, new Cancellation()))).toBe(true)
  expect(nowMs() - startedMs).toBeCloseTo(10_000, -1)
})

test('nobody is kept waiting beyond their own time', async () => {
  const { world, nowMs, rate } = slowRate()
  const startedMs = nowMs()
  expect(await world.settle(rate.isPaidBy(startedMs + 2_500, new Cancellation()))).toBe(false)
  expect(nowMs() - startedMs).toBeCloseTo(2_500, -1)
})

test('who goes away waits no longer, and leaves no timer', async () => {
  const { world, nowMs, rate } = slowRate()
  const startedMs = nowMs()
  const cancellation = new Cancellation()
  const paid = rate.isPaidBy(startedMs + 20_000, cancellation)
  await world.advance(300)
  cancellation.cancel()
  expect(await world.settle(paid)).toBe(false)
  expect(nowMs() - startedMs).toBeLessThan(310)
})

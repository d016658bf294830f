import { expect, test } from 'vitest'
import { limits } from '../../base/index.js'
import { ManualClock } from '../replication.test-support.js'
import { ActiveOperation, ActiveOperations } from './active-operations.js'

class Counting extends ActiveOperation {
  ticks = 0
  atTick: (() => void) | undefined

  override tick(): void {
    this.ticks++
    this.atTick?.()
  }

  override forget(): void {
    this.tick()
  }

  override reroute(): void {
    this.tick()
  }
}

test('each operation that runs is looked at, also when one ends during the round; ended ones are not', () => {
  const clock = new ManualClock()
  const active = new ActiveOperations(clock)
  const [a, b, c] = [new Counting(), new Counting(), new Counting()]
  for (const operation of [a, b, c]) active.add(operation)
  b.atTick = () => active.remove(b)
  clock.advance(limits.operationTickMs)
  expect([a.ticks, b.ticks, c.ticks]).toEqual([1, 1, 1])
  expect(active.size).toBe(2)
  active.remove(b)
  expect(active.size).toBe(2)
  active.remove(a)
  clock.advance(limits.operationTickMs)
  expect([a.ticks, b.ticks, c.ticks]).toEqual([1, 1, 2])
  active.remove(c)
  active.add(b)
  b.atTick = undefined
  clock.advance(limits.operationTickMs)
  expect([a.ticks, b.ticks, c.ticks]).toEqual([1, 2, 2])
})

test('idle resolves with the last operation, or when its patience ends', async () => {
  const clock = new ManualClock()
  const active = new ActiveOperations(clock)
  await active.idle(1_000)
  const operation = new Counting()
  active.add(operation)
  let idle = 0
  const first = active.idle(1_000).then(() => idle++)
  const second = active.idle(5).then(() => idle++)
  clock.advance(5)
  await second
  expect(idle).toBe(1)
  active.remove(operation)
  await first
  expect(idle).toBe(2)
})

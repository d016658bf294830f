import { expect, test } from 'vitest'
import { SimWorld } from '../env-sim/index.js'
import { IdleTimer } from './idle-timer.js'

interface Fixture {
  readonly world: SimWorld
  readonly timer: IdleTimer
  /** When it fired, in virtual milliseconds. */
  readonly fired: number[]
  position: number | undefined
}

function fixture(): Fixture {
  const world = new SimWorld({ seed: 'idle' })
  const fired: number[] = []
  const timer = new IdleTimer(
    world.process('node').clock,
    20,
    () => given.position,
    () => fired.push(Math.floor(world.nowMs)),
  )
  const given: Fixture = { world, timer, fired, position: 1 }
  return given
}

test('it fires once when nothing has moved for so long, and again only when it is armed again', async () => {
  const given = fixture()
  given.timer.arm()
  await given.world.advance(10)
  given.timer.arm()
  await given.world.advance(100)
  expect(given.fired).toEqual([20])
  given.timer.arm()
  await given.world.advance(100)
  expect(given.fired).toEqual([20, 130])
})

test('what has moved meanwhile gets its time anew', async () => {
  const given = fixture()
  given.timer.arm()
  for (const position of [2, 3, 4]) {
    await given.world.advance(15)
    given.position = position
  }
  await given.world.advance(100)
  expect(given.fired).toEqual([80])
})

test('where there is no position any more, and when it was cancelled, it never fires', async () => {
  const given = fixture()
  given.timer.arm()
  given.position = undefined
  await given.world.advance(100)
  given.timer.arm()
  await given.world.advance(100)
  given.position = 5
  given.timer.arm()
  given.timer.cancel()
  await given.world.advance(100)
  expect(given.fired).toEqual([])
})

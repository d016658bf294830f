import { expect, test } from 'vitest'
import { limits } from '../../base/index.js'
import type { Clock } from '../../env/index.js'
import { ScanSlices } from './scan-slices.js'

/** Time that passes while work is done, and an event loop that turns when it is told to. */
class WorkClock implements Clock {
  nowMs = 0
  #deferred: (() => void)[] = []

  wallMs(): number {
    return this.nowMs
  }

  monotonicMs(): number {
    return this.nowMs
  }

  setTimer(): never {
    throw new Error('no timer is needed')
  }

  defer(fire: () => void): void {
    this.#deferred.push(fire)
  }

  turn(): void {
    for (const fire of this.#deferred.splice(0)) fire()
  }
}

test('what takes long gives way after each slice, and all of it is done in its order', () => {
  const clock = new WorkClock()
  const slices = new ScanSlices(clock)
  const done: number[] = []
  for (let i = 0; i < 7; i++) {
    slices.add(() => {
      done.push(i)
      clock.nowMs += limits.antiEntropySliceMs / 2
    })
  }
  expect(done, 'nothing at once').toEqual([])
  for (const many of [2, 4, 6, 7, 7]) {
    clock.turn()
    expect(done).toHaveLength(many)
  }
  expect(done).toEqual([0, 1, 2, 3, 4, 5, 6])
})

test('one piece that takes longer than a slice is done all the same', () => {
  const clock = new WorkClock()
  const slices = new ScanSlices(clock)
  let done = 0
  for (let i = 0; i < 2; i++) {
    slices.add(() => {
      done++
      clock.nowMs += 2 * limits.antiEntropySliceMs
    })
  }
  clock.turn()
  expect(done).toBe(1)
  clock.turn()
  expect(done).toBe(2)
})

test('what fails is told to who waits for it, and the rest is done', async () => {
  const clock = new WorkClock()
  const slices = new ScanSlices(clock)
  const failing = slices.result(() => {
    throw new Error('on purpose')
  })
  const following = slices.result(() => 7)
  clock.turn()
  await expect(failing).rejects.toThrow('on purpose')
  expect(await following).toBe(7)
})

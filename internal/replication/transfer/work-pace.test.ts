import { expect, test } from 'vitest'
import { limits } from '../../base/index.js'
import { ManualClock } from '../replication.test-support.js'
import { Pauses } from './pauses.js'
import { WorkPace } from './work-pace.js'

/** Pieces of work of so many milliseconds, and when each was begun. */
function play() {
  const clock = new ManualClock()
  const pauses = new Pauses(clock)
  const begun: number[] = []
  const at = clock.nowMs
  const shown = {
    clock,
    pauses,
    begun,
    served: 0,
    /** Operations of clients while a piece of work runs. */
    servedMeanwhile: 1,
    work: (ms: number): Promise<number> =>
      pace.work(async () => {
        begun.push(clock.nowMs - at)
        await pauses.pause(ms)
        shown.served += shown.servedMeanwhile
        return ms
      }),
    async until(ms: number): Promise<void> {
      while (clock.nowMs - at < ms) {
        await new Promise((resolve) => setImmediate(resolve))
        clock.advance(1)
      }
    },
  }
  const pace = new WorkPace(clock, pauses, () => shown.served)
  return shown
}

test('while clients are served it rests after each piece, the longer the longer that took, and one runs at a time', async () => {
  const { begun, until, work } = play()
  const all = Promise.all([work(10), work(20), work(1)])
  await until(10 + 30 + 20 + 60 + 10)
  expect(await all).toEqual([10, 20, 1])
  const [first, second, third] = begun
  expect(second! - first!).toBeGreaterThanOrEqual(10 * (1 + limits.copyRestRatio))
  expect(third! - second!).toBeGreaterThanOrEqual(20 * (1 + limits.copyRestRatio))
})

test('where nobody is served there is no rest, and no rest is longer than the longest', async () => {
  const shown = play()
  shown.servedMeanwhile = 0
  const idle = Promise.all([shown.work(10), shown.work(10)])
  await shown.until(25)
  await idle
  expect(shown.begun[1]! - shown.begun[0]!).toBeLessThanOrEqual(12)
  shown.servedMeanwhile = 1
  const busy = Promise.all([shown.work(limits.copyRestMsMax), shown.work(1)])
  await shown.until(25 + 2 * limits.copyRestMsMax + 10)
  await busy
  expect(shown.begun[3]! - shown.begun[2]!).toBeLessThanOrEqual(2 * limits.copyRestMsMax + 2)
})

test('work that fails rests as well, and does not hold up what comes behind it; a stop ends the rest', async () => {
  const { clock, pauses } = play()
  let served = 0
  const pace = new WorkPace(clock, pauses, () => served++)
  const failing = pace.work(() => Promise.reject(new Error('the disk is full')))
  const next = pace.work(async () => 'done')
  await expect(failing).rejects.toThrow('the disk is full')
  expect(await next).toBe('done')
  const long = pace.work(async () => clock.advance(limits.copyRestMsMax))
  const last = pace.work(async () => 'after the stop')
  await long
  pauses.stop()
  expect(await last).toBe('after the stop')
})

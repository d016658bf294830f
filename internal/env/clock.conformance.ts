import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AssertionError } from '../base/index.js'
import type { Clock } from './index.js'

export interface ClockFixture {
  readonly clock: Clock
  /** Makes time pass, where it does not do so by itself, until the promise settles. */
  settle<T>(promise: Promise<T>): Promise<T>
  close(): Promise<void>
}

/** What every Clock must do; to be called in a test file of each implementation. */
export function describeClock(name: string, makeFixture: () => Promise<ClockFixture>): void {
  describe(`${name} as a Clock`, () => {
    let fixture: ClockFixture
    beforeEach(async () => {
      fixture = await makeFixture()
    })
    afterEach(async () => {
      await fixture.close()
    })

    /** Runs the body of a test in the fixture's time. */
    const check = (title: string, body: (clock: Clock) => Promise<void>): void => {
      test(title, () => fixture.settle(body(fixture.clock)))
    }
    defineReadings(check)
    defineTimers(check)
    defineDefer(check)
  })
}

type Check = (title: string, body: (clock: Clock) => Promise<void>) => void

function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(ms, resolve)
  })
}

function defineReadings(check: Check): void {
  check('the wall clock gives whole milliseconds since 1970', async (clock) => {
    const wallMs = clock.wallMs()
    expect(Number.isInteger(wallMs)).toBe(true)
    expect(wallMs).toBeGreaterThan(Date.UTC(2020, 0))
    expect(wallMs).toBeLessThan(2 ** 48)
  })

  check('monotonic time never falls, and passes as the wall clock does', async (clock) => {
    const startMs = clock.monotonicMs()
    const wallStartMs = clock.wallMs()
    let lastMs = startMs
    for (let i = 0; i < 50; i++) {
      await sleep(clock, 1)
      const nowMs = clock.monotonicMs()
      expect(nowMs).toBeGreaterThanOrEqual(lastMs)
      lastMs = nowMs
    }
    expect(lastMs - startMs).toBeGreaterThanOrEqual(50)
    expect(Math.abs(clock.wallMs() - wallStartMs - (lastMs - startMs))).toBeLessThan(1000)
  })
}

function defineTimers(check: Check): void {
  check('a timer fires once, never within the call, never too early', async (clock) => {
    for (const delayMs of [0, 0.25, 1, 3.7, 20]) {
      const startMs = clock.monotonicMs()
      let fired = 0
      let firedMs = 0
      clock.setTimer(delayMs, () => {
        fired++
        firedMs = clock.monotonicMs()
      })
      expect(fired).toBe(0)
      await sleep(clock, 60)
      expect(fired).toBe(1)
      expect(firedMs - startMs).toBeGreaterThanOrEqual(delayMs)
    }
  })

  check('timers fire in the order of their times', async (clock) => {
    // Within these each is due: a process may stand still between setting one and the next.
    const fired: { readonly delayMs: number; readonly fromMs: number; readonly toMs: number }[] = []
    for (const delayMs of [90, 30, 60]) {
      const fromMs = clock.monotonicMs() + delayMs
      clock.setTimer(delayMs, () => fired.push({ delayMs, fromMs, toMs }))
      const toMs = clock.monotonicMs() + delayMs
    }
    await sleep(clock, 120)
    expect(fired.map(({ delayMs }) => delayMs).sort()).toEqual([30, 60, 90])
    for (const [i, first] of fired.entries()) {
      // A clock may count in whole milliseconds.
      for (const { toMs } of fired.slice(i)) expect(toMs + 1).toBeGreaterThan(first.fromMs)
    }
  })

  check('a time that has passed counts as now', async (clock) => {
    const startMs = clock.monotonicMs()
    await sleep(clock, -1000)
    expect(clock.monotonicMs() - startMs).toBeLessThan(1000)
  })

  check('a timer without a number for its delay is a bug', async (clock) => {
    for (const delayMs of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => clock.setTimer(delayMs, () => {})).toThrow(AssertionError)
    }
  })

  check('a cancelled timer never fires; cancelling again or late does nothing', async (clock) => {
    let fired = 0
    const timer = clock.setTimer(10, () => fired++)
    timer.cancel()
    timer.cancel()
    const early = clock.setTimer(5, () => {
      fired += 100
      late.cancel()
    })
    const late = clock.setTimer(25, () => fired++)
    await sleep(clock, 60)
    expect(fired).toBe(100)
    early.cancel()
    await sleep(clock, 5)
    expect(fired).toBe(100)
  })

  check('a timer for months from now does not fire at once', async (clock) => {
    let fired = false
    const timer = clock.setTimer(2 ** 31 + 1000, () => {
      fired = true
    })
    await sleep(clock, 30)
    timer.cancel()
    expect(fired).toBe(false)
  })
}

function defineDefer(check: Check): void {
  check(
    'what is deferred runs once, in order, not within the call, after the promises that are ready',
    async (clock) => {
      const order: string[] = []
      await new Promise<void>((resolve) => {
        clock.defer(() => order.push('first'))
        clock.defer(() => {
          order.push('second')
          resolve()
        })
        order.push('call')
        let chain = Promise.resolve()
        for (let i = 0; i < 50; i++) chain = chain.then(() => {})
        chain.then(() => order.push('promises'), resolve)
      })
      await sleep(clock, 5)
      expect(order).toEqual(['call', 'promises', 'first', 'second'])
    },
  )

  check('deferring again and again lets timers fire', async (clock) => {
    let fired = false
    clock.setTimer(5, () => {
      fired = true
    })
    const startMs = clock.monotonicMs()
    while (!fired) {
      await new Promise<void>((resolve) => clock.defer(resolve))
      expect(clock.monotonicMs() - startMs, 'how long the loop starved the timer').toBeLessThan(5000)
    }
  })
}

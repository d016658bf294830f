import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AssertionError } from '../base/index.js'
import {
  ClockDriftError,
  ClockRangeError,
  compareHlc,
  type Hlc,
  HybridClock,
  hlcMs,
  hlcMsMax,
  hlcOf,
  zeroVersion,
} from './index.js'

const today = 1_760_000_000_000
const maxDriftMs = 10_000

class Wall {
  ms = today
  wallMs(): number {
    return this.ms
  }
}

function clockAt(wall: Wall, startAbove: Hlc = zeroVersion): HybridClock {
  return new HybridClock(wall, maxDriftMs, startAbove)
}

type Step =
  | { readonly do: 'now' }
  | { readonly do: 'wall'; readonly by: number }
  | { readonly do: 'observe'; readonly ahead: number; readonly counter: number }
  | { readonly do: 'raise'; readonly ahead: number; readonly counter: number }

const counter = fc.oneof(fc.nat({ max: 3 }), fc.integer({ min: 0xfffc, max: 0xffff }), fc.nat({ max: 0xffff }))
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constant<Step>({ do: 'now' }) },
    fc.record({
      do: fc.constant('wall' as const),
      by: fc.oneof(fc.integer({ min: -2, max: 2 }), fc.integer({ min: -4_000_000, max: 4_000_000 })),
    }),
    fc.record({
      do: fc.constant('observe' as const),
      ahead: fc.oneof(fc.integer({ min: -2, max: 2 }), fc.integer({ min: -20_000, max: 20_000 })),
      counter,
    }),
    fc.record({ do: fc.constant('raise' as const), ahead: fc.integer({ min: -5, max: 60_000 }), counter }),
  ),
  { maxLength: 60 },
)

test('through jumps of the wall, messages and stamps from disk, each reading is above all that was seen before', () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: -60_000, max: 60_000 }), counter, (script, startAhead, startCounter) => {
      const wall = new Wall()
      let highest = hlcOf(today + startAhead, startCounter)
      const clock = clockAt(wall, highest)
      for (const step of script) {
        if (step.do === 'wall') {
          wall.ms += step.by
        } else if (step.do === 'now') {
          const reading = clock.now()
          expect(compareHlc(reading, highest)).toBeGreaterThan(0)
          expect(hlcMs(reading)).toBeGreaterThanOrEqual(wall.ms)
          // It runs ahead of wall and of what it has seen by the one carry of a full counter, no further.
          expect(hlcMs(reading)).toBeLessThanOrEqual(Math.max(wall.ms, hlcMs(highest) + 1))
          highest = reading
        } else {
          const remote = hlcOf(wall.ms + step.ahead, step.counter)
          // What does not move the clock is never refused.
          const moves = compareHlc(remote, highest) > 0
          const refused = step.do === 'observe' && step.ahead > maxDriftMs && moves
          if (step.do === 'raise') clock.raiseAbove(remote)
          else if (refused) expect(() => clock.observe(remote)).toThrow(ClockDriftError)
          else clock.observe(remote)
          if (!refused && moves) highest = remote
        }
        expect(clock.current()).toEqual(highest)
        expect(clock.aheadMs()).toBe(hlcMs(highest) - wall.ms)
      }
    }),
    { numRuns: 500 },
  )
})

test('a hundred thousand readings within one millisecond are unique, rising, and carry the counter into the time', () => {
  const clock = clockAt(new Wall())
  let last = clock.now()
  expect(last).toEqual(hlcOf(today, 0))
  for (let i = 1; i < 100_000; i++) {
    const reading = clock.now()
    expect(compareHlc(reading, last) > 0).toBe(true)
    last = reading
  }
  expect(last).toEqual(hlcOf(today + 1, 99_999 - 65_536))
})

test('two nodes that pass a message: receive after send is above, even at the same millisecond and a full counter', () => {
  const sender = clockAt(new Wall(), hlcOf(today, 0xfffe))
  const receiver = clockAt(new Wall())
  const sent = sender.now()
  expect(sent).toEqual(hlcOf(today, 0xffff))
  receiver.observe(sent)
  expect(receiver.now()).toEqual(hlcOf(today + 1, 0))
})

test('a remote counter is consumed, not only its milliseconds', () => {
  const clock = clockAt(new Wall())
  clock.now()
  clock.observe(hlcOf(today, 500))
  expect(clock.now()).toEqual(hlcOf(today, 501))
  clock.observe(hlcOf(today, 20))
  expect(clock.now()).toEqual(hlcOf(today, 502))
})

test('a node eight hours ahead is refused with the figures, and moves nobody', () => {
  const wall = new Wall()
  const clock = clockAt(wall)
  const before = clock.now()
  const remoteMs = today + 8 * 3_600_000
  let error: unknown
  try {
    clock.observe(hlcOf(remoteMs, 7))
  } catch (thrown) {
    error = thrown
  }
  expect(error).toBeInstanceOf(ClockDriftError)
  expect(error).toMatchObject({ remoteMs, wallMs: today, maxDriftMs })
  expect(clock.current()).toEqual(before)
  expect(clock.now()).toEqual(hlcOf(today, 1))
})

test('exactly the allowed drift is merged, one millisecond more is not', () => {
  const clock = clockAt(new Wall())
  expect(() => clock.observe(hlcOf(today + maxDriftMs + 1, 0))).toThrow(ClockDriftError)
  clock.observe(hlcOf(today + maxDriftMs, 0xffff))
  expect(clock.now()).toEqual(hlcOf(today + maxDriftMs + 1, 0))
})

test('the bound goes by the wall, not by the clock: many small steps cannot walk it into the future', () => {
  const clock = clockAt(new Wall())
  clock.observe(hlcOf(today + 9_000, 0))
  expect(() => clock.observe(hlcOf(today + 18_000, 0))).toThrow(ClockDriftError)
})

test('after a restart with the wall an hour back, readings go on above what is on disk', () => {
  const onDisk = hlcOf(today, 41)
  const wall = new Wall()
  wall.ms = today - 3_600_000
  const clock = clockAt(wall, onDisk)
  expect(clock.current()).toEqual(onDisk)
  expect(clock.aheadMs()).toBe(3_600_000)
  expect(clock.now()).toEqual(hlcOf(today, 42))
})

test('where 48 bits end the clock refuses and stays as it was', () => {
  const wall = new Wall()
  const clock = clockAt(wall)
  const before = clock.now()
  wall.ms = hlcMsMax + 1
  expect(() => clock.now()).toThrow(ClockRangeError)
  expect(clock.current()).toEqual(before)
  wall.ms = hlcMsMax
  expect(clock.now()).toEqual({ hi: 0xffffffff, lo: 0xffff0000 })
  clock.raiseAbove({ hi: 0xffffffff, lo: 0xffffffff })
  expect(() => clock.now()).toThrow(ClockRangeError)
  expect(clock.current()).toEqual({ hi: 0xffffffff, lo: 0xffffffff })
})

test('a drift that is no number of milliseconds is a bug', () => {
  for (const drift of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => new HybridClock(new Wall(), drift, zeroVersion)).toThrow(AssertionError)
  }
})

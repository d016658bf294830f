import { expect, test } from 'vitest'
import type { NodeId } from '../base/index.js'
import { silentLog } from '../env/index.js'
import { ManualClock } from '../replication/replication.test-support.js'
import type { Topology } from '../slots/index.js'
import { type MemberSketch, topologyOf } from '../slots/topology.test-support.js'
import { ClockWitnesses } from './clock-witnesses.js'

const [a, b] = ['a' as NodeId, 'b' as NodeId]

class SkewedClock extends ManualClock {
  skewMs = 0

  override wallMs(): number {
    return super.wallMs() + this.skewMs
  }
}

test('a jump ahead shows at once, before anybody has spoken again, and is forgotten when it is undone', () => {
  const clock = new SkewedClock()
  const witnesses = new ClockWitnesses(clock, 10_000)
  expect(witnesses.localIsAhead()).toBe(false)
  witnesses.heard(a, clock.wallMs())
  witnesses.heard(b, clock.wallMs() - 2_000)
  clock.skewMs = 9_000
  expect(witnesses.localIsAhead()).toBe(false)
  clock.skewMs = 60_000
  expect(witnesses.localIsAhead()).toBe(true)
  clock.advance(3_600_000)
  expect(witnesses.localIsAhead()).toBe(true)
  clock.skewMs = 0
  expect(witnesses.localIsAhead()).toBe(false)
})

test('how far off the local clock is, is told against the median of the others', () => {
  const clock = new SkewedClock()
  const witnesses = new ClockWitnesses(clock, 10_000)
  expect(witnesses.offsetMs()).toBe(0)
  witnesses.heard(a, clock.wallMs() - 200)
  expect(witnesses.offsetMs()).toBe(200)
  witnesses.heard(b, clock.wallMs() + 50)
  witnesses.heard('c' as NodeId, clock.wallMs() + 3_600_000)
  expect(witnesses.offsetMs()).toBe(-50)
  clock.skewMs = 1_000
  clock.advance(60_000)
  expect(witnesses.offsetMs()).toBe(950)
})

test('one other node that is behind does not outvote the rest; a clock that is behind is no reason', () => {
  const clock = new SkewedClock()
  const witnesses = new ClockWitnesses(clock, 10_000)
  witnesses.heard(a, clock.wallMs() - 3_600_000)
  witnesses.heard(b, clock.wallMs())
  expect(witnesses.localIsAhead()).toBe(false)
  clock.skewMs = -3_600_000
  expect(witnesses.localIsAhead()).toBe(false)
})

test('the local clock is borne out only by others that have been heard and are not behind it', () => {
  const clock = new SkewedClock()
  const witnesses = new ClockWitnesses(clock, 10_000)
  expect(witnesses.bearOutLocal(), 'nobody has been heard').toBe(false)
  witnesses.heard(a, clock.wallMs())
  expect(witnesses.bearOutLocal()).toBe(true)
  clock.skewMs = 60_000
  expect(witnesses.bearOutLocal()).toBe(false)
  clock.skewMs = 0
  expect(witnesses.bearOutLocal()).toBe(true)
})

test('the only voter is borne out by itself, and whoever is no member any more bears witness no longer', () => {
  const clock = new SkewedClock()
  const witnesses = new ClockWitnesses(clock, 10_000)
  const self = 'self' as NodeId
  const clusterOf = (...others: MemberSketch[]): Topology => topologyOf([{ id: 'self' }, ...others])
  witnesses.follow(clusterOf({ id: 'a' }, { id: 'b' }), self)
  expect(witnesses.bearOutLocal()).toBe(false)
  witnesses.follow(clusterOf({ id: 'a', state: 'joining' }), self)
  expect(witnesses.bearOutLocal()).toBe(true)
  witnesses.follow(clusterOf({ id: 'a', state: 'joining' }), a)
  expect(witnesses.bearOutLocal(), 'who joins has others to ask').toBe(false)
  witnesses.heard(a, clock.wallMs() - 3_600_000)
  witnesses.heard(b, clock.wallMs() - 3_600_000)
  expect(witnesses.localIsAhead()).toBe(true)
  witnesses.follow(clusterOf(), self)
  expect(witnesses.localIsAhead()).toBe(false)
})

test.each([0, -1, 2 ** 48, Number.NaN, Number.POSITIVE_INFINITY])(
  'a reading of %s is none, and says nothing of the local clock',
  (wallMs) => {
    const clock = new SkewedClock()
    const witnesses = new ClockWitnesses(clock, 10_000)
    witnesses.heard(a, wallMs)
    expect(witnesses.offsetMs()).toBe(0)
    expect(witnesses.bearOutLocal()).toBe(false)
  },
)

test('that it is ahead is told once, with how far, and that it is no more', () => {
  const clock = new SkewedClock()
  const told: [string, unknown][] = []
  const tell = (message: string, facts?: unknown): void => void told.push([message, facts])
  const witnesses = new ClockWitnesses(clock, 10_000, { ...silentLog, info: tell, warn: tell })
  const hear = (): void => witnesses.heard(a, clock.wallMs() - clock.skewMs)
  hear()
  clock.skewMs = 3_600_000
  hear()
  hear()
  const facts = { aheadMs: 3_600_000, maxClockDriftMs: 10_000 }
  expect(told).toEqual([[expect.stringContaining('too far ahead of most other nodes'), facts]])
  clock.skewMs = 0
  hear()
  hear()
  expect(told.slice(1)).toEqual([[expect.stringContaining('within the bound again'), undefined]])
})

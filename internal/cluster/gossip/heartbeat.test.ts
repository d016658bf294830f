import { expect, test } from 'vitest'
import { ManualClock } from '../../replication/replication.test-support.js'
import { Heartbeat } from './heartbeat.js'

function beating() {
  const clock = new ManualClock()
  const seen = { pings: 0, dead: 0 }
  const heartbeat = new Heartbeat({
    clock,
    intervalMs: 1_000,
    timeoutMs: 500,
    ping: () => {
      seen.pings++
    },
    dead: () => {
      seen.dead++
    },
  })
  return { clock, heartbeat, seen }
}

test('a peer that says nothing after a ping is dead within interval and timeout, and is told so once', () => {
  const { clock, seen } = beating()
  clock.advance(1_499)
  expect(seen).toEqual({ pings: 1, dead: 0 })
  clock.advance(1)
  expect(seen.dead).toBe(1)
  clock.advance(10_000)
  expect(seen).toEqual({ pings: 1, dead: 1 })
})

test('any message after the ping keeps it alive', () => {
  const { clock, heartbeat, seen } = beating()
  for (let i = 0; i < 5; i++) {
    clock.advance(1_200)
    heartbeat.heard()
    clock.advance(300)
  }
  expect(seen).toEqual({ pings: 5, dead: 0 })
})

test('a node that was paused itself asks again before it accuses', () => {
  const { clock, seen } = beating()
  clock.advance(1_000)
  clock.nowMs += 30_000 // nothing ran meanwhile
  clock.advance(0)
  expect(seen).toEqual({ pings: 2, dead: 0 })
  clock.advance(500)
  expect(seen.dead).toBe(1)
})

test('after a stop nothing is sent and nobody is accused', () => {
  const { clock, heartbeat, seen } = beating()
  heartbeat.stop()
  clock.advance(10_000)
  expect(seen).toEqual({ pings: 0, dead: 0 })
})

import { expect, test } from 'vitest'
import { limits } from '../../base/index.js'
import { SimWorld } from '../../env-sim/index.js'
import { put, SimStore } from '../fixture.conformance.js'
import { SnapshotPace } from './snapshot-pace.js'

/** A clock that moves only when work is done or somebody waits, and a foreground that says what it has to do. */
function bench(load: { commits: number; waiting: boolean }): {
  work: (ms: number) => void
  rest: () => Promise<number>
  pace: SnapshotPace
} {
  const world = new SimWorld({ seed: 'pace' })
  const { clock } = world.process('node')
  let workedMs = 0
  const shifted = { ...clockOf(clock), monotonicMs: () => clock.monotonicMs() + workedMs }
  const pace = new SnapshotPace(shifted, { commits: () => load.commits, waiting: () => load.waiting })
  return {
    pace,
    work: (ms) => {
      workedMs += ms
    },
    rest: async () => {
      const from = clock.monotonicMs()
      await world.settle(pace.rest())
      return clock.monotonicMs() - from
    },
  }
}

function clockOf(clock: SimStore['process']['clock']): Omit<SimStore['process']['clock'], 'monotonicMs'> {
  return {
    wallMs: () => clock.wallMs(),
    setTimer: (ms, fire) => clock.setTimer(ms, fire),
    defer: (fire) => clock.defer(fire),
  }
}

test('on an idle node slices grow to their full length, and nobody rests between them', async () => {
  const { pace, work, rest } = bench({ commits: 0, waiting: false })
  for (let i = 0; i < 6; i++) {
    work(limits.snapshotBusySliceMs)
    expect(await rest()).toBeLessThan(1)
  }
  work(limits.snapshotSliceMs - 0.1)
  expect(pace.isOver).toBe(false)
  work(0.2)
  expect(pace.isOver).toBe(true)
})

test('while commits wait or have come, slices are short and rests longer than the work', async () => {
  for (const load of [
    { commits: 0, waiting: true },
    { commits: 0, waiting: false },
  ]) {
    const { pace, work, rest } = bench(load)
    for (let i = 0; i < 5; i++) {
      work(limits.snapshotBusySliceMs + 1)
      expect(pace.isOver).toBe(true)
      load.commits++
      expect(await rest()).toBeGreaterThanOrEqual(limits.snapshotRestFactor * (limits.snapshotBusySliceMs + 1) - 0.01)
      expect(pace.isOver).toBe(false)
    }
  }
})

test('a long slice is not followed by a rest without end', async () => {
  const { work, rest } = bench({ commits: 0, waiting: true })
  work(10_000)
  expect(await rest()).toBeLessThan(limits.snapshotRestMsMax + 1)
})

test('a snapshot ends while commits never stop', async () => {
  const sim = new SimStore('pace')
  await sim.open()
  for (let i = 1; i <= 50; i++) await sim.settle(sim.store.commit([put(`key-${i}`, i, 'x'.repeat(200))]))
  let done = false
  const taken = sim.store.snapshot().finally(() => {
    done = true
  })
  let during = 0
  const write = async (): Promise<void> => {
    while (!done && during < 100_000) await sim.store.commit([put(`during-${during}`, ++during)])
  }
  await sim.settle(Promise.all([taken, write(), write()]))
  expect(done).toBe(true)
  expect(during).toBeLessThan(100_000)
})

import { expect, test } from 'vitest'
import type { NodeId } from '../base/index.js'
import { silentLog } from '../env/index.js'
import { SimWorld } from '../env-sim/index.js'
import { type Hlc, hlcMs, zeroVersion } from '../hlc/index.js'
import { topologyOf } from '../slots/topology.test-support.js'
import { ClockWitnesses } from './clock-witnesses.js'
import { StampingClock } from './stamping-clock.js'

const startWallMs = 1_700_000_000_000

class Bench {
  readonly world = new SimWorld({ seed: 'ceiling', startWallMs })
  readonly fatal: Error[] = []

  /** A clock in this life of the machine. */
  async open(startAbove: Hlc = zeroVersion): Promise<StampingClock> {
    const { clock, disk } = this.world.process('n1').life
    const witnesses = new ClockWitnesses(clock, 10_000)
    witnesses.follow(topologyOf([{ id: 'n1' }]), 'n1' as NodeId)
    const onFatal = (error: Error): void => void this.fatal.push(error)
    const options = { clock, disk, log: silentLog, maxDriftMs: 10_000, startAbove, witnesses, onFatal }
    return await this.world.settle(StampingClock.open(options))
  }

  /** The first stamp that there is. */
  async stamp(clock: StampingClock): Promise<Hlc> {
    for (;;) {
      const stamp = clock.stamp()
      if (stamp !== undefined) return stamp
      await this.world.settle(new Promise<void>((resolve) => void clock.whenRaised(resolve)))
    }
  }
}

test('no stamp comes before the ceiling above it is durable, and none below it after a power cut', async () => {
  const bench = new Bench()
  const clock = await bench.open()
  expect(clock.stamp()).toBeUndefined()
  const first = await bench.stamp(clock)
  const process = bench.world.process('n1')
  process.crash({ disk: 'lose' })
  process.restart()
  process.time.setSkewMs(-60_000)
  const again = await bench.open()
  expect(hlcMs(await bench.stamp(again))).toBeGreaterThan(hlcMs(first))
})

test('while the disk hangs, only those wait who have not given up, and the others are not called', async () => {
  const bench = new Bench()
  const clock = await bench.open()
  bench.world.process('n1').drive.faults.setExtraDelayMs(5_000)
  expect(clock.stamp()).toBeUndefined()
  const called: number[] = []
  for (let i = 0; i < 1_000; i++) {
    const giveUp = clock.whenRaised(() => called.push(i))
    if (i !== 7) giveUp()
  }
  expect(clock.waiting).toBe(1)
  await bench.world.runUntil(() => called.length > 0, 120_000)
  expect(called).toEqual([7])
  expect(clock.waiting).toBe(0)
  expect(bench.fatal).toEqual([])
})

test('a clean stop leaves the last stamp as the ceiling, so that the next start is not ahead of the wall', async () => {
  const bench = new Bench()
  const clock = await bench.open()
  const last = await bench.stamp(clock)
  await bench.world.settle(clock.close())
  const again = await bench.open()
  expect(hlcMs(again.current())).toBe(hlcMs(last))
})

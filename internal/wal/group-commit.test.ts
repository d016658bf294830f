import { expect, test } from 'vitest'
import { SimWorld } from '../env-sim/index.js'
import { append, openLog, put } from './fixture.conformance.js'

/** Bytes of values: from a few to more than a group's buffer starts with. */
const sizes = [0, 10, 100, 1_000, 100, 30_000, 100, 7]

/** Writers that each wait for one commit before the next, begun one by one: commits for each fdatasync, once warm. */
async function commitsPerSync(writers: number): Promise<number> {
  const world = new SimWorld({ seed: `writers/${writers}` })
  const limits = { segmentBytes: 1e9, preallocateBytes: 10_000_000 }
  const given = await openLog(world, world.process('node'), limits)
  let commits = 0
  let running = true
  const write = async (writer: number): Promise<void> => {
    for (let i = 0; running; i++) {
      await append(given.log, put(`${writer}`, i, 'x'.repeat(sizes[(writer + i) % sizes.length]!)))
      commits++
    }
  }
  const all: Promise<void>[] = []
  for (let writer = 0; writer < writers; writer++) {
    world.after(writer * 0.07, () => all.push(write(writer)))
  }
  await world.advance(100)
  const syncs = (): number => given.disk.calls.filter((call) => call.startsWith('sync log/')).length
  const [commitsBefore, syncsBefore] = [commits, syncs()]
  await world.advance(200)
  const ratio = (commits - commitsBefore) / (syncs() - syncsBefore)
  running = false
  await world.settle(Promise.all(all))
  expect(given.fatal).toEqual([])
  return ratio
}

test('1, 16 and 256 writers share as many syncs: one, and nearly 16 and 256 commits for each', async () => {
  expect(await commitsPerSync(1)).toBeCloseTo(1, 1)
  expect(await commitsPerSync(16)).toBeGreaterThan(15)
  expect(await commitsPerSync(256)).toBeGreaterThan(245)
})

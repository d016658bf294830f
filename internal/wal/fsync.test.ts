import { expect, test } from 'vitest'
import { type CrashPolicy, SimWorld } from '../env-sim/index.js'
import { append, type LogFixture, names, openLog, put } from './fixture.conformance.js'
import type { WalOptions } from './index.js'

/*
 * docs/durability.md, held by tests: what may be lost under each policy, and what may not.
 */

const intervalMs = 50
/** The longest that the simulated disk takes to write and sync a small group, and one more that is under way. */
const syncMs = 4

interface Life {
  readonly given: LogFixture
  /** When each write was acknowledged, in the order of the log. */
  readonly acknowledged: { readonly name: string; readonly atMs: number }[]
}

/** A log with one writer that writes on and on. */
async function life(overrides: Partial<WalOptions>, seed: string): Promise<Life> {
  const world = new SimWorld({ seed })
  const given = await openLog(world, world.process('node'), { fsyncIntervalMs: intervalMs, ...overrides })
  const acknowledged: { name: string; atMs: number }[] = []
  const write = async (): Promise<void> => {
    for (let i = 0; ; i++) {
      await append(given.log, put('key', i, 'x'.repeat((i * 31) % 200)))
      acknowledged.push({ name: `key@${i}`, atMs: world.nowMs })
    }
  }
  write().catch((error: unknown) => expect(error).toMatchObject({ code: 'unavailable' }))
  return { given, acknowledged }
}

/** What a start finds after this crash of the machine (`keep`: of the process alone). */
async function foundAfter({ given }: Life, policy: CrashPolicy): Promise<string[]> {
  const world = new SimWorld({ seed: 'after' })
  const process = world.process('node', { drive: world.crashClone(given.process.drive, policy) })
  return names((await openLog(world, process)).found)
}

/** What is there is the beginning of what was written, in its order; how many writes that is. */
function prefixLength(found: readonly string[]): number {
  expect(found).toEqual(found.map((_, i) => `key@${i}`))
  return found.length
}

test('always: a power cut at any moment loses nothing that was acknowledged', async () => {
  const run = await life({ fsync: 'always' }, 'always')
  for (let cut = 0; cut < 60; cut++) {
    await run.given.world.advance(0.37)
    for (const policy of ['lose', 'random', 'keep'] as const) {
      expect(prefixLength(await foundAfter(run, policy))).toBeGreaterThanOrEqual(run.acknowledged.length)
    }
  }
})

test('interval: a power cut loses no more than the last interval and a sync, and the newest writes first', async () => {
  const run = await life({ fsync: 'interval' }, 'interval')
  let lostMost = 0
  for (let cut = 0; cut < 60; cut++) {
    await run.given.world.advance(7.3)
    const { nowMs } = run.given.world
    for (const policy of ['lose', 'random'] as const) {
      const found = prefixLength(await foundAfter(run, policy))
      const lost = run.acknowledged.slice(found)
      for (const { name, atMs } of lost) expect(nowMs - atMs, name).toBeLessThanOrEqual(intervalMs + syncMs)
      lostMost = Math.max(lostMost, lost.length)
    }
  }
  expect(lostMost, 'and it does lose that much').toBeGreaterThan(100)
})

test('interval and never: a process that is killed loses nothing that was acknowledged', async () => {
  for (const fsync of ['interval', 'never'] as const) {
    const run = await life({ fsync }, fsync)
    for (let cut = 0; cut < 20; cut++) {
      await run.given.world.advance(3.1)
      expect(prefixLength(await foundAfter(run, 'keep'))).toBeGreaterThanOrEqual(run.acknowledged.length)
    }
  }
})

test('interval: a log that falls idle is synced after the interval all the same', async () => {
  const world = new SimWorld({ seed: 'idle' })
  const given = await openLog(world, world.process('node'), { fsync: 'interval', fsyncIntervalMs: intervalMs })
  await world.settle(append(given.log, put('key', 0)))
  expect(await foundAfter({ given, acknowledged: [] }, 'lose')).toEqual([])
  await world.advance(intervalMs + syncMs)
  expect(await foundAfter({ given, acknowledged: [] }, 'lose')).toEqual(['key@0'])
})

test('interval: a sync that fails ends it like any other, though its writes were acknowledged', async () => {
  const run = await life({ fsync: 'interval' }, 'failing')
  const { given } = run
  given.process.drive.faults.failNext('sync')
  await given.world.runUntil(() => given.fatal.length > 0, 2 * intervalMs)
  expect(given.fatal).toMatchObject([{ reason: 'disk-failed' }])
  const told = run.acknowledged.length
  await given.world.advance(10 * intervalMs)
  expect(run.acknowledged.length, 'nothing is acknowledged any more').toBe(told)
  expect(() => given.log.groupFor(10)).toThrow('failed')
  expect(
    given.disk.calls.filter((call) => call.startsWith('sync log/0')),
    'and nothing is synced again',
  ).toEqual([])
})

test('never: a power cut may lose everything since the last full segment, explicit sync or stop', async () => {
  const run = await life({ fsync: 'never', segmentBytes: 60_000 }, 'never')
  const { given } = run
  await given.world.advance(3)
  expect(run.acknowledged.length).toBeGreaterThan(10)
  expect(given.log.segments).toBe(1)
  expect(await foundAfter(run, 'lose')).toEqual([])
  await given.world.runUntil(() => given.log.segments > 1)
  expect(prefixLength(await foundAfter(run, 'lose'))).toBeGreaterThan(10)
  const before = run.acknowledged.length
  await given.world.settle(given.log.sync())
  expect(prefixLength(await foundAfter(run, 'lose'))).toBeGreaterThanOrEqual(before)
})

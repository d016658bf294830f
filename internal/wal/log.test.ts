import { expect, test } from 'vitest'
import { type ClusterId, FatalError, type Incarnation, KvError, limits } from '../base/index.js'
import { SimWorld } from '../env-sim/index.js'
import { append, type LogFixture, names, openLog, put } from './fixture.conformance.js'
import type { WalOptions } from './index.js'

const first = 'log/0000000001.log'

async function fixture(overrides: Partial<WalOptions> = {}): Promise<LogFixture> {
  const world = new SimWorld({ seed: 'log' })
  return openLog(world, world.process('node'), overrides)
}

/** Kills the process as it is and opens its log again. */
async function reopen(given: LogFixture, disk: 'keep' | 'lose' = 'lose'): Promise<LogFixture> {
  given.process.crash({ disk })
  given.process.restart()
  return openLog(given.world, given.process)
}

/** The error of a promise that must fail. */
async function failure(given: LogFixture, promise: Promise<unknown>): Promise<KvError> {
  const outcome = given.world.settle(
    promise.then(
      () => undefined,
      (error: unknown) => error,
    ),
  )
  const error = await outcome
  expect(error).toBeInstanceOf(KvError)
  return error as KvError
}

test('what one turn of the event loop brings is one write and one sync', async () => {
  const given = await fixture()
  const appended = Array.from({ length: 20 }, (_, i) => append(given.log, put(`k${i}`, i)))
  expect(await given.world.settle(Promise.all(appended))).toEqual(appended.map(() => 1))
  expect(given.disk.calls.filter((call) => /^(write|sync)/.test(call))).toHaveLength(2)
})

test('what arrives while a group is synced is the next group, and is written only after that sync', async () => {
  const given = await fixture()
  const one = append(given.log, put('a', 1))
  await given.world.runUntil(() => given.disk.calls.length > 0)
  const later = [append(given.log, put('b', 2)), append(given.log, put('c', 3))]
  expect(await given.world.settle(Promise.all([one, ...later]))).toEqual([1, 2, 2])
  const calls = given.disk.calls.map((call) => call.split(' ')[0])
  expect(calls).toEqual(['write', 'sync', 'write', 'sync'])
})

/** Appends with each of the next turns of the event loop, the first two now; resolves when all are told. */
function appendTurnByTurn(given: LogFixture, commits: number): Promise<number[]> {
  const appended = [append(given.log, put('k0', 0)), append(given.log, put('k1', 1))]
  return new Promise((resolve, reject) => {
    const next = (i: number): void => {
      if (i === commits) Promise.all(appended).then(resolve, reject)
      else {
        appended.push(append(given.log, put(`k${i}`, i)))
        given.process.clock.defer(() => next(i + 1))
      }
    }
    given.process.clock.defer(() => next(2))
  })
}

test('commits that come turn by turn wait for each other and share one sync', async () => {
  const given = await fixture()
  const sequences = await given.world.settle(appendTurnByTurn(given, 10))
  expect(sequences).toEqual(Array.from({ length: 10 }, () => 1))
})

test('interval and never: what need not wait for a sync need not wait for company', async () => {
  for (const fsync of ['interval', 'never'] as const) {
    const given = await fixture({ fsync })
    const sequences = await given.world.settle(appendTurnByTurn(given, 10))
    expect(sequences.lastIndexOf(1)).toBeLessThan(3)
  }
})

test('who waits for all is not held up by commits that keep coming', async () => {
  const given = await fixture()
  const appended = appendTurnByTurn(given, 10)
  await given.world.advance(3 / 1024)
  const settled = given.log.settled()
  expect(given.disk.calls, 'it was gathering').toEqual([])
  const sequences = await given.world.settle(appended)
  expect(sequences.lastIndexOf(1)).toBeLessThan(6)
  await given.world.settle(settled)
})

test('nobody is told before the sync is done', async () => {
  const given = await fixture()
  let told = false
  const one = append(given.log, put('a', 1)).then(() => {
    told = true
  })
  await given.world.runUntil(() => given.disk.calls.some((call) => call.startsWith('write')))
  expect(told).toBe(false)
  await given.world.runUntil(() => given.disk.calls.some((call) => call.startsWith('sync')))
  await given.world.settle(one)
  expect(names((await reopen(given)).found)).toEqual(['a@1'])
})

test('an idle log is sealed, so that even its last group is proven', async () => {
  const given = await fixture()
  await given.world.settle(append(given.log, put('a', 1)))
  await given.world.advance(limits.logSealIdleMs * 3)
  expect(given.log.lastSequence).toBe(2)
  await given.world.advance(1_000)
  expect(given.log.lastSequence, 'one seal is enough').toBe(2)
})

test('a group that was found unsealed at the start is sealed then', async () => {
  const given = await fixture()
  await given.world.settle(append(given.log, put('a', 1)))
  const again = await reopen(given, 'keep')
  expect(again.log.lastSequence).toBe(1)
  await again.world.advance(limits.logSealIdleMs * 3)
  expect(again.log.lastSequence).toBe(2)
})

test('the next segment is made beside the commits, and begun by the sync of its first group', async () => {
  const given = await fixture({ segmentBytes: 2_000 })
  for (let i = 0; i < 40; i++) await given.world.settle(append(given.log, put(`key-${i}`, i, 'x'.repeat(100))))
  expect(given.log.segments).toBeGreaterThan(2)
  const { calls } = given.disk
  const second = 'log/0000000002.log'
  const made = calls.filter((call) => call.includes('next.tmp'))
  expect(made.slice(1, 6)).toEqual([
    'create log/next.tmp',
    'preallocate log/next.tmp 512',
    'sync log/next.tmp',
    'preallocate log/next.tmp 2000',
    'sync log/next.tmp',
  ])
  expect(made[6]).toBe(`rename log/next.tmp ${second}`)
  const begun = calls.indexOf(`write ${second} 0+512`)
  expect(calls.indexOf('syncDirectory log', calls.indexOf(made[6]!))).toBeLessThan(begun)
  expect(calls.slice(begun, begun + 4)).toEqual([
    `write ${second} 0+512`,
    expect.stringMatching(`^write ${second} 512\\+`),
    `sync ${second}`,
    expect.stringMatching(/^write log\/0000000001.log \d+\+40$/), // the end mark
  ])
  expect((await reopen(given)).found).toHaveLength(40)
})

test('trimming takes whole segments only, the oldest first, each durably before the next', async () => {
  const given = await fixture({ segmentBytes: 2_000 })
  for (let i = 0; i < 120; i++) await given.world.settle(append(given.log, put(`key-${i}`, i, 'x'.repeat(100))))
  const before = given.log.segments
  await given.world.advance(1_000)
  given.disk.calls.length = 0
  await given.world.settle(given.log.trim(80))
  const names = [1, 2, 3, 4].flatMap((n) => [
    `rename log/000000000${n}.log log/000000000${n}.spare`,
    'syncDirectory log',
  ])
  const rest = given.disk.calls.slice(names.length)
  expect(given.disk.calls.slice(0, names.length), 'as many as are kept').toEqual(names)
  expect(rest.slice(0, 2)).toEqual(['remove log/0000000005.log', 'syncDirectory log'])
  expect(given.log.segments).toBe(before - given.disk.calls.length / 2)
  await given.world.settle(given.log.trim(10_000))
  expect(given.log.segments, 'the last one stays').toBe(1)
})

test('the first sync that fails is the last: everything waiting and everything later is refused', async () => {
  const given = await fixture()
  await given.world.settle(append(given.log, put('a', 1)))
  given.process.drive.faults.failNext('sync')
  const written = append(given.log, put('b', 2))
  await given.world.runUntil(() => given.disk.calls.filter((call) => call.startsWith('write')).length === 2)
  const waiting = append(given.log, put('c', 3))
  const settled = Promise.allSettled([written, waiting])
  await given.world.settle(settled)
  expect(await failure(given, written)).toMatchObject({ code: 'unavailable', outcome: 'unknown' })
  expect(await failure(given, waiting)).toMatchObject({ code: 'unavailable', outcome: 'not-applied' })
  expect(await failure(given, append(given.log, put('d', 4)))).toMatchObject({
    code: 'unavailable',
    outcome: 'not-applied',
  })
  expect(given.fatal).toHaveLength(1)
  expect(given.fatal[0]).toMatchObject({ reason: 'disk-failed' })
  const syncs = given.disk.calls.filter((call) => call.startsWith('sync')).length
  await given.world.settle(given.log.close())
  expect(given.disk.calls.filter((call) => call.startsWith('sync')).length, 'no second try').toBe(syncs)
  expect(given.fatal).toHaveLength(1)
})

test('a write that fails for another reason than room ends it too', async () => {
  const given = await fixture()
  given.process.drive.faults.failNext('write')
  expect(await failure(given, append(given.log, put('a', 1)))).toMatchObject({
    code: 'unavailable',
    outcome: 'unknown',
  })
  expect(given.fatal[0]).toBeInstanceOf(FatalError)
})

test('a sync that fails for want of room is a failed sync, not a full disk', async () => {
  const given = await fixture()
  given.process.drive.faults.failNext('sync', { code: 'full' })
  expect(await failure(given, append(given.log, put('a', 1)))).toMatchObject({
    code: 'unavailable',
    outcome: 'unknown',
  })
  expect(given.fatal).toHaveLength(1)
})

test('a full disk: certainly not applied, read-only, and writable again when there is room', async () => {
  const given = await fixture()
  await given.world.settle(append(given.log, put('a', 1)))
  given.process.drive.faults.setFreeBytes(0)
  const big = 'x'.repeat(20_000)
  const refused = await failure(given, append(given.log, put('b', 2, big)))
  expect(refused).toMatchObject({ code: 'read-only', outcome: 'not-applied' })
  expect(given.log.readOnly).toBe(true)
  expect(await failure(given, append(given.log, put('c', 3)))).toMatchObject({
    code: 'read-only',
    outcome: 'not-applied',
  })
  await given.world.advance(10 * limits.logHealIntervalMs)
  expect(given.log.readOnly, 'still no room').toBe(true)
  given.process.drive.faults.setFreeBytes(10_000_000)
  await given.world.runUntil(() => !given.log.readOnly, 2 * limits.logHealIntervalMs)
  await given.world.settle(append(given.log, put('d', 4, big)))
  expect(given.fatal).toEqual([])
  expect(names((await reopen(given)).found)).toEqual(['a@1', 'd@4'])
})

test('what was acknowledged before the disk was full is sealed once there is room', async () => {
  const given = await fixture()
  await given.world.settle(append(given.log, put('a', 1)))
  given.process.drive.faults.setFreeBytes(0)
  await failure(given, append(given.log, put('b', 2, 'x'.repeat(20_000))))
  await given.world.advance(limits.logSealIdleMs * 3)
  given.process.drive.faults.setFreeBytes(10_000_000)
  await given.world.advance(2 * limits.logHealIntervalMs)
  expect(given.log.readOnly).toBe(false)
  expect(given.log.lastSequence, 'the group and its seal').toBe(2)
})

test('a log that fails, or is closed, while it looks for room does not become writable again', async () => {
  for (const end of ['fail', 'close'] as const) {
    const given = await fixture()
    given.process.drive.faults.setFreeBytes(0)
    await failure(given, append(given.log, put('a', 1, 'x'.repeat(20_000))))
    given.process.drive.faults.setFreeBytes(10_000_000)
    given.disk.calls.length = 0
    await given.world.runUntil(() => given.disk.calls.some((call) => call.startsWith('preallocate')))
    if (end === 'fail') given.log.abandon(new Error('a snapshot could not be synced'))
    else await given.world.settle(given.log.close())
    await given.world.advance(2 * limits.logHealIntervalMs)
    const code = end === 'fail' ? 'unavailable' : 'closed'
    expect(await failure(given, append(given.log, put('b', 2)))).toMatchObject({ code, outcome: 'not-applied' })
    await given.world.settle(given.log.close())
  }
})

test('a disk that fills up in the middle of a group leaves nothing of it behind', async () => {
  const given = await fixture({ preallocateBytes: 1 })
  await given.world.settle(append(given.log, put('a', 1)))
  const length = given.log.bytes
  given.process.drive.faults.setFreeBytes(700) // takes a part of the next frame
  await failure(given, append(given.log, put('b', 2, 'x'.repeat(5_000))))
  expect(given.process.drive.peek(first)).toHaveLength(length)
  const again = await reopen(given, 'keep')
  expect(names(again.found)).toEqual(['a@1'])
  await again.world.settle(append(again.log, put('c', 3)))
  expect(names((await reopen(again)).found)).toEqual(['a@1', 'c@3'])
})

test('no room for the next segment: read-only, then on in the next segment', async () => {
  const given = await fixture({ segmentBytes: 2_000 })
  for (let i = 0; i < 20; i++) await given.world.settle(append(given.log, put(`key-${i}`, i, 'x'.repeat(100))))
  given.process.drive.faults.setFreeBytes(300) // not even a header
  const refusals: unknown[] = []
  for (let i = 0; i < 40 && refusals.length === 0; i++) {
    await given.world.settle(
      append(given.log, put(`late-${i}`, i, 'x'.repeat(100))).catch((error) => refusals.push(error)),
    )
  }
  expect(refusals[0]).toMatchObject({ code: 'read-only', outcome: 'not-applied' })
  const segments = given.log.segments
  given.process.drive.faults.setFreeBytes(10_000_000)
  await given.world.runUntil(() => !given.log.readOnly, 5_000)
  await given.world.settle(append(given.log, put('last', 99)))
  expect(given.log.segments).toBe(segments + 1)
  expect(given.process.drive.paths().filter((path) => path.endsWith('.tmp'))).toEqual([])
  expect(names((await reopen(given)).found).at(-1)).toBe('last@99')
})

test('short writes are gone on with', async () => {
  const given = await fixture()
  given.process.drive.faults.setShortTransfers(0.9)
  for (let i = 0; i < 20; i++) await given.world.settle(append(given.log, put(`key-${i}`, i, 'x'.repeat(500))))
  const again = await reopen(given)
  expect(names(again.found)).toEqual(Array.from({ length: 20 }, (_, i) => `key-${i}@${i}`))
})

test('interval: told after the write; a crash may lose what was not synced, and no more', async () => {
  const given = await fixture({ fsync: 'interval', fsyncIntervalMs: 50 })
  await given.world.settle(append(given.log, put('a', 1)))
  expect(given.disk.calls.some((call) => call.startsWith('sync '))).toBe(false)
  await given.world.advance(60)
  expect(given.disk.calls.some((call) => call.startsWith('sync '))).toBe(true)
  await given.world.settle(append(given.log, put('b', 2)))
  expect(names((await reopen(given)).found)).toEqual(['a@1'])
})

test('interval: a log that somebody else has synced is sealed all the same', async () => {
  const given = await fixture({ fsync: 'interval', fsyncIntervalMs: 50 })
  await given.world.settle(append(given.log, put('a', 1)))
  await given.world.settle(given.log.sync())
  await given.world.advance(50 + limits.logSealIdleMs * 3)
  expect(given.log.lastSequence).toBe(2)
})

test('interval: of several unsynced groups a later one may survive an earlier one; that is no corruption', async () => {
  for (let seed = 0; seed < 60; seed++) {
    const world = new SimWorld({ seed })
    const process = world.process('node')
    const given = await openLog(world, process, { fsync: 'never', preallocateBytes: 65_536 })
    await world.settle(append(given.log, put('synced', 1)))
    await world.settle(given.log.sync())
    for (let i = 2; i < 8; i++) await world.settle(append(given.log, put(`k${i}`, i, 'x'.repeat(700))))
    process.crash({ disk: 'random' })
    process.restart()
    const again = await openLog(world, process)
    const found = names(again.found)
    expect(found).toEqual(['synced@1', 'k2@2', 'k3@3', 'k4@4', 'k5@5', 'k6@6', 'k7@7'].slice(0, found.length))
    expect(found.length).toBeGreaterThan(0)
    // What was behind the cut must not come back, not even behind a frame that ends just where a lost one did.
    await world.settle(append(again.log, put('k9', 9, 'x'.repeat(700))))
    expect(names((await reopen(again)).found)).toEqual([...found, 'k9@9'])
  }
})

test('never: a close syncs all the same', async () => {
  const given = await fixture({ fsync: 'never' })
  await given.world.settle(append(given.log, put('a', 1)))
  await given.world.settle(given.log.close())
  expect(names((await reopen(given)).found)).toEqual(['a@1'])
})

test('a close waits for what came before it, refuses what comes after it, and may be repeated', async () => {
  const given = await fixture()
  const appended = append(given.log, put('a', 1))
  const closed = given.log.close()
  expect(await failure(given, append(given.log, put('b', 2)))).toMatchObject({ code: 'closed', outcome: 'not-applied' })
  await given.world.settle(Promise.all([appended, closed, given.log.close()]))
  const again = await reopen(given)
  expect(names(again.found)).toEqual(['a@1'])
  expect(again.log.lastSequence, 'the group and its seal').toBe(2)
})

test('what a killed process had written without syncing is made durable before it is served', async () => {
  const given = await fixture({ fsync: 'never' })
  await given.world.settle(append(given.log, put('a', 1)))
  const served = await reopen(given, 'keep')
  expect(names(served.found)).toEqual(['a@1'])
  const afterPowerCut = await reopen(served, 'lose')
  expect(names(afterPowerCut.found)).toEqual(['a@1'])
})

test('a sync that fails for want of room while a segment is made is a failed sync too', async () => {
  const given = await fixture({ segmentBytes: 1_000 })
  await given.world.settle(append(given.log, put('a', 1, 'x'.repeat(1_000))))
  given.process.drive.faults.failNext('sync', { path: 'log/next.tmp', code: 'full' })
  expect(await failure(given, append(given.log, put('b', 2)))).toMatchObject({ code: 'unavailable' })
  expect(given.fatal).toHaveLength(1)
})

test('when something else fails while a group is being synced, nobody is told that it is durable', async () => {
  const given = await fixture()
  const written = append(given.log, put('a', 1))
  const settled = Promise.allSettled([written])
  await given.world.runUntil(() => given.disk.calls.some((call) => call.startsWith('write')))
  given.log.abandon(new Error('the snapshot could not be synced'))
  await given.world.settle(settled)
  expect(await failure(given, written)).toMatchObject({ code: 'unavailable', outcome: 'unknown' })
  expect(given.fatal).toHaveLength(1)
})

test('segments of another cluster or another incarnation are refused', async () => {
  const given = await fixture()
  given.process.crash({ disk: 'keep' })
  given.process.restart()
  const foreign = 'f'.repeat(32)
  for (const overrides of [{ clusterId: foreign as ClusterId }, { incarnation: foreign as Incarnation }]) {
    await expect(openLog(given.world, given.process, overrides)).rejects.toMatchObject({ reason: 'corrupt' })
  }
})

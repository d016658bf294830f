import { expect, test } from 'vitest'
import { type ClusterId, limits } from '../base/index.js'
import type { Disk } from '../env/index.js'
import { type CrashPolicy, type SimDisk, SimWorld } from '../env-sim/index.js'
import type { StoredRecord } from '../record/index.js'
import { append, clusterId, incarnation, type LogFixture, names, openLog, put } from './fixture.conformance.js'
import { segmentPath, surveyLog, type WalOptions } from './index.js'

const origin = { clusterId, incarnation }
/** Small, so that a handful of groups crosses all borders. */
const small: Partial<WalOptions> = { segmentBytes: 1_500, preallocateBytes: 600 }

async function fixture(overrides: Partial<WalOptions> = {}): Promise<LogFixture> {
  const world = new SimWorld({ seed: 'recycling' })
  return openLog(world, world.process('node'), { ...small, ...overrides })
}

function pathsOf(drive: SimDisk, end: string): string[] {
  return drive.paths().filter((path) => path.endsWith(end))
}

/** Appends one group after the other; the last sequence. */
async function fill(given: LogFixture, from: number, to: number): Promise<number> {
  let sequence = 0
  for (let i = from; i <= to; i++) {
    sequence = await given.world.settle(append(given.log, put(`key-${i}`, i, 'x'.repeat(150))))
  }
  return sequence
}

async function reopen(given: LogFixture, disk: CrashPolicy, after = 0): Promise<LogFixture> {
  given.process.crash({ disk })
  given.process.restart()
  return openLog(given.world, given.process, small, after)
}

/** What a power cut now would leave on the drive, on a machine of its own. */
async function cut(
  drive: SimDisk,
  policy: CrashPolicy,
  after: number,
): Promise<{ given: LogFixture; faults: readonly unknown[] }> {
  const world = new SimWorld({ seed: 'cut' })
  const process = world.process('node', { drive: world.crashClone(drive, policy) })
  const survey = await world.settle(surveyLog(process.disk, origin, () => undefined))
  const given = await openLog(world, process, small, after)
  return { given, faults: survey.faults }
}

test('a power cut at every moment of a life with spares: acknowledged stays, unwritten stays out, nothing piles up', async () => {
  const given = await fixture()
  const acknowledged: { readonly sequence: number; readonly name: string }[] = []
  const written = new Set<string>()
  let trimmed = 0
  let done = false
  const play = async (): Promise<void> => {
    for (let i = 1; i <= 70; i++) {
      const record = put(`key-${i}`, i, 'x'.repeat((i * 37) % 300))
      written.add(`key-${i}@${i}`)
      acknowledged.push({ sequence: await append(given.log, record), name: `key-${i}@${i}` })
      if (i % 10 !== 0) continue
      trimmed = acknowledged.at(-8)!.sequence
      await given.log.trim(trimmed)
    }
    done = true
  }
  const played = play()
  let recycled = 0
  while (!done) {
    const { eventsRun } = given.world
    await given.world.runUntil(() => done || given.world.eventsRun > eventsRun)
    for (const policy of ['lose', 'random'] as const) {
      const { given: after, faults } = await cut(given.process.drive, policy, trimmed)
      const where = `event ${given.world.eventsRun}, ${policy}`
      expect(faults, where).toEqual([])
      const found = names(after.found)
      const expected = acknowledged.filter(({ sequence }) => sequence > trimmed).map(({ name }) => name)
      expect(found.slice(0, expected.length), where).toEqual(expected)
      expect(found.length - expected.length, where).toBeLessThanOrEqual(1)
      for (const name of found) expect(written.has(name), `${where}: ${name}`).toBe(true)
      expect(pathsOf(after.process.drive, '.spare').length, where).toBeLessThanOrEqual(limits.logSparesMax)
      expect(pathsOf(after.process.drive, '.tmp'), where).toEqual([])
      recycled = Math.max(recycled, pathsOf(after.process.drive, '.spare').length)
    }
  }
  await given.world.settle(played)
  expect(recycled, 'there were spares').toBeGreaterThan(1)
})

test('several lives, each cut short at random with groups of other sizes: no frame of a former life comes back', async () => {
  for (let seed = 0; seed < 25; seed++) {
    const world = new SimWorld({ seed })
    const process = world.process('node')
    const random = world.random.fork('test')
    let given = await openLog(world, process, { ...small, fsync: seed % 2 === 0 ? 'always' : 'never' })
    let kept: readonly string[] = []
    let trimmed = 0
    for (let life = 0; life < 8; life++) {
      const sequences: number[] = []
      let first = true
      for (let i = 0; i < 20; i++) {
        const record = put(`life-${life}`, i, 'x'.repeat(random.below(400)))
        sequences.push(await world.settle(append(given.log, record)))
        if (first) await world.settle(given.log.sync())
        first = false
      }
      if (life % 2 === 1) {
        await world.settle(given.log.sync())
        trimmed = sequences[15]!
        kept = []
        await world.settle(given.log.trim(trimmed))
      }
      process.crash({ disk: 'random' })
      process.restart()
      given = await openLog(world, process, small, trimmed)
      const found = names(given.found)
      expect(found.slice(0, kept.length), `seed ${seed}, life ${life}`).toEqual(kept)
      const fresh = found.slice(kept.length)
      const start = life % 2 === 1 ? 16 : 0
      expect(fresh, `seed ${seed}, life ${life}`).toEqual(fresh.map((_, i) => `life-${life}@${i + start}`))
      kept = found
    }
  }
})

test('spares survive a restart and are taken again, their blocks with them', async () => {
  const given = await fixture()
  await given.world.settle(given.log.trim(await fill(given, 1, 40)))
  const spares = pathsOf(given.process.drive, '.spare')
  expect(spares).toHaveLength(limits.logSparesMax)
  const last = given.log.lastSequence
  await given.world.settle(given.log.close())
  const again = await reopen(given, 'lose', last)
  again.disk.calls.length = 0
  await fill(again, 41, 60)
  const taken = again.disk.calls.filter((call) => call.startsWith('rename log/') && call.includes('.spare log/'))
  expect(taken.length).toBeGreaterThan(1)
  expect(taken[0]).toContain(spares[0])
  const path = taken[0]!.split(' ')[2]!
  const itsCalls = again.disk.calls.filter((call) => call.includes(path) && !call.startsWith('rename'))
  expect(
    itsCalls.filter((call) => /^(preallocate|truncate)/.test(call)),
    'no block is asked for',
  ).toEqual([])
  expect(names((await reopen(again, 'lose', last)).found)).toHaveLength(20)
})

test('restarts without end do not pile up spares, nor segments that never began', async () => {
  let given = await fixture()
  let key = 0
  for (let life = 0; life < 12; life++) {
    const sequence = await fill(given, key + 1, key + 25)
    key += 25
    await given.world.settle(given.log.trim(sequence))
    given = await reopen(given, life % 2 === 0 ? 'keep' : 'lose', sequence)
    expect(pathsOf(given.process.drive, '.spare').length).toBeLessThanOrEqual(limits.logSparesMax)
    expect(pathsOf(given.process.drive, '.log').length).toBeLessThanOrEqual(2)
  }
})

test('a segment that had not begun, kept as a spare, becomes that segment before it is written and kept again', async () => {
  const given = await fixture()
  const trimmed = await fill(given, 1, 12)
  await given.world.settle(given.log.trim(trimmed))
  const again = await reopen(given, 'keep', trimmed)
  // Enough segments, each kept as a spare in its turn, that every name comes up twice.
  for (let key = 13; key < 160; key += 6) {
    await again.world.settle(again.log.trim(await fill(again, key, key + 5)))
    const spares = pathsOf(again.process.drive, '.spare')
    const segments = pathsOf(again.process.drive, '.log').map((path) => path.replace('.log', '.spare'))
    expect(segments.filter((path) => spares.includes(path))).toEqual([])
  }
})

async function writeFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, 'create')
  await file.write(bytes, 0)
  await file.sync()
  await file.close()
}

test('a spare of another cluster, one that is cut short, and one whose number is yet to come are not taken', async () => {
  const world = new SimWorld({ seed: 'foreign' })
  const process = world.process('other')
  const other = await openLog(world, process, { ...small, clusterId: 'f'.repeat(32) as ClusterId })
  await fill(other, 1, 10)
  const foreign = process.drive.peek(segmentPath(1))!

  const given = await fixture()
  const sequence = await fill(given, 1, 20)
  await given.world.settle(given.log.close())
  const { disk, drive } = given.process
  const own = drive.peek(segmentPath(2))!
  const writeAll = async (): Promise<void> => {
    await writeFile(disk, 'log/0000000001.spare', foreign)
    await writeFile(disk, 'log/0000000000.spare', new Uint8Array(100))
    await writeFile(disk, 'log/0000000099.spare', own)
    await disk.syncDirectory('log')
  }
  await given.world.settle(writeAll())
  const again = await reopen(given, 'lose')
  // Behind the two stands what had been made ahead.
  expect(pathsOf(drive, '.spare')).toEqual([...[0, 1, 5].map((number) => `log/000000000${number}.spare`)])
  await fill(again, 21, 40)
  expect(pathsOf(drive, '.spare')).toEqual([])
  const taken = again.disk.calls.filter((call) => call.includes('.spare log/'))
  expect(taken).toEqual(['rename log/0000000005.spare log/0000000005.log'])
  expect(again.fatal).toEqual([])
  expect(names((await reopen(again, 'lose')).found)).toHaveLength(40)
  expect(sequence).toBe(20)
})

test("a piece of another cluster's log in what a spare held proves nothing about the segment that it becomes", async () => {
  const world = new SimWorld({ seed: 'foreign' })
  const process = world.process('other')
  const other = await openLog(world, process, { ...small, clusterId: 'f'.repeat(32) as ClusterId })
  await fill(other, 1, 60)

  const given = await fixture()
  for (let i = 0; given.log.segments < 3; i++) await given.world.settle(append(given.log, put('k', i, 'x'.repeat(900))))
  const { disk, drive } = given.process
  const header = drive.peek(segmentPath(1))!.slice(0, 512)
  await given.world.advance(100)
  const number = pathsOf(drive, '.log').length + 1 // what takes the oldest spare
  const copy = drive.peek(segmentPath(1))!.length
  const frames = process.drive.peek(segmentPath(number))!.subarray(512, 1_500)
  const make = async (): Promise<void> => {
    await given.log.trim(given.log.lastSequence)
    await disk.remove('log/0000000001.spare')
    await writeFile(disk, 'log/0000000001.spare', Buffer.concat([header, new Uint8Array(copy), frames]))
    await disk.syncDirectory('log')
  }
  await given.world.settle(make())
  const after = given.log.lastSequence - 1
  for (let i = 0; given.process.drive.peek(segmentPath(number))?.[0] !== 0x51; i++) {
    await given.world.settle(append(given.log, put('late', i, 'x'.repeat(900))))
  }
  expect(Buffer.from(drive.peek(segmentPath(number))!).includes(Buffer.from(frames)), 'the piece is there').toBe(true)
  const { given: cutOff, faults } = await cut(drive, 'lose', after)
  expect(faults).toEqual([])
  expect(names(cutOff.found).at(-1)).toMatch(/^late/)
})

test('a segment whose first groups were torn is not used again as it is: they would come back', async () => {
  const given = await fixture({ fsync: 'never' })
  for (let i = 0; given.log.segments < 2; i++) await given.world.settle(append(given.log, put('a', i, 'x'.repeat(300))))
  const first = given.log.lastSequence
  const lost = [put('lost', 1, 'x'.repeat(100)), put('lost', 2, 'x'.repeat(100))]
  for (const record of lost) await given.world.settle(append(given.log, record))
  given.process.crash({ disk: 'keep' })
  given.process.restart()
  // Nothing of it was synced, and of its sectors the first did not make it: header, and the start of the first group.
  const { drive } = given.process
  const torn = drive.peek(segmentPath(2))!
  for (let at = 0; at < 600; at++) if (torn[at] !== 0) drive.corrupt(segmentPath(2), at, torn[at])
  const again = await openLog(given.world, given.process, small)
  expect(again.log.lastSequence).toBe(first - 1)
  expect(pathsOf(drive, '.spare')).toEqual([])
  await again.world.settle(append(again.log, put('b', 0, 'x'.repeat(300))))
  const found = names((await reopen(again, 'lose')).found)
  expect(found.at(-1)).toBe('b@0')
  expect(found.filter((name) => name.startsWith('lost'))).toEqual([])
})

test('a header that is damaged behind an end mark, or before groups that were durable, stops the node', async () => {
  for (const hasEndMark of [true, false]) {
    const given = await fixture()
    for (let i = 0; given.log.segments < 2; i++)
      await given.world.settle(append(given.log, put('a', i, 'x'.repeat(300))))
    await given.world.settle(append(given.log, put('b', 1)))
    await given.world.settle(append(given.log, put('b', 2)))
    await given.world.settle(given.log.close())
    given.process.crash({ disk: 'keep' })
    given.process.restart()
    const { drive, disk } = given.process
    const bytes = drive.peek(segmentPath(1))!
    const end = bytes.findLastIndex((byte, at) => byte === 0xf1 && bytes[at + 1] === 0x4b)
    if (!hasEndMark)
      for (let at = end; at < end + 40; at++) if (bytes[at] !== 0) drive.corrupt(segmentPath(1), at, bytes[at])
    const header = drive.peek(segmentPath(2))!
    for (let at = 0; at < 512; at++) if (header[at] !== 0) drive.corrupt(segmentPath(2), at, header[at])
    const survey = await given.world.settle(surveyLog(disk, origin, () => undefined))
    expect(survey.faults).toMatchObject([{ path: segmentPath(2), offset: 0, kind: 'damaged' }])
    await expect(openLog(given.world, given.process, small)).rejects.toMatchObject({ reason: 'corrupt' })
  }
})

test('on a full disk spares and the segment made ahead are given back before anybody is refused', async () => {
  const given = await fixture()
  const sequence = await fill(given, 1, 44)
  await given.world.settle(given.log.trim(sequence))
  await fill(given, 45, 48)
  await given.world.advance(100)
  const { drive } = given.process
  expect(pathsOf(drive, '.spare').length).toBeGreaterThan(1)
  drive.faults.setFreeBytes(0)
  await given.world.settle(append(given.log, put('big', 99, 'x'.repeat(3_000))))
  expect(pathsOf(drive, '.spare')).toEqual([])
  expect(given.log.readOnly).toBe(false)
  expect(names((await cut(drive, 'lose', sequence)).given.found)).toContain('big@99')
  // And while room is short none is kept.
  await given.world.settle(given.log.trim(given.log.lastSequence))
  expect(pathsOf(drive, '.spare')).toEqual([])
})

test('a disk without room for the next segment is no error before a frame does not fit', async () => {
  const given = await fixture({ preallocateBytes: 5_000 })
  await fill(given, 1, 3)
  given.process.drive.faults.setFreeBytes(300) // a segment has 1,500
  await fill(given, 4, 5)
  await given.world.advance(3 * limits.logRoomRetryMs)
  expect(given.log.readOnly).toBe(false)
  expect(given.fatal).toEqual([])
  expect(pathsOf(given.process.drive, '.tmp')).toEqual([])
})

/** The disk, but that removals of spares wait for `held`. */
function slowToRemove(disk: Disk, held: () => Promise<void>): Disk {
  return {
    open: (path, mode) => disk.open(path, mode),
    rename: (from, to) => disk.rename(from, to),
    list: (path) => disk.list(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    freeBytes: () => disk.freeBytes(),
    remove: async (path) => {
      if (path.endsWith('.spare')) await held()
      await disk.remove(path)
    },
  }
}

test('a segment that begins while the room of the one made ahead is given back is not removed in its place', async () => {
  const world = new SimWorld({ seed: 'recycling' })
  const process = world.process('node')
  let held = Promise.resolve()
  const disk = slowToRemove(process.disk, () => held)
  const given = await openLog(world, process, { ...small, disk })
  const sequence = await fill(given, 1, 40)
  await world.settle(given.log.trim(sequence))
  await fill(given, 41, 43)
  await world.advance(10)
  let letGo = (): void => undefined
  held = new Promise((resolve) => {
    letGo = resolve
  })
  const { segments } = given.log
  const gaveBack = given.log.giveBackRoom()
  const write = async (): Promise<void> => {
    for (let i = 44; i <= 54; i++) await append(given.log, put(`key-${i}`, i, 'x'.repeat(150)))
  }
  const written = write()
  await world.advance(100)
  letGo()
  await world.settle(Promise.all([gaveBack, written]))
  expect(given.log.segments, 'a segment has begun meanwhile').toBeGreaterThan(segments)
  const found = names((await reopen(given, 'keep', sequence)).found)
  expect(found).toEqual(Array.from({ length: 14 }, (_, i) => `key-${i + 41}@${i + 41}`))
})

test('who asks for room while it is being given back to another waits for it, and is told that there was some', async () => {
  const given = await fixture()
  await given.world.settle(given.log.trim(await fill(given, 1, 40)))
  const both = await given.world.settle(Promise.all([given.log.giveBackRoom(), given.log.giveBackRoom()]))
  expect(both).toEqual([true, true])
  expect(await given.world.settle(given.log.giveBackRoom())).toBe(false)
})

test('a node that is read-only finds the room of the segments that a snapshot makes superfluous', async () => {
  const given = await fixture()
  const sequence = await fill(given, 1, 8)
  given.process.drive.faults.setFreeBytes(0)
  for (let i = 0; i < 40 && !given.log.readOnly; i++) {
    await given.world.settle(append(given.log, put('late', i, 'x'.repeat(150))).catch(() => undefined))
  }
  await given.world.advance(5 * limits.logHealIntervalMs)
  expect(given.log.readOnly).toBe(true)
  await given.world.settle(given.log.trim(sequence))
  await given.world.advance(3 * limits.logHealIntervalMs)
  expect(given.log.readOnly).toBe(false)
  await fill(given, 90, 90)
})

test('a segment that is not ready in time is taken as far as it has come', async () => {
  const given = await fixture({ segmentBytes: 100_000, preallocateBytes: 1_000 })
  const appended: Promise<number>[] = []
  for (let i = 0; i < 3; i++) appended.push(append(given.log, put(`key-${i}`, i, 'x'.repeat(90_000))))
  await given.world.settle(Promise.all(appended)) // one group: full at once
  await given.world.settle(append(given.log, put('next', 9)))
  expect(given.log.segments).toBe(2)
  expect(given.process.drive.peek(segmentPath(2))!.length).toBeLessThan(50_000)
  expect(names((await reopen(given, 'lose')).found)).toEqual(['key-0@0', 'key-1@1', 'key-2@2', 'next@9'])
})

test('steps of preallocation run beside commits, and no commit waits for one while there are blocks', async () => {
  const given = await fixture({ segmentBytes: 1_000_000, preallocateBytes: 4_000 })
  const seen: string[] = []
  for (let i = 0; i < 100; i++) {
    given.disk.calls.length = 0
    await given.world.settle(append(given.log, put(`key-${i}`, i, 'x'.repeat(100))))
    seen.push(...given.disk.calls.map((call) => call.split(' ')[0]!))
  }
  const steps = seen.flatMap((call, at) => (call === 'preallocate' ? [seen[at - 1]] : []))
  expect(steps.length).toBeGreaterThan(3)
  expect(new Set(steps), 'each behind the write of a group, whose sync it runs beside').toEqual(new Set(['write']))
})

test('a first sync of the next segment that fails ends it: nobody is told, and there is no end mark', async () => {
  const given = await fixture()
  await fill(given, 1, 4)
  given.process.drive.faults.failNext('sync', { path: segmentPath(2) })
  const records: StoredRecord[] = [put('a', 1, 'x'.repeat(500)), put('b', 2, 'x'.repeat(500))]
  const outcomes: unknown[] = []
  for (const record of records) {
    await given.world.settle(append(given.log, record).then(String, (error: unknown) => outcomes.push(error)))
  }
  expect(outcomes[0]).toMatchObject({ code: 'unavailable', outcome: 'unknown' })
  expect(given.fatal).toHaveLength(1)
  await given.world.settle(given.log.close())
  expect(given.disk.calls.some((call) => /^write log\/0000000001.log \d+\+40$/.test(call.trim()))).toBe(false)
})

test('making a segment fails for another reason than room: fatal, though no commit was waiting for it', async () => {
  const given = await fixture()
  given.process.drive.faults.failNext('sync', { path: 'log/next.tmp' })
  await fill(given, 1, 2)
  await given.world.advance(100)
  expect(given.fatal).toMatchObject([{ reason: 'disk-failed' }])
  await given.world.settle(given.log.close())
})

import { type DiskOperation, MemoryDrive } from '@quorumkv/internal/env-sim'
import { expect, test } from 'vitest'
import { FakeCluster, keysIn, kv, record } from './backup.test-support.js'

/*
 * A disk that fails under `kv backup`, at each of the operations that it is asked for: whatever is told is so, and no half of a backup is
 * ever taken for one.
 */

interface Scene {
  readonly client: FakeCluster
  readonly drive: MemoryDrive
  /** As `kv` ends with this; the directory is `dir`. */
  kv(...argv: string[]): Promise<{ status: number; out: string; err: string }>
  /** All is well again, and what no sync has made durable is gone. */
  mend(): void
}

/** A cluster, and a drive with a full backup of it that is damaged by nothing; then one key gets another value. */
async function scene(): Promise<Scene & { readonly full: string; readonly expected: string[] }> {
  const client = new FakeCluster(...Array.from({ length: 5 }, (_, i) => record(`key:${i}`, `value ${i}`)))
  const drive = new MemoryDrive({ defer: (fire) => void setImmediate(fire) })
  const run: Scene['kv'] = (command, ...argv) => {
    return kv(client, ['backup', command!, 'dir', ...argv], { disk: () => drive.mount() })
  }
  const made = await run('create')
  expect(made.status, made.err).toBe(0)
  client.records.set('key:3', record('key:3', 'anew', 2_000))
  client.records.set('more', record('more', 'v', 2_000))
  const expected = [...client.records.keys()].sort()
  const full = /^backup (\S+) of 5 records/.exec(made.out)![1]!
  const mend = (): void => {
    drive.faults.clear()
    drive.cutPower()
  }
  return { client, drive, kv: run, mend, full, expected }
}

/** What `kv` has told of the fault: a sentence with the file and what the disk said of it. */
const told = /^kv: (dir: |\S+ (cannot|is|needs)|\d+ of \d+ )/m

type Fault = readonly [operation: DiskOperation, code: 'io' | 'full' | 'permission', times: number, skip: number]

/** Each operation of each kind in turn fails, once and from then on; `play` says whether a fault was met. */
async function each(
  drive: MemoryDrive,
  operations: readonly DiskOperation[],
  play: (fault: Fault) => Promise<boolean>,
): Promise<number> {
  let met = 0
  for (const operation of operations) {
    for (const times of [1, Number.POSITIVE_INFINITY]) {
      // One may do no harm. Two in a row that do none: there are no more of that kind.
      for (let [skip, well] = [0, 0]; well < 2 && skip < (times === 1 ? 40 : 2); skip++) {
        const code = (['io', 'full', 'permission'] as const)[skip % 3]!
        drive.faults.failNext(operation, { code, skip, times })
        const failed = await play([operation, code, times, skip])
        well = failed ? 0 : well + 1
        if (failed) met++
      }
    }
  }
  return met
}

test('a disk that fails while a backup is made: it is told, what was there stays whole, and the next one goes on from it', async () => {
  const { drive, kv, mend, full, expected, client } = await scene()
  const operations: DiskOperation[] = ['list', 'makeDirectory', 'open', 'size', 'read', 'write', 'truncate']
  const met = await each(drive, [...operations, 'sync', 'close', 'rename', 'syncDirectory'], async (fault) => {
    const about = JSON.stringify(fault)
    const { status, out, err } = await kv('create')
    mend()
    expect(status, `${about} ${err}`).toBeLessThan(2)
    expect(`${out}${err}`, about).not.toMatch(/this is a bug|undefined/)
    if (status === 1) expect(err, about).toMatch(told)
    const backups = (await kv('list')).out.split('\n').filter((line) => line.startsWith('2'))
    expect(backups[0], about).toMatch(new RegExp(`^${full}.* complete$`))
    for (const line of backups.slice(1)) {
      const [name] = line.split(' ')
      // What is left of it is all of it, or nothing that counts. That it was made is told of nothing else.
      expect(line, about).toMatch(/ (complete|unfinished)$/)
      if (line.endsWith('complete'))
        expect((await kv('verify', name!)).out, about).toContain(`${name}: whole (6 records`)
      else expect(status, about).toBe(1)
      const removed = await kv('remove', name!, '--yes')
      expect(removed.status, `${about} ${removed.err}`).toBe(0)
    }
    if (status === 0) expect(backups, about).toHaveLength(2)
    return status === 1 || err !== ''
  })
  expect(met).toBeGreaterThan(40)
  expect((await kv('create')).out).toContain(`the rest as in ${full}`)
  expect((await kv('verify')).status).toBe(0)
  await kv('restore')
  expect(keysIn(client.restored).sort()).toEqual(expected)
})

test('files that cannot be taken away when a backup has failed are told, are no backup, and can be removed later', async () => {
  const { drive, kv, mend, full } = await scene()
  drive.faults.failNext('write', { skip: 3 })
  drive.faults.failNext('remove', { code: 'permission' })
  const { status, err } = await kv('create')
  expect(status).toBe(1)
  expect(err).toMatch(/^kv: files of (\S+) remain, .*: dir: remove \1\.0001\.segment: permission/)
  expect(err).toMatch(/^kv: dir: write \S+\.0001\.segment: io/m)
  drive.faults.clear()
  const name = /files of (\S+) remain/.exec(err)![1]!
  expect((await kv('list')).out).toMatch(new RegExp(`${name} +unfinished`))
  const next = await kv('create')
  expect(next).toMatchObject({ status: 0, err: `kv: ${name} is newer, and is passed over: it is unfinished\n` })
  expect(next.out).toContain(`the rest as in ${full}`)
  expect((await kv('remove', name, '--yes')).status).toBe(0)
  mend()
  expect((await kv('verify')).status).toBe(0)
})

test('a disk without room for all of a backup: it fails, what was there stays, and all of it is taken away again', async () => {
  const { client, drive, kv, mend, full } = await scene()
  client.records.set('large', record('large', 'x'.repeat(20_000), 3_000))
  for (const bytes of [0, 500, 19_000]) {
    drive.faults.setFreeBytes(bytes)
    expect(await kv('create')).toMatchObject({ status: 1, err: expect.stringMatching(/^kv: dir: write \S+: full/) })
    expect(drive.faults.freeBytes).toBe(bytes)
    mend()
  }
  expect((await kv('create')).out).toContain(`the rest as in ${full}`)
  expect((await kv('verify')).status).toBe(0)
})

test('a disk that takes and gives less than it is asked to changes nothing about a backup', async () => {
  const { client, drive, kv, expected } = await scene()
  drive.faults.setShortTransfers(0.7)
  expect((await kv('create')).status).toBe(0)
  expect((await kv('verify')).out.match(/: whole/g)).toHaveLength(2)
  expect((await kv('restore')).status).toBe(0)
  expect(keysIn(client.restored).sort()).toEqual(expected)
})

test('a disk that fails while backups are looked at, checked, restored or removed: it is told with the file, and never that all is well', async () => {
  const { client, drive, kv, mend, expected } = await scene()
  expect((await kv('create')).status).toBe(0)
  const newest = (await kv('list')).out.trim().split('\n').at(-1)!.split(' ')[0]!
  const run = async (fault: Fault, ...argv: string[]): Promise<{ status: number; out: string; err: string }> => {
    const ended = await kv(...argv)
    const about = JSON.stringify([argv[0], ...fault])
    expect(`${ended.out}${ended.err}`, about).not.toMatch(/this is a bug|undefined/)
    if (ended.status !== 0) expect(ended.err, about).toMatch(told)
    if (ended.status !== 0)
      expect(ended.err, about).toMatch(/fault set by the simulation|cannot be restored as a whole/)
    return ended
  }
  const reading: DiskOperation[] = ['list', 'open', 'size', 'read', 'close']
  let met = await each(drive, reading, async (fault) => {
    const { status, out } = await run(fault, 'list')
    mend()
    if (status === 0) expect(out.match(/ complete$/gm)).toHaveLength(2)
    return status !== 0
  })
  met += await each(drive, reading, async (fault) => {
    const { status, out } = await run(fault, 'verify')
    mend()
    if (status === 0) expect(out.match(/: whole/g)).toHaveLength(2)
    return status !== 0
  })
  met += await each(drive, reading, async (fault) => {
    client.restored.length = 0
    const { status, out, err } = await run(fault, 'restore', newest)
    mend()
    if (status === 0) expect(keysIn(client.restored).sort()).toEqual(expected)
    else
      expect(err + out, JSON.stringify(fault)).toMatch(client.restored.length === 0 ? /./ : /restored \d records? of/)
    return status !== 0
  })
  expect(met).toBeGreaterThan(30)
})

test('a disk that fails while a backup is removed: it is there as a whole, or is none, and the others stay', async () => {
  const { drive, kv, mend, full } = await scene()
  let met = 0
  for (const operation of ['list', 'open', 'read', 'rename', 'remove', 'syncDirectory'] as const) {
    for (let [skip, failed] = [0, true]; failed && skip < 40; skip++) {
      const name = /^backup (\S+) /.exec((await kv('create')).out)![1]!
      drive.faults.failNext(operation, { skip })
      const { status, err } = await kv('remove', name, '--yes')
      mend()
      failed = status !== 0
      if (failed) met++
      if (failed) expect(err, operation).toMatch(told)
      const [first, second, ...more] = (await kv('list')).out.split('\n').filter((line) => line.startsWith('2'))
      expect(first).toMatch(new RegExp(`^${full}.* complete$`))
      expect(more).toEqual([])
      if (second === undefined) continue
      expect(failed, `${operation} ${skip}`).toBe(true)
      expect(second).toMatch(new RegExp(`^${name}.* (complete|unfinished)$`))
      if (second.endsWith('complete')) expect((await kv('verify', name)).status).toBe(0)
      expect((await kv('remove', name, '--yes')).status).toBe(0)
    }
  }
  expect(met).toBeGreaterThan(8)
  expect((await kv('verify')).out).toMatch(new RegExp(`^${full}: whole`))
})

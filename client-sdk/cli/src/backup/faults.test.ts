import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KvError } from '@quorumkv/client'
import { crc32 } from '@quorumkv/internal/hash'
import { decodeDocument, encodeDocument } from '@quorumkv/internal/store'
import { expect, test } from 'vitest'
import { FakeCluster, json, keysIn, kv, record, some, temporary } from './backup.test-support.js'

/** Flips a bit of the last slot of the first segment. */
function damage(path: string, name: unknown): void {
  const segment = join(path, `${name}.0001.segment`)
  const bytes = readFileSync(segment)
  bytes[bytes.length - 3]! ^= 1
  writeFileSync(segment, bytes)
}

test('nothing of a damaged backup is stored before the damage is found; what is whole comes when that is asked for', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  const { name } = await json(client, 'backup', 'create', path)
  damage(path, name)
  const refused = await kv(client, ['backup', 'restore', path])
  expect(refused).toMatchObject({ status: 1, err: expect.stringContaining('nothing was restored') })
  expect(refused.err).toMatch(/1 slot of \S+ cannot be restored: \S+\.0001\.segment is damaged at byte \d+/)
  expect(client.restored).toEqual([])
  const partly = await kv(client, ['--json', 'backup', 'restore', path, '--skip-damaged'])
  expect(partly.status).toBe(1)
  expect(JSON.parse(partly.out)).toMatchObject({ status: 'done', damagedSlots: 1 })
  expect(keysIn(client.restored)).toHaveLength(31)
  // Behind the damage all is whole.
  expect((await kv(client, ['backup', 'restore', path, '--from-slot', '4095'])).status).toBe(0)
  rmSync(join(path, `${name}.0001.segment`))
  const gone = await kv(client, ['backup', 'restore', path, String(name), '--skip-damaged'])
  expect(gone).toMatchObject({ status: 1, out: expect.stringContaining('restored 0 records') })
})

test('what ended a restore is told, and not that the calls beside it were called off', async () => {
  const large = Array.from({ length: 6 }, (_, i) => record(`large:${i}`, 'x'.repeat(400_000)))
  const [client, path] = [new FakeCluster(...large), temporary()]
  await json(client, 'backup', 'create', path)
  let calls = 0
  client.operator.backups!.restoreSlots = (_records, _count, options) => {
    calls++
    if (calls === 2) return Promise.reject(new KvError('permission-denied', 'the token was revoked'))
    return new Promise((_, reject) => {
      const cancelled = (): void => reject(new KvError('cancelled', 'the call was cancelled'))
      if (options!.signal!.aborted) cancelled()
      else options!.signal!.addEventListener('abort', cancelled)
    })
  }
  const { status, err } = await kv(client, ['backup', 'restore', path])
  expect({ status, err }).toMatchObject({ status: 1, err: expect.stringContaining('the token was revoked') })
  expect(err).toMatch(/goes on with --from-slot \d+/)
})

test('a clock that is set back while a backup is restored makes it leave nothing out', async () => {
  const [client, path] = [new FakeCluster(), temporary()]
  client.records.set('a', record('a', 'lives', 1_000, client.timing.now + 3_600_000))
  client.records.set('b', record('b', 'expired', 1_000, client.timing.now - 60_000))
  await json(client, 'backup', 'create', path)
  const take = client.operator.backups!.restoreSlots
  client.operator.backups!.restoreSlots = async (...args) => {
    client.timing.now -= 3_600_000
    return await take(...args)
  }
  await json(client, 'backup', 'restore', path)
  expect(keysIn(client.restored).sort()).toEqual(['a', 'b'])
})

test('a manifest that cannot be read hides no other backup', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  const { name } = await json(client, 'backup', 'create', path)
  mkdirSync(join(path, '20991231T235959Z-0000.manifest'))
  const listed = await kv(client, ['backup', 'list', path])
  expect(listed.status, listed.err).toBe(1)
  expect(listed.err).toMatch(/0000 is unreadable: \S+0000\.manifest cannot be read: .* is a directory/)
  expect(listed.out).toMatch(/complete\n20991231T235959Z-0000 +unreadable\n/)
  const restored = await kv(client, ['backup', 'restore', path])
  expect(restored).toMatchObject({ status: 0, out: expect.stringContaining(`of ${name} in`) })
  expect(restored.err).toContain('kv: 20991231T235959Z-0000 is newer, and is passed over: it is unreadable')
  const verified = await kv(client, ['backup', 'verify', path])
  expect(verified).toMatchObject({ status: 1, out: expect.stringContaining(`${name}: whole`) })
  expect(verified.err).toMatch(/0000\.manifest cannot be read: .* is a directory/)
})

test('where the clock was set back the newest backup is the one that was made last', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  const first = await json(client, 'backup', 'create', path)
  client.timing.now -= 7_200_000
  client.records.set('key:1', record('key:1', 'anew', 9_000))
  const second = await json(client, 'backup', 'create', path)
  expect(second).toMatchObject({ parent: first['name'] })
  expect(await json(client, 'backup', 'create', path)).toMatchObject({ parent: second['name'], writtenRecords: 0 })
  await json(client, 'backup', 'restore', path)
  expect(client.restored.flat()).toContainEqual(record('key:1', 'anew', 9_000))
  const { backups } = (await json(client, 'backup', 'list', path)) as { backups: Record<string, unknown>[] }
  expect(backups.slice(0, 2)).toMatchObject([{ name: first['name'] }, { name: second['name'] }])
})

test('a page that leaves out a slot, or does not go on, is refused', async () => {
  const honest = new FakeCluster(...some()).operator.backups!.backupSlots
  for (const spoil of ['left out', 'stays', 'jumps']) {
    const [client, path] = [new FakeCluster(...some()), temporary()]
    client.operator.backups!.backupSlots = async (request) => {
      const page = await honest(request)
      if (spoil === 'left out') return { ...page, slots: page.slots.filter(({ slot }) => slot !== 700) }
      return { ...page, next: { slot: spoil === 'stays' ? request.slot : 4_096, after: new Uint8Array() } }
    }
    const { status, err } = await kv(client, ['backup', 'create', path])
    expect({ status, err }, spoil).toMatchObject({
      status: 1,
      err: expect.stringContaining('a node answered for slots'),
    })
    expect(readdirSync(path)).toEqual([])
  }
})

test('a backup whose files are removed while it is made is not told to be there', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  client.beforePage = (slot) => {
    if (slot < 3_584) return
    for (const file of readdirSync(path)) rmSync(join(path, file))
  }
  const { status, err } = await kv(client, ['backup', 'create', path])
  expect({ status, err }).toMatchObject({ status: 1, err: expect.stringContaining('cannot be had any more') })
  expect(readdirSync(path)).toEqual([])
})

test('what a backup or a restore waits for is told, once', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  const fail = (times: number): void => {
    for (let i = 0; i < times; i++) client.failures.push(new KvError('unavailable', '1 of 3 replicas, 2 are needed'))
  }
  fail(3)
  expect((await kv(client, ['backup', 'create', path])).err).toBe('')
  fail(30)
  const made = await kv(client, ['backup', 'create', path])
  expect(made).toMatchObject({ status: 0, err: 'kv: 1 of 3 replicas, 2 are needed; trying again\n' })
  fail(30)
  const restored = await kv(client, ['--json', 'backup', 'restore', path])
  expect(restored).toMatchObject({ status: 0, err: '{"note":"1 of 3 replicas, 2 are needed; trying again"}\n' })
})

test('whoever is told when to come again comes then, however long it takes, and gives up where nothing else happens', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  const early = (ms: number): KvError =>
    new KvError('overloaded', 'saver may use 1 bytes in a second', { retryAfterMs: ms })
  await json(client, 'backup', 'create', path)
  client.timing.sleeps = []
  client.failures.push(early(700_000), early(800))
  const restored = await kv(client, ['backup', 'restore', path])
  expect(restored).toMatchObject({ status: 0, err: expect.stringContaining('saver may use 1 bytes') })
  expect(client.timing.sleeps).toEqual([700_000, 800])
  for (let i = 0; i < 30; i++) client.failures.push(early(60_000))
  client.timing.sleeps = []
  const failed = await kv(client, ['backup', 'create', path])
  expect(failed).toMatchObject({ status: 1, err: expect.stringContaining('saver may use 1 bytes') })
  expect(client.timing.sleeps).toEqual(Array.from({ length: 6 }, () => 60_000))
})

test('a call that fails for long is made again as long as others succeed', async () => {
  const large = Array.from({ length: 4 }, (_, i) => record(`large:${i}`, 'x'.repeat(400_000)))
  const [client, path] = [new FakeCluster(...large), temporary()]
  await json(client, 'backup', 'create', path)
  const take = client.operator.backups!.restoreSlots
  let [first, taken, refusals]: [Uint8Array | undefined, number, number] = [undefined, 0, 0]
  client.operator.backups!.restoreSlots = async (records, count, options) => {
    first ??= records
    if (records === first && taken < 3) {
      // Each time another one has succeeded, which takes long.
      while (taken <= refusals) await new Promise((resolve) => setImmediate(resolve))
      refusals++
      throw new KvError('unavailable', 'slot 7 has no quorum')
    }
    while (records !== first && refusals < taken) await new Promise((resolve) => setImmediate(resolve))
    client.timing.now += 200_000
    taken++
    return await take(records, count, options)
  }
  const { status, err } = await kv(client, ['backup', 'restore', path])
  expect({ status, err }).toMatchObject({ status: 0 })
  expect(refusals).toBeGreaterThan(1)
  expect(taken).toBe(4)
})

/** What a later release might write in place of a file: sound, but of another format. */
const ofLaterRelease: readonly [file: string, spoil: (bytes: Uint8Array) => Uint8Array][] = [
  [
    'manifest',
    (bytes) =>
      encodeDocument(
        Buffer.from(
          Buffer.from(decodeDocument(bytes) as Uint8Array)
            .toString()
            .replace('"format":1', '"format":9'),
        ),
      ),
  ],
  ['manifest', (bytes) => withVersion(bytes, 20)],
  ['0001.segment', (bytes) => withVersion(bytes, 60)],
]

/** With 9 where the version is in both headers, and the checksum that fits. */
function withVersion(bytes: Uint8Array, checksumAt: number): Uint8Array {
  const copy = Buffer.from(bytes)
  copy.writeUInt32LE(9, 8)
  copy.writeUInt32LE(crc32(copy, 0, checksumAt), checksumAt)
  return copy
}

test('a backup of a later release is refused by the number of its format, and no older one is restored in its place', async () => {
  for (const [end, spoil] of ofLaterRelease) {
    const [client, path] = [new FakeCluster(...some()), temporary()]
    const { name: older } = await json(client, 'backup', 'create', path)
    client.timing.now += 1_000
    const { name: later } = await json(client, 'backup', 'create', path, '--full')
    const file = join(path, `${later}.${end}`)
    writeFileSync(file, spoil(readFileSync(file)))
    const told = `${path}: ${later}.${end} has format 9, which a later release has written: use the kv of that release`
    for (const more of [[], ['--skip-damaged'], [String(later)], [String(later), '--skip-damaged']]) {
      const refused = await kv(client, ['backup', 'restore', path, ...more])
      expect(refused, more.join()).toMatchObject({ status: 1, out: '', err: expect.stringContaining(told) })
      expect(refused.err).not.toContain('damaged at')
    }
    expect(client.restored).toEqual([])
    const verified = await kv(client, ['backup', 'verify', path])
    expect(verified).toMatchObject({ status: 1, out: expect.stringContaining(`${older}: whole`) })
    expect(verified.err).toContain('has format 9')
    expect((await kv(client, ['backup', 'restore', path, String(older)])).status).toBe(0)
    if (end === 'manifest') {
      const listed = await kv(client, ['backup', 'list', path])
      expect(listed).toMatchObject({ status: 0, err: expect.stringContaining('has format 9') })
      expect(listed.out).toMatch(new RegExp(`${later} +later\n`))
      // What it needs is not known here.
      expect((await kv(client, ['backup', 'remove', path, String(older), '--yes'])).status).toBe(1)
      const made = await kv(client, ['backup', 'create', path])
      expect(made).toMatchObject({ status: 0, out: expect.stringContaining(`the rest as in ${older}`) })
      expect(made.err).toContain('has format 9')
    }
  }
})

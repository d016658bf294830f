import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { KvError } from '@quorumkv/client'
import { expect, test } from 'vitest'
import { FakeIo } from '../fakes.test-support.js'
import { run } from '../program.js'
import { FakeCluster, json, keysIn, kv, record, some, temporary } from './backup.test-support.js'

test('a backup, one after it, what the directory shows, and what it gives back', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  const first = await json(client, 'backup', 'create', path)
  expect(first).toMatchObject({ status: 'done', kind: 'full', records: 32, writtenRecords: 32, unchangedSlots: 0 })
  client.records.set('key:3', record('key:3', 'anew', 2_000))
  client.timing.now += 86_400_000
  const second = await json(client, 'backup', 'create', path)
  expect(second).toMatchObject({ kind: 'incremental', parent: first['name'], records: 32 })
  expect(Number(second['writtenRecords'])).toBeLessThan(5)
  const { backups } = (await json(client, 'backup', 'list', path)) as { backups: Record<string, unknown>[] }
  expect(backups).toMatchObject([
    { name: first['name'], state: 'complete', kind: 'full', records: 32, missing: [] },
    { name: second['name'], state: 'complete', kind: 'incremental', parent: first['name'], records: 32 },
  ])
  expect((await kv(client, ['backup', 'list', path])).out).toMatch(/incremental +32 .* complete\n/)
  const restored = await json(client, 'backup', 'restore', path)
  expect(restored).toMatchObject({ status: 'done', name: second['name'] })
  expect(Number(restored['stored']) + Number(restored['deleted'])).toBe(32)
  expect(keysIn(client.restored).sort()).toEqual([...client.records.keys()].sort())
  expect(client.restored.flat()).toContainEqual(record('key:3', 'anew', 2_000))
})

test('values come before what is deleted or has expired', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  await json(client, 'backup', 'create', path)
  await json(client, 'backup', 'restore', path)
  expect(client.restored).toHaveLength(2)
  expect(keysIn([client.restored[1]!]).sort()).toEqual(['expired', 'gone'])
})

test('a call that fails for now is made again, also at a page in the middle', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  client.failures.push(new KvError('unavailable', 'a'), new KvError('overloaded', 'b'))
  await json(client, 'backup', 'create', path)
  client.failures.push(new KvError('timeout', 'c'))
  expect(await json(client, 'backup', 'restore', path)).toMatchObject({ status: 'done' })
  expect(client.timing.sleeps.length).toBeGreaterThanOrEqual(3)
})

test('what fails for good fails the backup, and leaves nothing', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  await json(client, 'backup', 'create', path)
  const before = readdirSync(path)
  client.records.set('key:1', record('key:1', 'changed', 9_000))
  client.beforePage = (slot) => {
    if (slot === 3_584) client.failures.push(new KvError('permission-denied', 'no'))
  }
  const { status, err } = await kv(client, ['backup', 'create', path])
  expect({ status, err }).toMatchObject({ status: 1, err: expect.stringContaining('Ask who runs the cluster') })
  expect(readdirSync(path)).toEqual(before)
})

test('Ctrl-C ends a backup without a trace, and a restore with where it goes on', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  const io = new FakeIo({ timing: client.timing })
  client.beforePage = (slot) => {
    if (slot === 1_024) io.interrupt()
  }
  expect(await run(['backup', 'create', path], io, () => client)).toBe(130)
  expect(io.stderr.text).toContain('nothing was added')
  expect(readdirSync(path)).toEqual([])
  client.beforePage = () => undefined
  await json(client, 'backup', 'create', path)
  const second = new FakeIo({ timing: client.timing })
  client.operator.backups!.restoreSlots = async () => {
    second.interrupt('SIGTERM')
    throw new KvError('cancelled', 'the call was cancelled')
  }
  expect(await run(['backup', 'restore', path], second, () => client)).toBe(143)
  expect(second.stderr.text).toMatch(/the same command goes on with --from-slot \d+/)
})

test('damage is told with file and place, and the status says so', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  const { name } = await json(client, 'backup', 'create', path)
  expect((await kv(client, ['backup', 'verify', path])).out).toContain(`${name}: whole (32 records`)
  const segment = join(path, `${name}.0001.segment`)
  const bytes = readFileSync(segment)
  bytes[200]! ^= 1
  writeFileSync(segment, bytes)
  const found = await kv(client, ['backup', 'verify', path])
  expect(found.status).toBe(1)
  expect(found.err).toMatch(new RegExp(`${name}.0001.segment is damaged at byte \\d+: expected block`))
  const told = await kv(client, ['--json', 'backup', 'verify', path])
  expect(JSON.parse(told.out)).toMatchObject({ whole: false, damages: [{ file: `${name}.0001.segment` }] })
  const restoring = await kv(client, ['backup', 'restore', path])
  expect(restoring).toMatchObject({ status: 1, err: expect.stringContaining('kv backup verify') })
  truncateSync(segment, 100)
  expect((await kv(client, ['backup', 'list', path])).out).toContain('incomplete')
  expect((await kv(client, ['backup', 'restore', path])).err).toContain('holds no complete backup')
  expect((await kv(client, ['backup', 'restore', path, String(name)])).err).toContain(`${name} needs`)
  // And the next one does not go on from it.
  expect(await json(client, 'backup', 'create', path)).not.toHaveProperty('parent')
})

test('into another cluster, and over what is there, only with leave', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  await json(client, 'backup', 'create', path)
  const other = new FakeCluster()
  other.clusterId = 'd'.repeat(32)
  const unasked = await kv(other, ['backup', 'restore', path])
  expect(unasked).toMatchObject({ status: 2, err: expect.stringContaining('say --yes') })
  const no = Object.assign(new PassThrough(), { isTTY: true })
  no.write('n\n')
  const declined = await kv(other, ['backup', 'restore', path], { terminal: true, stdin: no, env: { NO_COLOR: '1' } })
  expect(declined).toMatchObject({ status: 1, err: expect.stringContaining('nothing was restored') })
  expect(other.restored).toEqual([])
  expect(await json(other, 'backup', 'restore', path, '--yes')).toMatchObject({ status: 'done' })
  // Nor is it taken for the parent of a backup of that cluster.
  expect(await json(other, 'backup', 'create', path)).toMatchObject({ kind: 'full' })
  expect((await kv(client, ['backup', 'restore', path, '--overwrite'])).status).toBe(2)
})

test('--overwrite puts the values that live, with the time that they have left, and nothing else', async () => {
  const client = new FakeCluster(...some(), record('later', 'v', 1_000, 1_700_000_600_000))
  const path = temporary()
  await json(client, 'backup', 'create', path)
  const done = await json(client, 'backup', 'restore', path, '--overwrite', '--yes', '--prefix', 'key:1')
  expect(done).toMatchObject({ overwritten: 11, stored: 0, superseded: 0, deleted: 0, passedOver: 22 })
  expect(client.text('key:12')).toBe('value 12')
  expect(client.text('key:2')).toBeUndefined()
  expect(client.restored).toEqual([])
  await json(client, 'backup', 'restore', path, '--overwrite', '--yes')
  const later = client.puts.find(({ key }) => key === 'later')!
  expect(later.options.ttlMs).toBe(1_700_000_600_000 - client.timing.now)
  expect(client.text('gone')).toBeUndefined()
  expect(client.text('expired')).toBeUndefined()
})

test('the highest stamp and the cluster go along with each request, so that a clock that is behind and another cluster refuse it', async () => {
  const [client, path] = [new FakeCluster(...some(), record('from the future', 'v', 60_000)), temporary()]
  await json(client, 'backup', 'create', path)
  const stamps: unknown[] = []
  const clusters = new Set<unknown>()
  client.operator.backups!.restoreSlots = async (_records, count, options) => {
    stamps.push(options?.highestHlc)
    clusters.add(options?.clusterId)
    return { stored: count, superseded: 0, deleted: 0 }
  }
  await json(client, 'backup', 'restore', path)
  await json(client, 'backup', 'restore', path, '--prefix', 'key:')
  expect(stamps[0]).toBe(60_000n * 65_536n)
  expect(stamps.at(-1)).toBeUndefined()
  expect([...clusters]).toEqual([(await client.topology()).clusterId])
})

test('what others refer to is not removed, and what is not there is named', async () => {
  const [client, path] = [new FakeCluster(...some()), temporary()]
  const first = await json(client, 'backup', 'create', path)
  client.records.set('key:1', record('key:1', 'changed', 9_000))
  client.timing.now += 1_000
  const second = await json(client, 'backup', 'create', path)
  const refused = await kv(client, ['backup', 'remove', path, String(first['name']), '--yes'])
  expect(refused).toMatchObject({ status: 1, err: expect.stringContaining(`${second['name']} needs what is in`) })
  expect((await kv(client, ['backup', 'remove', path, 'nonsense', '--yes'])).status).toBe(2)
  expect((await kv(client, ['backup', 'remove', path, '20200101T000000Z-0000', '--yes'])).status).toBe(1)
  for (const { name } of [second, first]) await json(client, 'backup', 'remove', path, String(name), '--yes')
  expect(readdirSync(path)).toEqual([])
  expect((await kv(client, ['backup', 'verify', path])).status).toBe(1)
  expect((await kv(client, ['backup', 'list', path])).out).toContain('holds no backups')
})

import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { type BackupPage, KvError, type Operator } from '@quorumkv/client'
import { encodeRecords, type StoredRecord } from '@quorumkv/internal/backup'
import { decodeRecords } from '@quorumkv/internal/record'
import { slotOf } from '@quorumkv/internal/slots'
import { afterEach, expect, test } from 'vitest'
import { FakeClient, FakeIo, type FakeIoOptions } from '../fakes.test-support.js'
import { run } from '../program.js'

const directories: string[] = []

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
})

function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), 'quorumkv-'))
  directories.push(path)
  return join(path, 'backups')
}

function record(key: string, value: string | undefined, ms = 1_000, expiresAtMs = 0): StoredRecord {
  const bytes = Buffer.from(value ?? '')
  return {
    hi: 0,
    lo: ms * 65_536,
    node: 1,
    key: Buffer.from(key),
    tombstone: value === undefined,
    expiresAtMs,
    value: bytes,
  }
}

/** A cluster that hands out what it has, 512 slots to a page, and remembers what it is brought. */
class FakeCluster extends FakeClient {
  readonly records = new Map<string, StoredRecord>()
  readonly restored: StoredRecord[][] = []
  readonly asked: number[] = []
  clusterId = 'c'.repeat(32)
  /** What the next calls run into. */
  readonly failures: KvError[] = []
  beforePage: (slot: number) => void = () => undefined

  constructor(...records: StoredRecord[]) {
    super()
    for (const each of records) this.records.set(Buffer.from(each.key).toString(), each)
    this.operator.backups = {
      backupSlots: (request) => this.#page(request),
      restoreSlots: (records, count) => this.#take(records, count),
    }
  }

  override async topology() {
    return { ...(await super.topology()), slots: 4_096, clusterId: this.clusterId }
  }

  async #page({ slot, knownDigests }: Parameters<Operator['backupSlots']>[0]): Promise<BackupPage> {
    this.beforePage(slot)
    this.asked.push(slot)
    const failure = this.failures.shift()
    if (failure !== undefined) throw failure
    const all = [...this.records.values()].sort((a, b) => Buffer.compare(a.key, b.key))
    const slots = Array.from({ length: 512 }, (_, i) => {
      const own = all.filter(({ key }) => slotOf(key) === slot + i)
      const known = knownDigests === undefined ? undefined : Buffer.from(knownDigests).subarray(i * 8, i * 8 + 8)
      // Slots that hold nothing have nothing new; of others the client finds out by itself.
      const unchanged = known !== undefined && own.length === 0 && known.equals(Buffer.alloc(8))
      const records = encodeRecords(own)
      return { slot: slot + i, unchanged, records, count: own.length, more: false, floorMs: 0 }
    })
    return { slots, next: { slot: slot + 512, after: new Uint8Array() }, hlc: BigInt(slot), clusterId: this.clusterId }
  }

  async #take(records: Uint8Array, count: number) {
    const failure = this.failures.shift()
    if (failure !== undefined) throw failure
    this.restored.push(decodeRecords(records, count))
    return { stored: count - 1, superseded: 0, deleted: 1 }
  }
}

async function kv(client: FakeCluster, args: readonly string[], options: FakeIoOptions = {}) {
  const io = new FakeIo({ timing: client.timing, ...options })
  const status = await run(args, io, () => client)
  return { status, out: io.stdout.text, err: io.stderr.text }
}

async function json(client: FakeCluster, ...args: string[]): Promise<Record<string, unknown>> {
  const { status, out, err } = await kv(client, ['--json', ...args])
  expect(status, err).toBe(0)
  return JSON.parse(out.trim().split('\n').at(-1)!) as Record<string, unknown>
}

const some = (): StoredRecord[] => [
  ...Array.from({ length: 30 }, (_, i) => record(`key:${i}`, `value ${i}`)),
  record('gone', undefined),
  record('expired', 'v', 1_000, 5),
]

const keysIn = (batches: readonly StoredRecord[][]): string[] =>
  batches.flat().map(({ key }) => Buffer.from(key).toString())

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

test('the highest stamp goes along with each request, so that the first one is refused where the clock is behind', async () => {
  const [client, path] = [new FakeCluster(...some(), record('from the future', 'v', 60_000)), temporary()]
  await json(client, 'backup', 'create', path)
  const stamps: unknown[] = []
  client.operator.backups!.restoreSlots = async (_records, count, options) => {
    stamps.push(options?.highestHlc)
    return { stored: count, superseded: 0, deleted: 0 }
  }
  await json(client, 'backup', 'restore', path)
  await json(client, 'backup', 'restore', path, '--prefix', 'key:')
  expect(stamps[0]).toBe(60_000n * 65_536n)
  expect(stamps.at(-1)).toBeUndefined()
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

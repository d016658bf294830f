import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { type KvClient, KvError } from '@quorumkv/client'
import { expect, test } from 'vitest'
import {
  eventually,
  longForm,
  makeClient,
  makeTemporaryDirectory,
  sampleRecords,
  startKv,
  startServer,
  startServers,
} from '../fixtures.js'

/*
 * The restore drill. `KV_DRILL_DATA` names a file of JSON lines to take in place of the project's sample (made larger),
 * which may be compressed.
 */
const given = process.env['KV_DRILL_DATA']
const drillRecords = 63_665

function drillData(): Map<string, string> {
  const bytes = readFileSync(given ?? sampleRecords)
  const text = (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes).toString('utf8')
  const lines = text.split('\n').filter((line) => line !== '')
  const sample = lines.map((line) => JSON.parse(line) as { key: string; value: string })
  if (given !== undefined) return new Map(sample.map(({ key, value }) => [key, value]))
  const records = new Map<string, string>()
  for (let i = 0; records.size < drillRecords; i++) {
    const { key, value } = sample[i % sample.length]!
    records.set(`${key}:${Math.floor(i / sample.length)}`, value)
  }
  return records
}

/** Runs `kv --json`, which must succeed; its last line. */
async function kv(addresses: readonly string[], ...argv: string[]): Promise<Record<string, unknown>> {
  await using program = startKv(addresses, ['--json', ...argv])
  // However long it takes: the time of the test bounds it.
  expect(await program.exited, `${argv.join(' ')}\n${program.output}\n${program.diagnostics}`).toMatchObject({
    status: 0,
  })
  return JSON.parse(program.output.trim().split('\n').at(-1)!) as Record<string, unknown>
}

/** Each key with value, version and expiry, as a scan at quorum finds them. */
async function everything(client: KvClient): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for await (const { key, valueBytes, version, expiresAt } of client.scan({ pageSize: 4_096 })) {
    found.set(key, `${version} ${expiresAt?.getTime() ?? 'never'} ${Buffer.from(valueBytes).toString('latin1')}`)
  }
  return found
}

const valuesIn = (found: ReadonlyMap<string, string>): Map<string, string> =>
  new Map([...found].map(([key, text]) => [key, Buffer.from(text.replace(/^\S+ \S+ /, ''), 'latin1').toString('utf8')]))

/** Writes and deletes a few keys over and over, and remembers what each may hold at any time. */
class Load {
  /** For each key what was written, and when: its start and its acknowledgement. Undefined: a delete. */
  readonly history = new Map<string, { value: string | undefined; from: number; until: number }[]>()
  failures = 0
  #stopped = false
  readonly #running: Promise<void>[]

  constructor(client: KvClient, keys: number, lanes: number) {
    this.#running = Array.from({ length: lanes }, (_, lane) => this.#lane(client, keys, lane))
  }

  async #lane(client: KvClient, keys: number, lane: number): Promise<void> {
    for (let turn = 0; !this.#stopped; turn++) {
      const key = `load:${lane}:${turn % keys}`
      const value = turn % 3 === 2 ? undefined : `${key} at ${turn}`
      const from = performance.now()
      try {
        if (value === undefined) await client.delete(key)
        else await client.put(key, value)
      } catch (error) {
        if (!(error instanceof KvError)) throw error
        this.failures++
        continue
      }
      const known = this.history.get(key) ?? []
      known.push({ value, from, until: performance.now() })
      this.history.set(key, known)
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#running)
  }

  /** What a key may be in a backup that was begun and ended then: the last before it, or any write while it was made. */
  possible(key: string, begun: number, ended: number): (string | undefined)[] {
    const writes = this.history.get(key) ?? []
    const before = writes.findLastIndex(({ until }) => until < begun)
    const first = before < 0 ? [undefined] : [writes[before]!.value]
    return [
      ...first,
      ...writes
        .slice(before + 1)
        .filter(({ from }) => from <= ended)
        .map(({ value }) => value),
    ]
  }
}

test('the restore drill: a full backup under load, an incremental one, a wiped cluster, and five nodes that hold every key and version', async () => {
  const model = drillData()
  const directory = join(makeTemporaryDirectory(), 'backups')
  const keys = [...model.keys()]
  let saved: Map<string, string>
  let loaded: Load
  let [begun, ended] = [0, 0]
  let full: Record<string, unknown>
  {
    await using cluster = await startServers(3)
    const { addresses } = cluster
    const path = join(makeTemporaryDirectory(), 'drill.jsonl')
    writeFileSync(path, [...model].map(([key, value]) => `${JSON.stringify({ key, value })}\n`).join(''))
    await kv(addresses, 'import', path)
    await using client = makeClient(addresses)

    loaded = new Load(client, 40, 4)
    await eventually('there is load', async () => loaded.history.size >= 40)
    begun = performance.now()
    full = await kv([addresses[0]!], 'backup', 'create', directory)
    ended = performance.now()
    await loaded.stop()
    expect(loaded.failures).toBe(0)
    expect(full).toMatchObject({ kind: 'full', unchangedSlots: 0 })

    // Between the two backups: some keys get other values, some go, some come, one expires.
    await Promise.all(keys.filter((_, i) => i % 97 === 0).map((key) => client.put(key, `changed ${key}`)))
    for (const [i, key] of keys.entries()) if (i % 97 === 0) model.set(key, `changed ${key}`)
    const gone = keys.filter((_, i) => i % 89 === 5)
    await Promise.all(gone.map((key) => client.delete(key)))
    for (const key of gone) model.delete(key)
    await client.put('new', 'one')
    model.set('new', 'one')
    await client.put('with a term', 'v', { ttlMs: 3_600_000 })
    model.set('with a term', 'v')
    await client.put('short', 'v', { ttlMs: 1_000 })
    for (const [key, writes] of loaded.history) {
      const { value } = writes.at(-1)!
      if (value !== undefined) model.set(key, value)
    }
    await eventually('it has expired', async () => (await client.get('short')) === undefined)

    const incremental = await kv([addresses[1]!], 'backup', 'create', directory)
    expect(incremental).toMatchObject({ kind: 'incremental', parent: full['name'] })
    expect(Number(incremental['writtenBytes'])).toBeLessThan(Number(full['writtenBytes']))
    expect(await kv(addresses, 'backup', 'verify', directory)).toMatchObject({ whole: true, damages: [] })
    saved = await everything(client)
    expect(valuesIn(saved)).toEqual(model)

    // The older backup into the cluster that has gone on: nothing older wins, and nothing deleted comes back.
    const back = await kv(addresses, 'backup', 'restore', directory, String(full['name']))
    expect(Number(back['superseded'])).toBeGreaterThanOrEqual(gone.length)
    expect(await everything(client)).toEqual(saved)
    console.log(
      `full: ${JSON.stringify(full)}\nincremental: ${JSON.stringify(incremental)}\nback: ${JSON.stringify(back)}`,
    )
  }
  {
    // All of it is gone; what is left is the directory.
    await using cluster = await startServers(5)
    await using client = makeClient(cluster.addresses)
    await using refused = startKv(cluster.addresses, ['backup', 'restore', directory])
    expect(await refused.end()).toMatchObject({ status: 2 })
    expect(refused.diagnostics).toContain('--yes')
    const restored = await kv(cluster.addresses, 'backup', 'restore', directory, '--yes')
    expect(restored).toMatchObject({ status: 'done', superseded: 0, deleted: 0 })
    expect(await everything(client)).toEqual(saved)
    // Once more, which changes nothing.
    await kv([cluster.addresses[4]!], 'backup', 'restore', directory, '--yes')
    expect(await everything(client)).toEqual(saved)
    // What was deleted by mistake after the backup comes back by --overwrite alone.
    const [mistake] = keys.filter((_, i) => i % 97 === 3)
    await client.delete(mistake!)
    await kv(cluster.addresses, 'backup', 'restore', directory, '--yes', '--prefix', mistake!)
    expect(await client.get(mistake!)).toBeUndefined()
    const overwritten = await kv(
      cluster.addresses,
      'backup',
      'restore',
      directory,
      '--yes',
      '--overwrite',
      '--prefix',
      mistake!,
    )
    expect(Number(overwritten['overwritten'])).toBeGreaterThan(0)
    expect(await client.get(mistake!)).toBe(model.get(mistake!))
    console.log(`restored into five: ${JSON.stringify(restored)}`)
  }
  {
    await using server = await startServer()
    await using client = makeClient([server.address])
    await kv([server.address], 'backup', 'restore', directory, String(full['name']), '--yes')
    const found = valuesIn(await everything(client))
    for (const key of loaded.history.keys()) {
      expect(loaded.possible(key, begun, ended), key).toContain(found.get(key))
    }
  }
}, 300_000)

test.runIf(longForm)(
  'a node that dies while a backup is made, and while one is restored, costs time only',
  async () => {
    await using cluster = await startServers(3)
    await using client = makeClient(cluster.addresses)
    const expected = new Map(Array.from({ length: 20_000 }, (_, i) => [`key:${i}`, `value ${i}`.repeat(10)]))
    await client.putMany([...expected])
    await kv(cluster.addresses, 'node', 'stream-rate', '1MiB')
    const directory = join(makeTemporaryDirectory(), 'backups')
    await using making = startKv(cluster.addresses, ['--json', 'backup', 'create', directory])
    await eventually('the backup has begun', async () => sizeOf(directory) > 0)
    await cluster.servers[0]!.kill()
    expect(await making.end(), making.diagnostics).toMatchObject({ status: 0 })
    expect(JSON.parse(making.output)).toMatchObject({ records: expected.size })
    cluster.servers[0]!.start()
    await cluster.ready()

    await using target = await startServers(3)
    const { addresses } = target
    await kv(addresses, 'node', 'stream-rate', '1MiB')
    await using restoring = startKv(addresses, ['--json', 'backup', 'restore', directory, '--yes'])
    await using reader = makeClient(addresses)
    await eventually('something is there', async () => (await reader.status()).storage.entries > 0)
    await target.servers[0]!.kill()
    expect(await restoring.end(), restoring.diagnostics).toMatchObject({ status: 0 })
    expect(valuesIn(await everything(reader))).toEqual(expected)
  },
  120_000,
)

test('Ctrl-C while a backup is made leaves the directory as it was', async () => {
  await using cluster = await startServers(1)
  await using client = makeClient(cluster.addresses)
  await client.putMany(Array.from({ length: 5_000 }, (_, i) => [`key:${i}`, 'v'.repeat(200)] as const))
  const directory = join(makeTemporaryDirectory(), 'backups')
  await kv(cluster.addresses, 'backup', 'create', directory)
  const before = readdirSync(directory)
  await client.putMany(Array.from({ length: 5_000 }, (_, i) => [`key:${i}`, 'w'.repeat(200)] as const))
  await kv(cluster.addresses, 'node', 'stream-rate', '100KiB')
  await using making = startKv(cluster.addresses, ['backup', 'create', directory])
  await eventually('it writes', async () => readdirSync(directory).length > before.length)
  making.signal('SIGINT')
  expect(await making.end(), making.diagnostics).toMatchObject({ status: 130 })
  expect(readdirSync(directory)).toEqual(before)
  expect(await kv(cluster.addresses, 'backup', 'verify', directory)).toMatchObject({ whole: true })
}, 60_000)

function sizeOf(directory: string): number {
  try {
    return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gunzipSync, gzipSync } from 'node:zlib'
import { accessLevel, type Grant, softwareLevels } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

/*
 * Data directories as earlier releases have left them, one archive for each feature level: all that a release has promised
 * to go on reading. A release that raises `softwareLevels.max` adds the archive of its level with
 * `KV_WRITE_FORMATS=1 npx vitest run --project sim tests/sim/formats.test.ts`, and never changes another one.
 */
const directory = fileURLToPath(new URL('../data/formats/', import.meta.url))
const names = ['n1', 'n2', 'n3']
const tuning = { logSegmentBytes: 16_384, logPreallocateBytes: 8_192 }
const text = new TextEncoder()

/** One node's files: what is in them, without the zeros at their ends. */
type Files = Readonly<Record<string, { readonly base64: string; readonly bytes: number }>>

interface Archive {
  readonly level: number
  /** When it was made, in the time of the simulation: the clocks that read it must not be behind. */
  readonly atMs: number
  readonly disks: Readonly<Record<string, Files>>
}

/** Three nodes with something in every kind of file: segments, a snapshot, documents, and hints for n3, which is down. */
async function written(): Promise<Archive> {
  const cluster = await SimCluster.start({ seed: 'formats', tuning })
  for (let i = 0; i < 60; i++) await cluster.settle(cluster.put('n1', `key-${i}`, `first ${i} ${'.'.repeat(200)}`))
  const tokenHash = new Uint8Array(32).fill(7)
  const grant: Grant = {
    name: 'app',
    role: 'write',
    prefixes: [text.encode('key-')],
    tokenHash,
    createdAtMs: 1,
    expiresAtMs: undefined,
  }
  await cluster.settle(cluster.node('n1').members!.changeAccess({ kind: 'grant', grant }))
  await cluster.world.runUntil(() => names.every((name) => cluster.node(name).topology!.epoch === 2), 10_000)
  const { clock } = cluster.process('n1')
  const options = { consistency: 'quorum' as const, deadlineMs: clock.monotonicMs() + 5_000, ttlMs: 3_153_600_000_000 }
  await cluster.settle(cluster.node('n1').put(text.encode('expires late'), text.encode('in a hundred years'), options))
  for (const name of names) await cluster.settle(cluster.node(name).snapshot())
  for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n2', `key-${i}`, `second ${i}`))
  for (let i = 40; i < 50; i++) await cluster.settle(cluster.delete('n1', `key-${i}`))
  await cluster.world.advance(2_000)
  cluster.crash('n3')
  await cluster.world.advance(5_000)
  await cluster.settle(cluster.put('n1', 'missed', 'by n3'))
  await cluster.world.advance(3_000)
  for (const name of ['n1', 'n2']) await cluster.settle(cluster.node(name).stop(1_000))
  const disks = Object.fromEntries(names.map((name) => [name, packed(cluster.copyDisk(name))]))
  return { level: softwareLevels.max, atMs: cluster.world.nowMs, disks }
}

function packed(files: ReadonlyMap<string, Uint8Array>): Files {
  const entries = Array.from(files, ([path, bytes]) => {
    let end = bytes.length
    while (end > 0 && bytes[end - 1] === 0) end--
    return [path, { base64: Buffer.from(bytes.subarray(0, end)).toString('base64'), bytes: bytes.length }] as const
  })
  return Object.fromEntries(entries)
}

function unpacked(files: Files): Map<string, Uint8Array> {
  return new Map(
    Object.entries(files).map(([path, { base64, bytes }]) => {
      const content = new Uint8Array(bytes)
      content.set(Buffer.from(base64, 'base64'))
      return [path, content]
    }),
  )
}

if (process.env['KV_WRITE_FORMATS'] !== undefined) {
  const archive = await written()
  writeFileSync(`${directory}level-${archive.level}.json.gz`, gzipSync(JSON.stringify(archive), { level: 9 }))
}

const archives = readdirSync(directory).map((name): Archive => {
  return JSON.parse(gunzipSync(readFileSync(directory + name)).toString()) as Archive
})

async function expectContents(cluster: SimCluster, via: string): Promise<void> {
  for (let i = 0; i < 60; i++) {
    const value = await cluster.settle(cluster.get(via, `key-${i}`))
    if (i < 20) expect(value).toBe(`second ${i}`)
    else if (i >= 40 && i < 50) expect(value).toBeUndefined()
    else expect(value).toBe(`first ${i} ${'.'.repeat(200)}`)
  }
  expect(await cluster.settle(cluster.get(via, 'expires late'))).toBe('in a hundred years')
  expect(await cluster.settle(cluster.get(via, 'missed'))).toBe('by n3')
}

test('every level that this software still goes by has an archive, and so has its newest', () => {
  const levels = archives.map(({ level }) => level).sort((a, b) => a - b)
  const { min, max } = softwareLevels
  expect(levels).toEqual(Array.from({ length: max - min + 1 }, (_, i) => min + i))
})

test.each(archives)('what level $level has written is read, hints are handed over, and it goes on', async (archive) => {
  const cluster = new SimCluster({ seed: 'formats read', tuning })
  await cluster.world.advance(archive.atMs)
  const kinds = new Set(Object.keys(archive.disks['n1']!).map((path) => path.split('/')[0]))
  expect([...kinds]).toEqual(
    expect.arrayContaining(['log', 'snapshots', 'hints', 'identity', 'topology', 'clock', 'store']),
  )
  for (const name of names) await cluster.putBackDisk(name, unpacked(archive.disks[name]!))
  for (const name of names) await cluster.startNode(name)
  await cluster.allReady()
  await cluster.allConnected()
  const { featureLevel, access } = cluster.node('n1').topology!
  const granting = archive.level >= accessLevel
  expect(featureLevel).toBe(archive.level)
  expect(access.grants.map(({ name, role }) => [name, role])).toEqual(granting ? [['app', 'write']] : [])
  for (const name of names) expect(cluster.node(name).localStore!.lostCount).toBe(0)
  for (const name of names) await expectContents(cluster, name)
  const handedOver = async (): Promise<boolean> => {
    await cluster.world.advance(1_000)
    return (await cluster.settle(cluster.get('n3', 'missed', 'one'))) === 'by n3'
  }
  await expect.poll(handedOver, { timeout: 20_000 }).toBe(true)
  await cluster.settle(cluster.put('n3', 'and on', 'it goes', 'all'))
  for (const name of names) cluster.crash(name)
  for (const name of names) cluster.process(name).restart()
  for (const name of names) await cluster.startNode(name)
  await cluster.allReady()
  await cluster.allConnected()
  for (const name of names) await expectContents(cluster, name)
  expect(await cluster.settle(cluster.get('n1', 'and on'))).toBe('it goes')
})

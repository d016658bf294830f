import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from '@quorumkv/internal/hash'
import { expect, it } from 'vitest'
import {
  eventually,
  freePorts,
  makeClient,
  makeTemporaryDirectory,
  startServer,
  TestCluster,
  TestServer,
} from '../../fixtures.js'

/** Changes a file of a stopped node as a program that knows the format could, checksums and all. */
function rewrite(path: string, change: (bytes: Buffer) => Buffer): void {
  writeFileSync(path, change(readFileSync(path)))
}

/** The header of a document ends with its checksum (FORMAT.md, "Document"). */
function sealDocument(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(bytes.length - 24, 12)
  bytes.writeUInt32LE(crc32(bytes, 24), 16)
  bytes.writeUInt32LE(crc32(bytes, 0, 20), 20)
  return bytes
}

const newer: [string, string, (bytes: Buffer) => Buffer, RegExp][] = [
  [
    'a document of a later file format',
    'identity',
    (bytes) => {
      bytes.writeUInt32LE(99, 8)
      return sealDocument(bytes)
    },
    /identity.*format 99/,
  ],
  [
    'a later form of what a document says',
    'store',
    (bytes) => {
      const contents = { ...JSON.parse(bytes.subarray(24).toString()), format: 99 }
      return sealDocument(Buffer.concat([bytes.subarray(0, 24), Buffer.from(JSON.stringify(contents))]))
    },
    /store.*format 99/,
  ],
  [
    'a segment of a later log',
    'log/0000000001.log',
    (bytes) => {
      bytes.writeUInt32LE(99, 8)
      bytes.writeUInt32LE(crc32(bytes, 0, 508), 508)
      return bytes
    },
    /0000000001\.log.*format 99/,
  ],
]

it.for(newer)('%s is refused with 6, named, and left as it is', async ([, name, change, named]) => {
  await using server = await startServer()
  await using client = makeClient([server.address])
  await client.put('key', 'value')
  await server.stop()
  const path = join(server.dataDir, name)
  const before = readFileSync(path)
  rewrite(path, change)
  const after = readFileSync(path)
  server.start()
  expect(await server.end()).toEqual({ status: 6, signal: null })
  expect(JSON.stringify(server.lines)).toMatch(named)
  expect(readFileSync(path).equals(after)).toBe(true)
  // The directory has not been harmed by the attempt.
  writeFileSync(path, before)
  server.start()
  await server.ready()
  expect(await client.get('key')).toBe('value')
})

it('a member with its directory from another cluster ends with 6 and names both, and the cluster goes on', async () => {
  const ports = await freePorts(3)
  const peers = ports.map((port) => `127.0.0.1:${port}`)
  const start = (): TestCluster =>
    new TestCluster(ports.map((port, i) => new TestServer({ port, peers, id: `n${i + 1}` })))
  await using former = start()
  await former.ready()
  await Promise.all(former.servers.map((server) => server.kill()))
  await using cluster = start()
  await cluster.ready()
  const [ours] = cluster.servers[0]!.lines.filter(({ msg }) => msg === 'ready').map(({ clusterId }) => clusterId)
  await using client = makeClient(peers)
  await client.put('key', 'ours')
  await cluster.servers[2]!.kill()
  const lost = former.servers[2]!
  const [theirs] = lost.lines.filter(({ msg }) => msg === 'ready').map(({ clusterId }) => clusterId)
  lost.start()
  expect(await lost.end()).toEqual({ status: 6, signal: null })
  const last = JSON.stringify(lost.lines.at(-1))
  for (const part of [ours, theirs, ...peers.slice(0, 2)]) expect(last).toContain(part)
  expect(await client.get('key')).toBe('ours')
  cluster.servers[2]!.start()
  await cluster.ready()
  expect(await client.get('key', { consistency: 'all' })).toBe('ours')
})

it('a node that was a cluster of its own and is given peers ends with 6, unless they are itself by another name', async () => {
  const [port, other] = await freePorts(2)
  const dataDir = makeTemporaryDirectory()
  const flags = ['--replication-factor', '1']
  await using alone = await startServer({ port: port!, dataDir, flags })
  const { clusterId } = await alone.ready()
  await using client = makeClient([alone.address])
  await client.put('key', 'value')
  await alone.stop()
  const peers = [`127.0.0.1:${port}`, `127.0.0.1:${other}`]
  await using named = new TestServer({ port: port!, dataDir, flags, peers })
  expect(await named.end()).toEqual({ status: 6, signal: null })
  const last = JSON.stringify(named.lines.at(-1))
  for (const part of ['--peers', peers[1], clusterId]) expect(last).toContain(part)
  expect(named.lines.map(({ msg }) => msg)).not.toContain('ready')
  await using renamed = await startServer({ port: port!, dataDir, flags, peers: [`localhost:${port}`] })
  expect(renamed.lines.map(({ msg }) => msg)).toContain('ready')
  expect(await client.get('key')).toBe('value')
})

it('everything below the data directory is for its owner only, whatever the umask', async () => {
  const under = ['sh', '-c', 'umask 0 && exec "$@"', 'sh']
  await using server = await startServer({ under, flags: ['--snapshot-interval', '1s'] })
  await using client = makeClient([server.address])
  await client.put('key', 'value')
  const names = (): string[] => readdirSync(server.dataDir, { recursive: true, encoding: 'utf8' })
  await eventually('there is a snapshot', () => names().some((name) => name.endsWith('.snapshot')))
  const open = names().filter((name) => {
    const stats = statSync(join(server.dataDir, name))
    return (stats.mode & 0o777) !== (stats.isDirectory() ? 0o700 : 0o600)
  })
  expect(open).toEqual([])
  expect(names()).toEqual(expect.arrayContaining(['LOCK', 'clock', 'identity', 'log', 'store']))
})

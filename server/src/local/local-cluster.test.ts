import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KvClient } from '@quorumkv/client'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type LocalCluster, type LocalClusterOptions, startLocalCluster } from './index.js'

const closing: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function start(options: LocalClusterOptions = {}): Promise<[LocalCluster, KvClient]> {
  const cluster = await startLocalCluster(options)
  closing.push(() => cluster.stop())
  const client = new KvClient({ endpoints: cluster.endpoints })
  closing.push(() => client.close())
  await cluster.ready()
  return [cluster, client]
}

/** A client that goes to one node, whoever owns a key. */
function clientOf(cluster: LocalCluster, index: number): KvClient {
  const endpoint = cluster.endpoints[index]!
  const client = new KvClient({ endpoints: [endpoint], addressMap: () => endpoint })
  closing.push(() => client.close())
  return client
}

describe.each(['memory', 'files'] as const)('in %s', (kind) => {
  let dataDir: string | undefined
  beforeEach(() => {
    if (kind === 'memory') return
    const path = mkdtempSync(join(tmpdir(), 'quorumkv-local-'))
    dataDir = path
    closing.push(() => rmSync(path, { recursive: true, force: true }))
  })

  test('what was acknowledged is there after all nodes have lost power at once', async () => {
    const [cluster, client] = await start({ dataDir })
    for (let i = 0; i < 20; i++) await client.put(`key ${i}`, `value ${i}`)
    await Promise.all([0, 1, 2].map((index) => cluster.kill(index)))
    expect(cluster.nodes.map(({ state }) => state)).toEqual(['down', 'down', 'down'])
    await Promise.all([0, 1, 2].map((index) => cluster.restart(index)))
    await cluster.ready()
    for (let i = 0; i < 20; i++) expect(await client.get(`key ${i}`)).toBe(`value ${i}`)
  })

  test('a killed node misses writes, and gets them when it is back', async () => {
    const [cluster, client] = await start({ dataDir })
    const [, second] = cluster.endpoints
    await cluster.kill(1)
    for (let i = 0; i < 20; i++) await client.put(`key ${i}`, `value ${i}`)
    await cluster.restart(1)
    await cluster.settled(20_000)
    expect(cluster.endpoints[1]).toBe(second)
    expect(cluster.nodes[1]!.status().store!.entries).toBe(20)
  })

  test('a wiped node comes back empty and is refilled', async () => {
    const [cluster, client] = await start({ dataDir })
    await client.put('key', 'value')
    const { incarnation } = cluster.nodes[2]!.status()
    await cluster.wipe(2)
    await cluster.restart(2)
    await cluster.settled(20_000)
    expect(cluster.nodes[2]!.status().incarnation).not.toBe(incarnation)
    expect(cluster.nodes[2]!.status().store!.entries).toBe(1)
  })

  test('stopped in order, it goes on where it was', async () => {
    const [cluster, client] = await start({ nodes: 1, dataDir })
    await client.put('key', 'value')
    await cluster.stop(0)
    await cluster.restart(0)
    await cluster.restart(0)
    await cluster.ready()
    expect(await client.get('key')).toBe('value')
  })
})

test.each([false, true])('a node that is cut off has no quorum until it is healed (silent: %s)', async (silent) => {
  const [cluster, client] = await start()
  const alone = clientOf(cluster, 0)
  const others = clientOf(cluster, 1)
  cluster.partition([[0]], { silent })
  // Where nobody is told, only the next heartbeat will show it.
  const { core } = cluster.nodes[0]!.running
  if (!silent) await expect.poll(() => core.linked(cluster.nodes[1]!.id), { timeout: 800 }).toBe(false)
  else expect(core.linked(cluster.nodes[1]!.id)).toBe(true)
  await expect(alone.put('key', 'lost', { timeoutMs: 400 })).rejects.toMatchObject({
    code: silent ? 'timeout' : expect.stringMatching(/unavailable|timeout/),
  })
  await others.put('key', 'kept')
  cluster.heal()
  await cluster.ready()
  // Also where the machine is so busy that heartbeats were missed: then after they are linked again.
  if (silent) await alone.put('other', 'value', { timeoutMs: 5_000 })
  await cluster.settled(20_000)
  await client.put('key', 'newer')
  expect(await alone.get('key')).toBe('newer')
})

test('clients can be cut off as well, and go on with the nodes that they reach', async () => {
  const [cluster, client] = await start()
  const far = clientOf(cluster, 0)
  await far.put('key', 'before')
  cluster.partition([[0], [1, 2]], { clients: 1 })
  await expect(far.get('key', { consistency: 'one', timeoutMs: 300 })).rejects.toMatchObject({ name: 'KvError' })
  for (let i = 0; i < 20; i++) await client.put(`key ${i}`, 'value')
  cluster.heal()
  await cluster.settled(20_000)
  expect(await far.get('key 1')).toBe('value')
  expect(() => cluster.partition([[0]], { clients: 1 })).toThrow(expect.objectContaining({ field: 'clients' }))
})

test('another partition takes the place of the first', async () => {
  const [cluster] = await start()
  const first = clientOf(cluster, 0)
  cluster.partition([[0], [1, 2]])
  cluster.partition([[0, 1], [2]])
  await cluster.ready()
  await first.put('key', 'value')
  await expect(clientOf(cluster, 2).get('key', { timeoutMs: 300 })).rejects.toMatchObject({ name: 'KvError' })
})

test('what expires is gone when time has been moved on, for every reader, and writes go on', async () => {
  const [cluster, client] = await start()
  await client.put('key', 'value', { ttlMs: 7_200_000 })
  await client.put('other', 'value')
  cluster.clock.advance(3_600_000)
  // Had only the wall clocks moved, no node would believe its own before it has heard of the others'. On a busy machine a put may take longer.
  let put = await client.put('third', 'value', { timeoutMs: 400 }).catch(String)
  for (let tries = 1; typeof put === 'string' && tries < 50; tries++) {
    expect(put).not.toContain('the clock of this node')
    put = await client.put('third', 'value', { timeoutMs: 400 }).catch(String)
  }
  expect(await client.get('key')).toBe('value')
  cluster.clock.advance(3_600_000)
  expect(await client.get('key')).toBeUndefined()
  expect(await client.get('other')).toBe('value')
  await client.put('key', 'again')
  expect(await client.get('key')).toBe('again')
})

test('timers set for long fire when time is moved on', async () => {
  const [cluster, client] = await start({ nodes: 1, settings: { snapshotInterval: '10m' } })
  await client.put('key', 'value')
  const snapshots = (): number => cluster.nodes[0]!.status().store!.snapshotSequence
  const before = snapshots()
  cluster.clock.advance(600_000)
  await expect.poll(snapshots).toBeGreaterThan(before)
})

test('a node whose clock is far ahead stamps nothing, and moves no other clock', async () => {
  const [cluster, client] = await start()
  cluster.clock.skew(1, 3_600_000)
  await expect(clientOf(cluster, 1).put('key', 'value', { timeoutMs: 500 })).rejects.toMatchObject({ name: 'KvError' })
  const { version } = await client.put('key', 'value')
  expect(Number.parseInt(version.toString().slice(0, 12), 16)).toBeLessThan(cluster.clock.now() + 60_000)
  cluster.clock.skew(1, 0)
  await cluster.ready()
})

test('a node is started once at a time, and one that is being started stops with its cluster', async () => {
  const [cluster] = await start({ nodes: 1 })
  await cluster.kill(0)
  const restarting = cluster.restart(0)
  await expect(cluster.restart(0)).rejects.toMatchObject({ code: 'invalid-argument', field: 'node' })
  await cluster.stop()
  await restarting
  expect(cluster.nodes[0]!.state).toBe('down')
  await expect(cluster.restart(0)).rejects.toMatchObject({ code: 'closed' })
})

test('copies that differ are not settled, whatever nobody waits for', async () => {
  const [cluster] = await start()
  await cluster.settled(20_000)
  const [store, ...others] = cluster.nodes.map(({ running }) => running.core.localStore!)
  const key = new TextEncoder().encode('key')
  const hi = Math.floor(cluster.clock.now() / 65_536)
  const record = { key, hi, lo: 0, node: 1, tombstone: false, expiresAtMs: 0, value: key }
  await store!.commit([record])
  await expect(cluster.settled(1)).rejects.toMatchObject({
    message: expect.stringContaining('differs between'),
  })
  await Promise.all(others.map((other) => other.commit([record])))
  await cluster.settled(20_000)
})

test('bad input names what is wrong and changes nothing', async () => {
  await expect(startLocalCluster({ nodes: 0 })).rejects.toMatchObject({ code: 'invalid-argument', field: 'nodes' })
  await expect(startLocalCluster({ nodes: 1, port: 70_000 })).rejects.toMatchObject({ field: 'port' })
  await expect(startLocalCluster({ settings: { writeQuorum: 9 } })).rejects.toMatchObject({ field: 'writeQuorum' })
  const [cluster] = await start({ nodes: 2 })
  await expect(cluster.kill(2)).rejects.toMatchObject({ code: 'invalid-argument', field: 'node' })
  await expect(cluster.restart(-1)).rejects.toMatchObject({ field: 'node' })
  expect(() => cluster.partition([[0], [0, 1]])).toThrow(/twice/)
  expect(() => cluster.partition([[7]])).toThrow(expect.objectContaining({ field: 'node' }))
  expect(() => cluster.clock.advance(-1)).toThrow(expect.objectContaining({ field: 'ms' }))
  expect(() => cluster.clock.skew(0, 0.5)).toThrow(expect.objectContaining({ field: 'ms' }))
  await cluster.kill(0)
  await expect(cluster.kill(0)).rejects.toMatchObject({ code: 'invalid-argument', field: 'node' })
  await expect(cluster.ready(50)).resolves.toBeUndefined()
  await expect(cluster.settled(50)).rejects.toMatchObject({ code: 'timeout' })
})

test('where one node finds its port taken, none is left waiting or running', async () => {
  const [taken] = await start({ nodes: 1 })
  const port = Number(taken.endpoints[0]!.split(':')[1])
  await expect(startLocalCluster({ nodes: 2, port: port - 1 })).rejects.toMatchObject({
    name: 'FatalError',
    reason: 'usage',
  })
  const again = await startLocalCluster({ nodes: 1, port: port - 1 })
  await again.stop()
})

test('settings reach the nodes, and HTTP listens where it is told to', async () => {
  const [cluster] = await start({ nodes: 2, httpPort: 0, settings: { replicationFactor: 2, virtualNodes: 20 } })
  expect(cluster.nodes[0]!.status().topology).toMatchObject({ virtualNodes: 20, replication: { replicationFactor: 2 } })
  const [address] = cluster.nodes[1]!.httpAddresses
  expect((await fetch(`http://${address}/livez`)).status).toBe(200)
})

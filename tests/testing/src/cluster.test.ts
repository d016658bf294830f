import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KvError } from '@quorumkv/client'
import { describe, expect, test } from 'vitest'
import { KvError as KvErrorOfTesting, startCluster } from './index.js'

const quick = { timeoutMs: 400 }

/** Directories of clusters that are on disk now. */
function temporaryDirectories(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith('quorumkv-testing-'))
}

test('three nodes serve a client, and each of them knows what another was told', async () => {
  await using cluster = await startCluster()
  expect(cluster.endpoints).toHaveLength(3)
  await cluster.clientOf(0).put('key', 'value')
  expect(await cluster.clientOf(2).get('key')).toBe('value')
})

test('a killed node costs nothing, a second one costs the quorum, and a restart brings it back', async () => {
  await using cluster = await startCluster()
  const client = cluster.client()
  await client.put('key', 'one')
  await cluster.kill(0)
  await client.put('key', 'two')
  await cluster.kill(1)
  await expect(client.put('key', 'three', quick)).rejects.toMatchObject({ name: 'KvError' })
  await cluster.restart(1)
  await cluster.ready()
  await client.put('key', 'four')
  expect(await client.get('key')).toBe('four')
})

test('a stopped node is down for its clients', async () => {
  await using cluster = await startCluster({ nodes: 2, replicationFactor: 2, writeQuorum: 2, readQuorum: 1 })
  const client = cluster.client()
  await client.put('key', 'value')
  await cluster.stop(1)
  expect(cluster.nodes[1]!.state).toBe('down')
  await expect(client.put('key', 'newer', quick)).rejects.toMatchObject({ name: 'KvError' })
  await cluster.restart(1)
  await cluster.settled(20_000)
  await client.put('key', 'newer')
})

test('a wiped node is refilled by the others', async () => {
  await using cluster = await startCluster()
  await cluster.client().put('key', 'value')
  await cluster.wipe(2)
  await cluster.restart(2)
  await cluster.settled(20_000)
  expect(cluster.nodes[2]!.status().store?.entries).toBe(1)
  await cluster.kill(0)
  expect(await cluster.client().get('key')).toBe('value')
})

test('on the minority side of a partition nothing is acknowledged; once healed, all copies become equal', async () => {
  await using cluster = await startCluster()
  cluster.partition([[0], [1, 2]])
  await expect(cluster.clientOf(0).put('key', 'lost?', quick)).rejects.toMatchObject({ name: 'KvError' })
  await cluster.clientOf(1).put('key', 'kept')
  cluster.heal()
  await cluster.settled(20_000)
  expect(await cluster.clientOf(0).get('key', { consistency: 'one' })).toBe('kept')
})

test('a partition may keep clients from nodes as well', async () => {
  await using cluster = await startCluster()
  const [near, far] = [cluster.clientOf(1), cluster.clientOf(0)]
  await far.put('key', 'value')
  cluster.partition([[0], [1, 2]], { clients: 1, silent: true })
  await expect(far.get('key', { ...quick, consistency: 'one' })).rejects.toMatchObject({ name: 'KvError' })
  expect(await near.get('key')).toBe('value')
})

test('time can be moved on: what expires is gone at once', async () => {
  await using cluster = await startCluster()
  const client = cluster.client()
  await client.put('session', 'Ada', { ttlMs: 86_400_000 })
  cluster.clock.advance(86_399_000)
  expect(await client.get('session')).toBe('Ada')
  cluster.clock.advance(1_000)
  expect(await client.get('session')).toBeUndefined()
})

test('a node whose clock is wrong is refused until it is right', async () => {
  await using cluster = await startCluster()
  cluster.clock.skew(0, 3_600_000)
  await expect(cluster.clientOf(0).put('key', 'value', quick)).rejects.toMatchObject({ name: 'KvError' })
  await cluster.clientOf(1).put('key', 'value')
  cluster.clock.skew(0, 0)
  await cluster.ready()
  expect(await cluster.clientOf(0).get('key')).toBe('value')
})

test('files in a directory of yours outlast the cluster', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'quorumkv-data-'))
  try {
    {
      await using cluster = await startCluster({ dataDir })
      await cluster.client().put('key', 'value')
    }
    await using cluster = await startCluster({ dataDir })
    expect(await cluster.client().get('key')).toBe('value')
  } finally {
    rmSync(dataDir, { recursive: true })
  }
})

test('files in a temporary directory go with the cluster, also when it cannot start', async () => {
  const before = temporaryDirectories()
  {
    await using cluster = await startCluster({ disk: true, nodes: 1 })
    await cluster.client().put('key', 'value')
    expect(temporaryDirectories().length).toBe(before.length + 1)
    await cluster.kill(0)
    await cluster.restart(0)
    await cluster.ready()
    expect(await cluster.client().get('key')).toBe('value')
  }
  await expect(startCluster({ disk: true, nodes: 99 })).rejects.toMatchObject({ field: 'nodes' })
  expect(temporaryDirectories()).toEqual(before)
})

describe('bad input', () => {
  test.each([
    [{ nodes: 1.5 }, 'nodes'],
    [{ nodes: 33 }, 'nodes'],
    [{ writeQuorum: 0 }, 'writeQuorum'],
    [{ settings: { snapshotInterval: 'soon' } }, 'snapshotInterval'],
    [{ disk: true, dataDir: '/tmp/somewhere' }, 'disk'],
  ])('%j is refused, and named', async (options, field) => {
    const error = await startCluster(options).catch((failure: unknown) => failure)
    expect(error).toBeInstanceOf(KvError)
    expect(error).toMatchObject({ code: 'invalid-argument', field })
  })

  test('what nodes refuse and what clients refuse is one kind of error, which this package names as well', async () => {
    expect(KvErrorOfTesting).toBe(KvError)
    await using cluster = await startCluster({ nodes: 1 })
    const refusals = [
      () => cluster.kill(7),
      () => cluster.stop(7),
      () => cluster.restart(7),
      () => cluster.wipe(7),
      async () => cluster.clientOf(7),
      async () => cluster.partition([[0], [0]]),
      async () => cluster.clock.advance(-1),
      async () => cluster.clock.skew(7, 1),
      () => cluster.client().get(''),
    ]
    for (const refusal of refusals) await expect(refusal()).rejects.toBeInstanceOf(KvError)
    await cluster.kill(0)
    const late = expect.objectContaining({ name: 'KvError', code: 'timeout' })
    await expect(cluster.settled(50)).rejects.toEqual(late)
    await expect(cluster.settled(50)).rejects.toBeInstanceOf(KvError)
  })

  test('nodes that are not there, groups that overlap, times that run backwards', async () => {
    await using cluster = await startCluster({ nodes: 2 })
    await expect(cluster.kill(2)).rejects.toMatchObject({ code: 'invalid-argument', field: 'node' })
    await expect(cluster.restart(0.5)).rejects.toMatchObject({ field: 'node' })
    expect(() => cluster.clientOf(-1)).toThrow(expect.objectContaining({ field: 'node' }))
    expect(() => cluster.partition([[0, 1], [1]])).toThrow(expect.objectContaining({ field: 'groups' }))
    expect(() => cluster.clock.advance(-1)).toThrow(expect.objectContaining({ field: 'ms' }))
    await expect(cluster.ready(0)).rejects.toMatchObject({ field: 'withinMs' })
    expect(cluster.nodes.map(({ state }) => state)).toEqual(['serving', 'serving'])
  })

  test('what closes while a node is being stopped or started again leaves none running, and no file', async () => {
    const before = temporaryDirectories()
    const cluster = await startCluster({ nodes: 2, disk: true })
    const stopping = cluster.stop(1)
    const restarting = expect(cluster.restart(0)).rejects.toMatchObject({ code: 'closed' })
    await cluster.close()
    await Promise.all([stopping, restarting])
    expect(cluster.nodes.map(({ state }) => state)).toEqual(['down', 'down'])
    expect(temporaryDirectories()).toEqual(before)
  })

  test('a closed cluster gives no clients and starts no nodes', async () => {
    const cluster = await startCluster({ nodes: 1 })
    await cluster.close()
    await cluster.close()
    expect(() => cluster.client()).toThrow(expect.objectContaining({ code: 'closed' }))
    await expect(cluster.restart(0)).rejects.toMatchObject({ code: 'closed' })
  })
})

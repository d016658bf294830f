import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cluster, type ClusterOptions, startCluster } from '@quorumkv/testing'
import { afterAll, expect, test } from 'vitest'
import { FakeIo } from '../client-sdk/cli/src/fakes.test-support.js'
import { systemTiming, type Timing } from '../client-sdk/cli/src/io.js'
import { run } from '../client-sdk/cli/src/program.js'

/* `kv backup` and whole clusters, all inside this process. With processes: tests/e2e/backup.test.ts. */

const directory = mkdtempSync(join(tmpdir(), 'quorumkv-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Runs `kv --json backup`, which must succeed; its last line. */
async function backup(cluster: Cluster, argv: readonly string[], timing: Timing = systemTiming) {
  const io = Object.assign(new FakeIo(), { timing })
  const status = await run(['--json', 'backup', ...argv], io, () => cluster.client({ timeoutMs: 20_000 }))
  expect(status, io.stderr.text).toBe(0)
  return JSON.parse(io.stdout.text.trim().split('\n').at(-1)!) as Record<string, unknown>
}

/** Each key with all that is stored under it, as a scan at quorum finds them. */
async function everything(cluster: Cluster): Promise<string[]> {
  const found: string[] = []
  for await (const { key, valueBytes, version, expiresAt } of cluster.client().scan()) {
    found.push(`${key} ${version} ${expiresAt?.getTime()} ${Buffer.from(valueBytes)}`)
  }
  return found.sort()
}

test('a backup comes back as it was into clusters of other sizes and replication factors', async () => {
  const path = join(directory, 'sizes')
  let saved: string[]
  {
    await using cluster = await startCluster({ nodes: 3 })
    const client = cluster.client()
    await client.putMany(Array.from({ length: 200 }, (_, i) => [`key:${i}`, `value ${i}`] as const))
    await client.put('with a term', 'v', { ttlMs: 3_600_000 })
    for (let i = 0; i < 20; i++) await client.delete(`key:${i}`)
    saved = await everything(cluster)
    expect(saved).toHaveLength(181)
    await backup(cluster, ['create', path])
  }
  const shapes: ClusterOptions[] = [
    { nodes: 5, replicationFactor: 5 },
    { nodes: 1, replicationFactor: 1 },
    { nodes: 3, replicationFactor: 1 },
  ]
  for (const shape of shapes) {
    await using cluster = await startCluster(shape)
    const told = await backup(cluster, ['restore', path, '--yes'])
    expect(told, JSON.stringify(shape)).toMatchObject({ status: 'done', stored: 201, superseded: 0, deleted: 0 })
    expect(await everything(cluster), JSON.stringify(shape)).toEqual(saved)
  }
}, 60_000)

test('a restore by somebody who goes by a rate takes as long as that takes, and brings all of it', async () => {
  const path = join(directory, 'rates')
  const count = 2_200
  {
    await using cluster = await startCluster({ nodes: 1 })
    await cluster.client().putMany(Array.from({ length: count }, (_, i) => [`key:${i}`, 'v'] as const))
    await backup(cluster, ['create', path])
  }
  await using cluster = await startCluster({ nodes: 1, settings: { rateLimit: 100 } })
  // Whoever waits lets the node's time go by at once. Its wall clock stays right, because deadlines go by that.
  let waitedMs = 0
  const sleep: Timing['sleep'] = async (ms) => {
    waitedMs += Math.ceil(ms)
    cluster.clock.advance(Math.ceil(ms))
    cluster.clock.skew(0, -waitedMs)
  }
  const timing = { ...systemTiming, monotonic: () => systemTiming.monotonic() + waitedMs, sleep }
  expect(await backup(cluster, ['restore', path, '--yes'], timing)).toMatchObject({ status: 'done', stored: count })
  expect(waitedMs).toBeGreaterThan(0)
}, 60_000)

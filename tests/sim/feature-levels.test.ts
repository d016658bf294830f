import { FatalError, type KvError } from '@quorumkv/internal/base'
import type { LevelRange } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

const old: LevelRange = { min: 1, max: 1 }
const both: LevelRange = { min: 1, max: 2 }
const next: LevelRange = { min: 2, max: 3 }

/** Three nodes of these releases, which have founded a cluster or are about to say why not. */
async function started(seed: string, ranges: readonly LevelRange[]): Promise<SimCluster> {
  const cluster = new SimCluster({ seed, nodes: ranges.length + 1 })
  const names = cluster.names.slice(0, ranges.length)
  for (const [i, name] of names.entries())
    await cluster.settle(cluster.launch(name, names, name, { levels: ranges[i]! }))
  return cluster
}

async function restarted(cluster: SimCluster, name: string, levels: LevelRange): Promise<void> {
  cluster.crash(name)
  cluster.process(name).restart()
  const node = await cluster.settle(cluster.launch(name, cluster.names, name, { levels }))
  await cluster.settle(node.ready())
  await cluster.allConnected()
}

function level(cluster: SimCluster, name: string): number {
  return cluster.node(name).topology!.featureLevel
}

function told(cluster: SimCluster, name: string): (readonly [string, number])[] {
  return cluster.node(name).topology!.members.map(({ id, levels }) => [id, levels.max] as const)
}

async function raise(cluster: SimCluster, via: string): Promise<number> {
  await cluster.settle(cluster.node(via).members!.request({ kind: 'raise-level' }))
  return level(cluster, via)
}

test('a release comes node by node while the level stays, and may go back; once raised, there is no way back', async () => {
  const cluster = await started('rolling upgrade', [old, old, old])
  await cluster.allReady()
  await cluster.allConnected()
  expect(level(cluster, 'n1')).toBe(1)
  for (const name of ['n1', 'n2']) {
    await restarted(cluster, name, both)
    await cluster.settle(cluster.put('n3', name, 'in a mixed cluster'))
    await cluster.world.runUntil(() => told(cluster, 'n3').some(([id, max]) => id === name && max === 2), 10_000)
    // Not everybody can: it stays as it is.
    expect(await raise(cluster, name)).toBe(1)
  }
  await restarted(cluster, 'n2', old)
  await cluster.world.runUntil(() => told(cluster, 'n3').some(([id, max]) => id === 'n2' && max === 1), 10_000)
  for (const name of ['n2', 'n3']) await restarted(cluster, name, both)
  await cluster.world.runUntil(() => told(cluster, 'n1').every(([, max]) => max === 2), 20_000)
  expect(level(cluster, 'n1')).toBe(1)
  expect(await raise(cluster, 'n1')).toBe(2)
  expect(await raise(cluster, 'n1')).toBe(2)
  await cluster.world.runUntil(() => level(cluster, 'n3') === 2, 10_000)
  for (const name of ['n1', 'n2']) expect(await cluster.settle(cluster.get('n3', name))).toBe('in a mixed cluster')

  cluster.crash('n2')
  cluster.process('n2').restart()
  const error = await cluster
    .settle(cluster.launch('n2', cluster.names, 'n2', { levels: old }))
    .catch((e: unknown) => e)
  expect(error).toBeInstanceOf(FatalError)
  expect(error).toMatchObject({
    reason: 'refused',
    message: expect.stringMatching(
      /^this software goes by level 1, and cluster .* by level 2: a newer release is needed$/,
    ),
  })
})

test('a node that is too old or too new for the level in force does not get in, and says why; one that fits does', async () => {
  const cluster = await started('who gets in', [both, both, both])
  await cluster.allReady()
  await cluster.allConnected()
  expect(level(cluster, 'n1')).toBe(2)
  for (const [levels, why] of [
    [old, 'it is too old'],
    [{ min: 3, max: 4 }, 'it is too new: go through the releases between'],
  ] as const) {
    cluster.fatal.clear()
    await cluster.settle(cluster.launch('n4', ['n1', 'n2'], 'n4', { levels }))
    await cluster.world.runUntil(() => cluster.fatal.has('n4'), 20_000)
    expect(cluster.fatal.get('n4')).toMatchObject({ reason: 'refused', message: expect.stringContaining(why) })
    expect(cluster.node('n1').topology!.members).toHaveLength(3)
    cluster.crash('n4')
    cluster.process('n4').restart()
  }
  await cluster.settle(cluster.launch('n4', ['n1', 'n2'], 'n4', { levels: next }))
  await cluster.settle(cluster.node('n4').ready())
  await cluster.world.runUntil(() => cluster.node('n1').topology!.members[3]?.state === 'serving', 60_000)
  await cluster.settle(cluster.put('n4', 'key', 'value', 'all'))
  expect(told(cluster, 'n1')[3]).toEqual(['n4', 3])
})

test('a cluster is founded at the newest level that all founders have in common', async () => {
  const cluster = await started('founders differ', [old, both, { min: 1, max: 3 }])
  await cluster.allReady()
  for (const name of ['n1', 'n2', 'n3']) expect(level(cluster, name)).toBe(1)
})

test('founders that have no level in common found nothing', async () => {
  const cluster = await started('founders too far apart', [old, next, next])
  await cluster.world.advance(10_000)
  expect(cluster.fatal.size).toBeGreaterThan(0)
  for (const error of cluster.fatal.values()) {
    expect((error as KvError).message).toMatch(/level 1.*levels 2 to 3|levels 2 to 3.*level 1/)
  }
  expect(['n1', 'n2', 'n3'].map((name) => cluster.node(name).topology)).toEqual([undefined, undefined, undefined])
})

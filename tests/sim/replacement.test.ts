import { describe, expect, test } from 'vitest'
import { SimCluster, type SimClusterOptions } from './sim-cluster.js'

const replaceAfterMs = 30_000

function start(options: SimClusterOptions): Promise<SimCluster> {
  return SimCluster.start({ replaceAfterMs, ...options })
}

/** Who the members are in the eyes of these nodes; undefined while they differ or something goes on. */
function members(cluster: SimCluster, names: readonly string[]): string[] | undefined {
  const topologies = names.map((name) => cluster.node(name).topology!)
  const [first] = topologies
  const settled = topologies.every(({ epoch, handover, planned }) => {
    return epoch === first!.epoch && handover === undefined && planned.length === 0
  })
  return settled ? first!.members.map(({ id }) => id) : undefined
}

function epochs(cluster: SimCluster, names: readonly string[] = cluster.names): number[] {
  return names.map((name) => cluster.node(name).topology!.epoch)
}

async function writeAll(cluster: SimCluster, via: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await cluster.settle(cluster.put(via, `k${i}`, `v${i}`))
}

async function readAll(cluster: SimCluster, via: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) expect(await cluster.settle(cluster.get(via, `k${i}`))).toBe(`v${i}`)
}

describe('a member that is away', () => {
  test('for too long is removed where enough are left, and every key has all its copies again', async () => {
    const cluster = await start({ seed: 'away for good', nodes: 4 })
    await writeAll(cluster, 'n1', 100)
    cluster.crash('n2', { links: 'silent' })
    const left = ['n1', 'n3', 'n4']
    await cluster.world.advance(replaceAfterMs - 2_000)
    expect(epochs(cluster, left)).toEqual([1, 1, 1])
    await cluster.world.runUntil(() => members(cluster, left)?.length === 3, 180_000)
    expect(members(cluster, left)).toEqual(left)
    for (const name of left) expect(cluster.node(name).localStore!.statistics().entries).toBe(100)
    await readAll(cluster, 'n3', 100)
    // It wakes up in its old directory, and is told.
    cluster.process('n2').restart()
    await cluster.startNode('n2')
    await cluster.world.runUntil(() => cluster.fatal.has('n2'), 30_000)
    expect(cluster.fatal.get('n2')!.message).toContain('was removed at epoch')
  })

  test('for a while, stopped or cut off, costs no epoch and moves no data', async () => {
    const cluster = await start({ seed: 'a while', nodes: 5 })
    await writeAll(cluster, 'n1', 20)
    for (let times = 0; times < 3; times++) {
      cluster.process('n3').pause()
      await cluster.world.advance(replaceAfterMs - 5_000)
      cluster.process('n3').resume()
      await cluster.world.advance(20_000)
      cluster.world.network.partition([['n1'], ['n2', 'n3', 'n4', 'n5']])
      await cluster.world.advance(replaceAfterMs - 5_000)
      cluster.world.network.heal()
      await cluster.world.advance(20_000)
    }
    expect(epochs(cluster)).toEqual([1, 1, 1, 1, 1])
    await readAll(cluster, 'n3', 20)
  })

  test('stays one where too few are left for all copies', async () => {
    const cluster = await start({ seed: 'too few', nodes: 3 })
    cluster.crash('n3', { links: 'silent' })
    await cluster.world.advance(20 * replaceAfterMs)
    expect(epochs(cluster, ['n1', 'n2'])).toEqual([1, 1])
  })

  test('stays one while slots have no read quorum among the others', async () => {
    const cluster = await start({ seed: 'two at once', nodes: 5 })
    cluster.crash('n4', { links: 'silent' })
    cluster.crash('n5', { links: 'silent' })
    await cluster.world.advance(5 * replaceAfterMs)
    expect(epochs(cluster, ['n1', 'n2', 'n3'])).toEqual([1, 1, 1])
    await cluster.restart('n5')
    const left = ['n1', 'n2', 'n3', 'n5']
    await cluster.world.runUntil(() => members(cluster, left)?.length === 4, 180_000)
    expect(members(cluster, left)).toEqual(left)
  })

  test('and stays one where a minority misses the majority', async () => {
    const cluster = await start({ seed: 'minority', nodes: 5, replaceAfterMs })
    cluster.world.network.partition([
      ['n1', 'n2'],
      ['n3', 'n4', 'n5'],
    ])
    await cluster.world.advance(5 * replaceAfterMs)
    // The larger side has no read quorum of all slots, the smaller one no majority.
    expect(epochs(cluster)).toEqual([1, 1, 1, 1, 1])
    cluster.world.network.heal()
    await cluster.world.advance(20_000)
    expect(cluster.fatal.size).toBe(0)
    expect(epochs(cluster)).toEqual([1, 1, 1, 1, 1])
  })
})

test('a node that slept through everything has nobody removed when it wakes up', async () => {
  const cluster = await start({ seed: 'slept', nodes: 5 })
  // It has just found out that n5 is dead when it falls asleep, and n5 is back long before it wakes up.
  cluster.crash('n5', { links: 'silent' })
  const n5 = cluster.node('n1').topology!.members[4]!
  await cluster.world.runUntil(() => cluster.node('n1').liveness(n5).status === 'dead', 30_000)
  cluster.process('n1').pause()
  await cluster.restart('n5')
  await cluster.world.advance(20 * replaceAfterMs)
  // By now the others have had n1 removed: they are told apart from what it would do itself.
  const before = epochs(cluster, ['n2', 'n3', 'n4', 'n5'])
  cluster.process('n1').resume()
  await cluster.world.advance(60_000)
  expect(epochs(cluster, ['n2', 'n3', 'n4', 'n5'])).toEqual(before)
  expect(cluster.node('n2').topology!.members.map(({ id }) => id)).toEqual(['n2', 'n3', 'n4', 'n5'])
})

import { parseNodeId } from '@quorumkv/internal/base'
import type { NodeOptions } from '@quorumkv/internal/cluster'
import { describe, expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

/** Every member's name with its state, the same at every running node, or undefined while they do not agree. */
function agreed(cluster: SimCluster, names: readonly string[]): Record<string, string> | undefined {
  const topologies = names.map((name) => cluster.node(name).topology)
  if (topologies.some((each) => each === undefined || each.epoch !== topologies[0]!.epoch)) return undefined
  for (const each of topologies) expect(each).toEqual(topologies[0])
  return Object.fromEntries(topologies[0]!.members.map(({ id, state }) => [id, state]))
}

async function allMembers(cluster: SimCluster, names: readonly string[], withinMs = 30_000): Promise<void> {
  await cluster.world.runUntil(() => {
    return Object.keys(agreed(cluster, names) ?? {}).length === names.length
  }, withinMs)
}

function clusterIds(cluster: SimCluster, names: readonly string[]): Set<string | undefined> {
  return new Set(names.map((name) => cluster.node(name).topology?.clusterId))
}

/** The node ends, and why. */
async function refused(cluster: SimCluster, name: string, withinMs = 30_000): Promise<string> {
  await cluster.world.runUntil(() => cluster.fatal.has(name), withinMs)
  expect(cluster.fatal.get(name)).toMatchObject({ name: 'FatalError', reason: 'refused' })
  return cluster.fatal.get(name)!.message
}

async function launch(
  cluster: SimCluster,
  name: string,
  peers: readonly string[],
  change: Partial<NodeOptions> = {},
  id: string = name,
): Promise<void> {
  await cluster.settle(cluster.launch(name, peers, id, change))
}

describe('a node that joins', () => {
  test('becomes a member of a cluster that serves, which goes on undisturbed, and takes requests itself', async () => {
    const cluster = await SimCluster.start({ seed: 'join' })
    for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
    await launch(cluster, 'n4', ['n2'])
    const during = Array.from({ length: 200 }, async (_, i) => {
      await cluster.put(`n${(i % 3) + 1}`, `d${i}`, `w${i}`)
    })
    await cluster.settle(cluster.node('n4').ready())
    await cluster.settle(Promise.all(during))
    await allMembers(cluster, ['n1', 'n2', 'n3', 'n4'])
    expect(cluster.node('n4').topology!.members[3]).toMatchObject({ id: 'n4', number: 4, since: 2 })
    await cluster.world.advance(2_000)
    for (let i = 0; i < 20; i++) expect(await cluster.settle(cluster.get('n4', `k${i}`))).toBe(`v${i}`)
    await cluster.settle(cluster.put('n4', 'k', 'through n4'))
    expect(await cluster.settle(cluster.get('n1', 'k'))).toBe('through n4')
    expect(cluster.fatal.size).toBe(0)
  })

  test('that is killed at any moment of its coming comes in all the same', async () => {
    for (const afterMs of [1, 5, 20, 60, 200, 1_000]) {
      const cluster = await SimCluster.start({ seed: `join and die ${afterMs}` })
      await launch(cluster, 'n4', ['n1'])
      await cluster.world.advance(afterMs)
      cluster.crash('n4', { disk: 'lose' })
      cluster.process('n4').restart()
      await launch(cluster, 'n4', ['n1'])
      await cluster.settle(cluster.node('n4').ready())
      await allMembers(cluster, ['n1', 'n2', 'n3', 'n4'])
      expect([cluster.fatal.size, cluster.node('n4').topology!.members.length]).toEqual([0, 4])
    }
  })

  test('waits while there is no majority to take it in, and loses its patience never', async () => {
    const cluster = await SimCluster.start({ seed: 'join without a majority' })
    cluster.crash('n2')
    cluster.crash('n3')
    await launch(cluster, 'n4', ['n1'])
    await cluster.world.advance(60_000)
    expect([cluster.node('n4').phase, cluster.fatal.size]).toEqual(['forming', 0])
    await cluster.restart('n2')
    await cluster.settle(cluster.node('n4').ready())
    await cluster.world.runUntil(() => agreed(cluster, ['n1', 'n2', 'n4'])?.['n4'] !== undefined, 10_000)
  })
})

test('a node that joins may lose its disk at any moment, also with one that is alone: it joins anew', async () => {
  for (const [seed, first] of [
    ['a lone one', ['n1']],
    ['three', ['n1', 'n2', 'n3']],
  ] as const) {
    for (const afterMs of [20, 100, 400, 1_500]) {
      const cluster = await grows(`joiner of ${seed} wiped after ${afterMs}`, first, [])
      for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
      await launch(cluster, 'n4', ['n1'])
      await cluster.world.advance(afterMs)
      const { members } = cluster.node('n1').topology!
      const voted = members.some(({ id, state }) => id === 'n4' && state === 'serving')
      cluster.crash('n4')
      cluster.process('n4').restart()
      cluster.wipe('n4')
      // Two votes, and one of them lost: nobody can help a cluster of two.
      if (voted && first.length === 1) continue
      await launch(cluster, 'n4', ['n1'])
      await cluster.settle(cluster.node('n4').ready())
      await cluster.world.runUntil(() => agreed(cluster, [...first, 'n4'])?.['n4'] === 'serving', 120_000)
      await cluster.allConnected()
      for (let i = 0; i < 20; i++) expect(await cluster.settle(cluster.get('n4', `k${i}`))).toBe(`v${i}`)
      expect(cluster.fatal.size).toBe(0)
    }
  }
})

/** Nodes are started in turns, some of them later. Whatever the lists: one cluster, with all of them. */
async function grows(seed: string, first: readonly string[], turns: readonly (readonly [string, string[]])[][]) {
  const cluster = new SimCluster({ seed, nodes: 0 })
  const names: string[] = []
  for (const turn of [first.map((name) => [name, [...first]] as const), ...turns]) {
    for (const [name, peers] of turn) {
      names.push(name)
      await launch(cluster, name, peers)
    }
    await cluster.settle(Promise.all(turn.map(([name]) => cluster.node(name).ready())))
  }
  await allMembers(cluster, names)
  expect(clusterIds(cluster, names).size).toBe(1)
  expect(cluster.fatal.size).toBe(0)
  return cluster
}

describe('one cluster, and never two', () => {
  test('a single node grows one by one, by whatever member the newcomer knows', async () => {
    await grows('one by one', ['n1'], [[['n2', ['n1']]], [['n3', ['n2', 'n1']]], [['n4', ['n1', 'n4']]]])
  })

  test('several fresh nodes and a member in one list, at once', async () => {
    const list = ['n1', 'n2', 'n3', 'n4']
    await grows('all at once', ['n1'], [['n2', 'n3', 'n4'].map((name) => [name, list] as const)])
  })

  test('fresh nodes of which only one knows a member', async () => {
    await grows(
      'hearsay',
      ['n1'],
      [
        [
          ['n2', ['n2', 'n3']],
          ['n3', ['n1', 'n2']],
        ],
      ],
    )
  })

  test('a fresh node that knows only one who is joining itself', async () => {
    await grows(
      'chain',
      ['n1', 'n2', 'n3'],
      [
        [
          ['n4', ['n1']],
          ['n5', ['n4']],
          ['n6', ['n5']],
        ],
      ],
    )
  })

  test('nodes that are late for the founding join what was founded', async () => {
    for (const afterMs of [1, 10, 50, 300, 2_000]) {
      const cluster = new SimCluster({ seed: `late ${afterMs}` })
      const list = ['n1', 'n2', 'n3']
      for (const name of list) await launch(cluster, name, list)
      await cluster.world.advance(afterMs)
      await launch(cluster, 'n4', ['n3', 'n4'])
      await launch(cluster, 'n5', ['n4', 'n2'])
      const names = [...list, 'n4', 'n5']
      await allMembers(cluster, names)
      expect([clusterIds(cluster, names).size, cluster.fatal.size]).toEqual([1, 0])
    }
  })

  test('a node founded alone that is started with the list of all: the others join it', async () => {
    const cluster = new SimCluster({ seed: 'lone grows' })
    await launch(cluster, 'n1', [])
    await cluster.settle(cluster.node('n1').ready())
    await cluster.settle(cluster.put('n1', 'k', 'v'))
    cluster.crash('n1')
    cluster.process('n1').restart()
    const list = ['n1', 'n2', 'n3']
    for (const name of list) await launch(cluster, name, list)
    await cluster.settle(Promise.all(list.map((name) => cluster.node(name).ready())))
    await allMembers(cluster, list)
    expect([clusterIds(cluster, list).size, cluster.fatal.size]).toEqual([1, 0])
    await cluster.allConnected()
    expect(await cluster.settle(cluster.get('n3', 'k'))).toBe('v')
  })
})

test('nodes that form a cluster where a member of another one was are left alone', async () => {
  const cluster = await SimCluster.start({ seed: 'same address' })
  cluster.crash('n3')
  cluster.process('n3').restart()
  cluster.wipe('n3')
  await launch(cluster, 'n3', ['n3', 'x2'], {}, 'x1')
  await cluster.world.advance(5_000)
  expect(cluster.node('n1').topology!.epoch).toBe(1)
  await launch(cluster, 'x2', ['n3'])
  await cluster.settle(cluster.node('x2').ready())
  expect(cluster.node('x2').topology!.members.map(({ id }) => id)).toEqual(['x1', 'x2'])
  expect(clusterIds(cluster, ['n1', 'x2']).size).toBe(2)
  expect(cluster.fatal.size).toBe(0)
})

test('nobody is taken in who was only called, and has not asked for it', async () => {
  const cluster = await SimCluster.start({ seed: 'called' })
  cluster.crash('n3')
  cluster.process('n3').restart()
  cluster.wipe('n3')
  await launch(cluster, 'n3', ['n3', 'x2'], { advertiseAddress: cluster.address('x1') }, 'x1')
  await cluster.world.advance(5_000)
  expect(cluster.node('n1').topology!.epoch).toBe(1)
  expect([cluster.node('n3').phase, cluster.fatal.size]).toEqual(['forming', 0])
})

describe('a node that cannot join ends with status 6, and says why', () => {
  test('other settings', async () => {
    const cluster = await SimCluster.start({ seed: 'settings' })
    const replication = { replicationFactor: 5, readQuorum: 3, writeQuorum: 3 }
    await launch(cluster, 'n4', ['n1'], { replication })
    expect(await refused(cluster, 'n4')).toMatch(
      /--replication-factor is 5 at n4 and 3 at cluster \w+; --read-quorum is 3 at n4 and 2 at cluster \w+; --write-quorum is 3 at n4/,
    )
  })

  test('the address of another member', async () => {
    const cluster = await SimCluster.start({ seed: 'address' })
    await launch(cluster, 'n4', ['n1'], { advertiseAddress: cluster.address('n2') })
    expect(await refused(cluster, 'n4')).toMatch(/n4 wants to be reached at n2:50051, .* start it with --id n2/)
  })

  test('the id of another member that lives', async () => {
    const cluster = await SimCluster.start({ seed: 'id' })
    await launch(cluster, 'n4', ['n1'], {}, 'n2')
    expect(await refused(cluster, 'n4')).toMatch(/n2 is an id that is alive elsewhere/)
  })

  test('two that come under one name: one of them is taken in', async () => {
    const cluster = await SimCluster.start({ seed: 'twins' })
    await launch(cluster, 'n4', ['n1'])
    await launch(cluster, 'n5', ['n2'], {}, 'n4')
    await cluster.world.runUntil(() => cluster.fatal.size > 0, 30_000)
    const [name] = [...cluster.fatal.keys()]
    expect(await refused(cluster, name!)).toMatch(/n4 is an id that is alive elsewhere/)
    const other = name === 'n4' ? 'n5' : 'n4'
    await cluster.settle(cluster.node(other).ready())
    expect(cluster.node(other).topology!.members.map(({ id }) => id)).toEqual(['n1', 'n2', 'n3', 'n4'])
  })

  test('the data directory of another cluster', async () => {
    const cluster = await SimCluster.start({ seed: 'two clusters' })
    await launch(cluster, 'x1', ['x1', 'x2'])
    await launch(cluster, 'x2', ['x1', 'x2'])
    await cluster.settle(Promise.all(['x1', 'x2'].map((name) => cluster.node(name).ready())))
    await launch(cluster, 'y1', [])
    await cluster.settle(cluster.node('y1').ready())
    cluster.crash('y1')
    cluster.process('y1').restart()
    await launch(cluster, 'y1', ['n1'])
    expect(await refused(cluster, 'y1')).toMatch(
      /the data directory belongs to cluster .* at n1:50051 another node answers/,
    )
    // A fresh node between the two goes to the one that it knows.
    await launch(cluster, 'n4', ['n1'])
    await cluster.settle(cluster.node('n4').ready())
    expect(clusterIds(cluster, ['n1', 'n4']).size).toBe(1)
    expect([...cluster.fatal.keys()]).toEqual(['y1'])
  })
})

describe('a member that is removed', () => {
  async function withFourth(seed: string): Promise<SimCluster> {
    const cluster = await SimCluster.start({ seed })
    await launch(cluster, 'n4', ['n1'])
    await cluster.settle(cluster.node('n4').ready())
    await cluster.allConnected()
    return cluster
  }
  const removal = { kind: 'remove', id: parseNodeId('n4') } as const
  const sentence = /n4 \(incarnation .*\) was removed at epoch \d+ of cluster/

  test('ends with status 6 while it runs, and is told when', async () => {
    const cluster = await withFourth('removed while it runs')
    await cluster.settle(cluster.node('n2').members!.request(removal))
    expect(await refused(cluster, 'n4', 5_000)).toMatch(sentence)
    expect(cluster.node('n2').topology!.members.map(({ id }) => id)).toEqual(['n1', 'n2', 'n3'])
  })

  test('that slept meanwhile is told when it wakes up, each time, and comes in again with an empty directory', async () => {
    const cluster = await withFourth('removed while it slept')
    cluster.crash('n4')
    await cluster.settle(cluster.node('n2').members!.request(removal))
    // To be asked for it again changes nothing.
    await cluster.settle(cluster.node('n3').members!.request(removal))
    for (let i = 0; i < 2; i++) {
      cluster.process('n4').restart()
      await launch(cluster, 'n4', ['n1'])
      expect(await refused(cluster, 'n4', 5_000)).toMatch(sentence)
      cluster.crash('n4')
      cluster.fatal.clear()
    }
    cluster.process('n4').restart()
    cluster.wipe('n4')
    await launch(cluster, 'n4', ['n1'])
    await cluster.settle(cluster.node('n4').ready())
    await cluster.world.runUntil(() => agreed(cluster, ['n1', 'n2', 'n3', 'n4']) !== undefined, 5_000)
    expect(cluster.node('n4').topology!.members[3]).toMatchObject({ number: 5, since: 4 })
    expect(cluster.fatal.size).toBe(0)
  })
})

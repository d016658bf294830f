import { type Incarnation, parseNodeId } from '@quorumkv/internal/base'
import { writeIdentity } from '@quorumkv/internal/store'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

function lost(cluster: SimCluster, name: string): number {
  return cluster.node(name).localStore!.lostCount
}

/** Kills a node and empties its disk; it does not run when this resolves. */
async function crashAndWipe(cluster: SimCluster, name: string): Promise<void> {
  cluster.crash(name)
  cluster.process(name).restart()
  cluster.wipe(name)
}

async function takenBack(cluster: SimCluster, name: string, withinMs = 30_000): Promise<void> {
  await cluster.world.runUntil(() => cluster.node(name).phase === 'serving', withinMs)
}

async function refilled(cluster: SimCluster, name: string): Promise<void> {
  await cluster.world.runUntil(() => lost(cluster, name) === 0, 120_000)
}

function memberOf(cluster: SimCluster, via: string, name: string) {
  return cluster.node(via).topology!.members.find(({ id }) => id === name)!
}

test('a wiped node comes back as a new incarnation, is refilled, and carries what another loses', async () => {
  const cluster = await SimCluster.start({ seed: 'wiped' })
  for (let i = 0; i < 60; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
  const before = memberOf(cluster, 'n1', 'n2')
  await crashAndWipe(cluster, 'n2')
  await cluster.startNode('n2')
  const during = Array.from({ length: 40 }, (_, i) => cluster.put(i % 2 === 0 ? 'n1' : 'n3', `d${i}`, `w${i}`))
  const done = (await cluster.settle(Promise.allSettled(during))).map(({ status }) => status === 'fulfilled')
  await takenBack(cluster, 'n2')
  expect(lost(cluster, 'n2')).toBe(4096)
  await cluster.allConnected()
  for (const via of cluster.names) {
    expect(cluster.node(via).topology!.epoch).toBe(2)
    const now = memberOf(cluster, via, 'n2')
    expect(now.incarnation).not.toBe(before.incarnation)
    expect(now).toMatchObject({ number: 4, since: 2, address: before.address })
  }
  await refilled(cluster, 'n2')
  // Its vote is needed for everything now.
  cluster.crash('n3')
  await cluster.world.advance(3_000)
  for (let i = 0; i < 60; i++) expect(await cluster.settle(cluster.get('n2', `k${i}`))).toBe(`v${i}`)
  for (const [i, ok] of done.entries()) {
    if (ok) expect(await cluster.settle(cluster.get('n1', `d${i}`))).toBe(`w${i}`)
  }
  const { version } = await cluster.settle(cluster.put('n2', 'k1', 'newer'))
  expect(version.node).toBe(4)
  expect(await cluster.settle(cluster.get('n1', 'k1'))).toBe('newer')
  expect(cluster.fatal.size).toBe(0)
})

test('a disk that fails while members are being changed ends the node with that reason', async () => {
  const cluster = await SimCluster.start({ seed: 'votes' })
  cluster.process('n1').drive.faults.failNext('write', { path: 'votes.tmp' })
  await crashAndWipe(cluster, 'n2')
  await cluster.startNode('n2')
  await cluster.world.runUntil(() => cluster.fatal.size > 0, 30_000)
  expect(cluster.fatal.get('n1')).toMatchObject({ name: 'FatalError', reason: 'disk-failed' })
})

test('while another is down as well there is no majority: it waits, and comes back with the other', async () => {
  const cluster = await SimCluster.start({ seed: 'minority' })
  await cluster.settle(cluster.put('n1', 'k', 'v', 'all'))
  cluster.crash('n3')
  await crashAndWipe(cluster, 'n2')
  await cluster.startNode('n2')
  await cluster.world.advance(60_000)
  expect(cluster.node('n2').phase).toBe('forming')
  expect(cluster.node('n1').topology!.epoch).toBe(1)
  expect(cluster.fatal.size).toBe(0)
  await cluster.restart('n3')
  await takenBack(cluster, 'n2')
  await refilled(cluster, 'n2')
  cluster.crash('n1')
  await cluster.world.advance(3_000)
  expect(await cluster.settle(cluster.get('n2', 'k'))).toBe('v')
})

test('two wiped one after the other, in a small and in a larger cluster: nothing acknowledged is lost', async () => {
  for (const nodes of [3, 5]) {
    const cluster = await SimCluster.start({ seed: `two of ${nodes}`, nodes })
    for (let i = 0; i < 30; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
    for (const [n, name] of ['n2', 'n1', 'n2'].entries()) {
      await crashAndWipe(cluster, name)
      await cluster.startNode(name)
      await takenBack(cluster, name)
      await refilled(cluster, name)
      await cluster.allConnected()
      expect(memberOf(cluster, 'n3', name)).toMatchObject({ number: nodes + 1 + n, since: 2 + n })
      for (let i = 0; i < 30; i++) expect(await cluster.settle(cluster.get('n3', `k${i}`))).toBe(`v${i}`)
    }
    expect(cluster.fatal.size).toBe(0)
  }
})

test('a second node of the name of one that lives is sent away, whoever it asks', async () => {
  const cluster = await SimCluster.start({ seed: 'twin' })
  // The one that is asked has no link to it itself.
  cluster.world.network.cut('n1', 'n2')
  cluster.world.network.cut('n2', 'n1')
  await cluster.world.advance(5_000)
  await cluster.world.settle(cluster.launch('twin', ['n1'], 'n2'))
  await cluster.world.runUntil(() => cluster.fatal.has('twin'), 20_000)
  expect(cluster.fatal.get('twin')).toMatchObject({ reason: 'refused' })
  expect(cluster.fatal.get('twin')!.message).toMatch(/n2 is an id that is alive elsewhere: .* linked to n3/)
  expect(cluster.node('n1').topology!.epoch).toBe(1)
})

test('it may come back at another address; its former disk, when it shows up, is refused', async () => {
  const cluster = await SimCluster.start({ seed: 'old disk' })
  for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
  cluster.crash('n2')
  await cluster.world.settle(cluster.launch('spare', ['n1', 'n3'], 'n2'))
  await takenBack(cluster, 'spare')
  await refilled(cluster, 'spare')
  expect(memberOf(cluster, 'n3', 'n2').address).toBe('spare:50051')
  await cluster.settle(cluster.put('n3', 'k0', 'newer'))
  cluster.process('n2').restart()
  await cluster.startNode('n2')
  await cluster.world.runUntil(() => cluster.fatal.has('n2'), 20_000)
  expect(cluster.fatal.get('n2')).toMatchObject({ reason: 'refused' })
  expect(cluster.fatal.get('n2')!.message).toMatch(/of a former life of n2 .* at epoch 2/)
  cluster.crash('n2')
  cluster.crash('n1')
  await cluster.world.advance(3_000)
  expect(await cluster.settle(cluster.get('spare', 'k0'))).toBe('newer')
})

test('the former life that was only cut off ends when it meets the others again, and took no vote with it', async () => {
  const cluster = await SimCluster.start({ seed: 'cut off' })
  await cluster.settle(cluster.put('n1', 'k', 'old', 'all'))
  cluster.world.network.partition([['n2'], ['n1', 'n3', 'spare']])
  await cluster.world.advance(5_000)
  await cluster.world.settle(cluster.launch('spare', ['n1', 'n3'], 'n2'))
  await takenBack(cluster, 'spare')
  await refilled(cluster, 'spare')
  await cluster.settle(cluster.put('spare', 'k', 'new'))
  await expect(cluster.settle(cluster.get('n2', 'k'))).rejects.toMatchObject({ code: 'unavailable' })
  cluster.world.network.heal()
  await cluster.world.runUntil(() => cluster.fatal.has('n2'), 20_000)
  expect(cluster.fatal.get('n2')!.message).toMatch(/of a former life of n2/)
  expect([...cluster.fatal.keys()]).toEqual(['n2'])
})

test('crashes of the newcomer and of those who take it in, at any moment: it comes back all the same', async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const cluster = await SimCluster.start({ seed: `crash ${seed}` })
    const random = cluster.world.random.fork('crashes')
    for (let i = 0; i < 10; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
    await crashAndWipe(cluster, 'n2')
    await cluster.startNode('n2')
    for (let crash = 0; crash < 6; crash++) {
      await cluster.world.advance(random.float() * (crash < 3 ? 300 : 3_000))
      const name = cluster.names[Math.floor(random.float() * 3)]!
      cluster.crash(name, { disk: 'random' })
      cluster.process(name).restart()
      await cluster.world.advance(random.float() * 1_000)
      await cluster.startNode(name)
    }
    await takenBack(cluster, 'n2', 60_000)
    await refilled(cluster, 'n2')
    await cluster.world.advance(3_000)
    const epochs = cluster.names.map((name) => cluster.node(name).topology!.epoch)
    expect(epochs).toEqual([2, 2, 2])
    cluster.crash('n3')
    await cluster.world.advance(3_000)
    for (let i = 0; i < 10; i++) expect(await cluster.settle(cluster.get('n2', `k${i}`))).toBe(`v${i}`)
    expect(cluster.fatal.size).toBe(0)
  }
})

test('a directory that a repair has made a new incarnation is taken back, with what it still holds not counting', async () => {
  const cluster = await SimCluster.start({ seed: 'reborn' })
  await cluster.settle(cluster.put('n1', 'k', 'v'))
  const { clusterId } = cluster.node('n1').topology!
  cluster.crash('n2')
  cluster.process('n2').restart()
  await cluster.lose('n2', [])
  const incarnation = 'f'.repeat(32) as Incarnation
  const { disk } = cluster.process('n2').life
  await cluster.settle(writeIdentity(disk, { nodeId: parseNodeId('n2'), incarnation, clusterId }))
  // Without any peers: it knows its cluster from the topology that it still has.
  await cluster.startNode('n2', [])
  await takenBack(cluster, 'n2')
  expect(lost(cluster, 'n2')).toBe(4096)
  expect(memberOf(cluster, 'n1', 'n2')).toMatchObject({ incarnation, number: 4 })
  await refilled(cluster, 'n2')
  cluster.crash('n1')
  await cluster.world.advance(3_000)
  expect(await cluster.settle(cluster.get('n2', 'k'))).toBe('v')
})

test('whoever took it in dies before it has told the third: the newcomer tells it, and the two go on', async () => {
  const cluster = await SimCluster.start({ seed: 'untold' })
  const { world } = cluster
  await cluster.settle(cluster.put('n1', 'k', 'v', 'all'))
  await crashAndWipe(cluster, 'n2')
  await cluster.startNode('n2', ['n1'])
  await world.runUntil(() => cluster.node('n1').topology!.epoch === 2, 30_000)
  world.network.cutLinks('n1', 'n3')
  world.network.cut('n1', 'n3')
  world.network.cut('n3', 'n1')
  await takenBack(cluster, 'n2')
  cluster.crash('n1')
  expect(cluster.node('n3').topology!.epoch).toBe(1)
  await world.runUntil(() => cluster.node('n3').topology!.epoch === 2, 10_000)
  await cluster.restart('n1')
  world.network.heal()
  await refilled(cluster, 'n2')
})

test('two of five wiped at once are taken in one after the other, each under a number of its own', async () => {
  const replication = { replicationFactor: 5, readQuorum: 3, writeQuorum: 3 }
  const cluster = await SimCluster.start({ seed: 'pair', nodes: 5, replication })
  for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
  for (const name of ['n2', 'n4']) await crashAndWipe(cluster, name)
  for (const name of ['n2', 'n4']) await cluster.startNode(name)
  for (const name of ['n2', 'n4']) await takenBack(cluster, name)
  for (const name of ['n2', 'n4']) await refilled(cluster, name)
  await cluster.allConnected()
  expect(cluster.names.map((name) => cluster.node(name).topology!.epoch)).toEqual([3, 3, 3, 3, 3])
  const numbers = ['n2', 'n4'].map((name) => memberOf(cluster, 'n1', name).number)
  expect(numbers.sort()).toEqual([6, 7])
  for (const name of ['n1', 'n3']) cluster.crash(name)
  await cluster.world.advance(3_000)
  for (let i = 0; i < 20; i++) expect(await cluster.settle(cluster.get('n4', `k${i}`))).toBe(`v${i}`)
  expect(cluster.fatal.size).toBe(0)
})

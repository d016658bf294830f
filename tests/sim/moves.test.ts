import type { Address } from '@quorumkv/internal/base'
import type { Log } from '@quorumkv/internal/env'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

function addressAt(cluster: SimCluster, via: string, name: string): Address | undefined {
  return cluster.node(via).topology?.members.find(({ id }) => id === name)?.address
}

/** The node `name` runs on another machine from now on, with its disk. */
async function move(cluster: SimCluster, name: string, to: string, peers: readonly string[]): Promise<void> {
  const files = cluster.copyDisk(name)
  cluster.crash(name)
  await cluster.putBackDisk(to, files)
  await cluster.settle(cluster.launch(to, peers, name))
}

test('a node that has moved tells the others, keeps all that it had, and serves at its new address', async () => {
  const cluster = await SimCluster.start({ seed: 'move' })
  for (let i = 0; i < 50; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`, 'all'))
  const before = cluster.node('n1').topology!.members[1]!
  await move(cluster, 'n2', 'm2', ['n1'])
  await cluster.settle(cluster.node('m2').ready())
  for (const via of ['n1', 'm2', 'n3']) {
    await cluster.world.runUntil(() => addressAt(cluster, via, 'n2') === 'm2:50051', 10_000)
    expect(cluster.node(via).topology!.members[1]).toEqual({ ...before, address: 'm2:50051' })
  }
  // Its copies are needed for everything now.
  cluster.crash('n3')
  await cluster.world.advance(5_000)
  for (let i = 0; i < 50; i++) expect(await cluster.settle(cluster.get('n1', `k${i}`))).toBe(`v${i}`)
  expect(cluster.fatal.size).toBe(0)
})

test('all nodes move at once: they find each other where they were named, and serve', async () => {
  const cluster = await SimCluster.start({ seed: 'all move' })
  await cluster.settle(cluster.put('n1', 'k', 'v', 'all'))
  const [from, to] = [cluster.names, ['m1', 'm2', 'm3']]
  for (const [i, name] of from.entries()) {
    const files = cluster.copyDisk(name)
    cluster.crash(name)
    await cluster.putBackDisk(to[i]!, files)
  }
  for (const [i, name] of from.entries()) await cluster.settle(cluster.launch(to[i]!, to, name))
  await cluster.settle(Promise.all(to.map((name) => cluster.node(name).ready())))
  await cluster.world.runUntil(() => {
    return from.every((name, i) => to.every((via) => addressAt(cluster, via, name) === `${to[i]}:50051`))
  }, 10_000)
  await cluster.allConnected()
  for (const via of to) expect(await cluster.settle(cluster.get(via, 'k'))).toBe('v')
  expect([cluster.node('m1').topology!.epoch, cluster.fatal.size]).toEqual([4, 0])
})

test('a node that has moved says what it waits for while it does not reach a majority', async () => {
  const told: string[] = []
  const note = (message: string, facts: unknown): number => told.push(`${message} ${JSON.stringify(facts)}`)
  const logOf = (name: string) => ({ debug() {}, info() {}, warn: name === 'm1' ? note : () => 0, error() {} }) as Log
  const cluster = await SimCluster.start({ seed: 'moved alone', logOf })
  cluster.crash('n2')
  cluster.crash('n3')
  await move(cluster, 'n1', 'm1', [])
  await cluster.world.advance(12_000)
  expect(cluster.node('m1').phase).toBe('forming')
  const waits = told.filter((line) => line.startsWith('this node has moved, and serves when a majority'))
  expect(waits).toHaveLength(2)
  expect(waits[0]).toContain('"unreached":["n2@n2:50051","n3@n3:50051"]')
  for (const name of ['n2', 'n3']) await cluster.restart(name)
  await cluster.settle(cluster.node('m1').ready())
})

test('a copy of the data directory of a node that runs is refused, and never serves', async () => {
  const cluster = await SimCluster.start({ seed: 'copy' })
  const files = cluster.copyDisk('n2')
  await cluster.putBackDisk('copy', files)
  await cluster.settle(cluster.launch('copy', ['n1'], 'n2'))
  await cluster.world.runUntil(() => {
    expect(cluster.node('copy').phase).toBe('forming')
    return cluster.fatal.has('copy')
  }, 10_000)
  expect(cluster.fatal.get('copy')).toMatchObject({
    reason: 'refused',
    message: expect.stringMatching(/of n2 is in use twice: a node that runs with it at n2:50051 is linked to n[13]/),
  })
  expect([addressAt(cluster, 'n1', 'n2'), cluster.node('n1').topology!.epoch]).toEqual(['n2:50051', 1])
})

test('the original that comes back after its copy has taken its place is refused', async () => {
  const cluster = await SimCluster.start({ seed: 'original' })
  const files = cluster.copyDisk('n2')
  cluster.crash('n2')
  await cluster.putBackDisk('copy', files)
  await cluster.settle(cluster.launch('copy', ['n1'], 'n2'))
  await cluster.settle(cluster.node('copy').ready())
  cluster.process('n2').restart()
  await cluster.startNode('n2')
  await cluster.world.runUntil(() => cluster.fatal.has('n2'), 10_000)
  expect(cluster.fatal.get('n2')).toMatchObject({
    reason: 'refused',
    message: expect.stringMatching(/is in use twice/),
  })
  expect([addressAt(cluster, 'n1', 'n2'), [...cluster.fatal.keys()]]).toEqual(['copy:50051', ['n2']])
})

test('a node that moves while it joins has others change its address, because it has no vote yet', async () => {
  const cluster = await SimCluster.start({ seed: 'joiner moves' })
  await cluster.settle(cluster.launch('n4', ['n1']))
  await cluster.settle(cluster.node('n4').ready())
  expect(cluster.node('n4').topology!.members[3]!.state).toBe('joining')
  await move(cluster, 'n4', 'm4', ['n2'])
  await cluster.settle(cluster.node('m4').ready())
  expect(addressAt(cluster, 'm4', 'n4')).toBe('m4:50051')
  await cluster.world.runUntil(() => cluster.node('n1').topology!.members[3]?.state === 'serving', 60_000)
  expect([addressAt(cluster, 'n1', 'n4'), cluster.fatal.size]).toEqual(['m4:50051', 0])
})

test.each([
  [
    'two, of three, who were not named to each other',
    [
      ['n1', 'n2'],
      ['n2', 'n1'],
    ],
    ['n3'],
  ],
  [
    'two, of three, who were named to each other',
    [
      ['n1', 'n2'],
      ['n2', 'n1'],
    ],
    ['n1', 'n2', 'n3'],
  ],
  [
    'all three, in a circle',
    [
      ['n1', 'n2'],
      ['n2', 'n3'],
      ['n3', 'n1'],
    ],
    ['n1', 'n2', 'n3'],
  ],
] as const)('members that have changed places serve where they are: %s', async (_, moves, peers) => {
  const cluster = await SimCluster.start({ seed: 'change places' })
  for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`, 'all'))
  const disks = moves.map(([name]) => cluster.copyDisk(name))
  for (const [name] of moves) cluster.crash(name)
  for (const [i, [, to]] of moves.entries()) {
    cluster.process(to).restart()
    await cluster.putBackDisk(to, disks[i]!)
  }
  for (const [name, to] of moves) {
    await cluster.settle(cluster.launch(to, peers, name))
    // They need not be started at the same time.
    await cluster.world.advance(20_000)
  }
  for (const [name, to] of moves) {
    await cluster.settle(cluster.node(to).ready())
    expect([cluster.node(to).id, addressAt(cluster, to, name)]).toEqual([name, cluster.address(to)])
  }
  expect([cluster.fatal.size, cluster.node('n1').topology!.epoch]).toEqual([0, 2])
  await cluster.allConnected()
  for (let i = 0; i < 20; i++) expect(await cluster.settle(cluster.get('n2', `k${i}`))).toBe(`v${i}`)
})

test('the address of another member is refused; without a majority a node that has moved waits', async () => {
  const cluster = await SimCluster.start({ seed: 'move to a neighbour' })
  cluster.crash('n2')
  cluster.process('n2').restart()
  await cluster.settle(cluster.launch('n2', ['n1'], 'n2', { advertiseAddress: cluster.address('n3') }))
  await cluster.world.runUntil(() => cluster.fatal.has('n2'), 20_000)
  expect(cluster.fatal.get('n2')!.message).toMatch(/n3:50051 is the address of the member n3, which runs/)
  expect(cluster.fatal.size).toBe(1)

  const other = await SimCluster.start({ seed: 'move alone' })
  for (const name of ['n1', 'n3']) other.crash(name)
  await move(other, 'n2', 'm2', ['n1'])
  await other.world.advance(30_000)
  expect([other.node('m2').phase, other.fatal.size]).toEqual(['forming', 0])
  other.process('n1').restart()
  await other.startNode('n1')
  await other.settle(other.node('m2').ready())
})

test('a copy of a data directory that was made before its node joined is refused as well, and never serves', async () => {
  const cluster = new SimCluster({ seed: 'copied while it formed', nodes: 4 })
  const three = ['n1', 'n2', 'n3']
  // It has said who it is, and waits for the others.
  await cluster.startNode('n4', ['n1'])
  await cluster.world.advance(1_000)
  const files = cluster.copyDisk('n4')
  for (const name of three) await cluster.startNode(name, three)
  await cluster.world.runUntil(() => {
    return cluster.node('n1').topology?.members.find(({ id }) => id === 'n4')?.state === 'serving'
  }, 60_000)
  await cluster.putBackDisk('copy', files)
  await cluster.settle(cluster.launch('copy', ['n1'], 'n4'))
  await cluster.world.runUntil(() => {
    expect(cluster.node('copy').phase).toBe('forming')
    return cluster.fatal.has('copy')
  }, 30_000)
  expect([...cluster.fatal.keys()]).toEqual(['copy'])
  expect(cluster.fatal.get('copy')!.message).toMatch(/of n4 is in use twice/)
})

import { KvError, parseNodeId } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import { describe, expect, test } from 'vitest'
import { SimCluster, type SimClusterOptions } from './sim-cluster.js'

/** What a node believes about another one. */
function belief(cluster: SimCluster, at: string, about: string): string {
  const node = cluster.node(at)
  const member = node.topology!.members.find(({ id }) => id === about)
  return member === undefined ? 'no member' : node.liveness(member).status
}

/** Until these nodes all believe the same of those. */
async function believed(
  cluster: SimCluster,
  by: readonly string[],
  about: readonly string[],
  status: string,
  withinMs: number,
): Promise<number> {
  const startedMs = cluster.world.nowMs
  await cluster.world.runUntil(
    () => by.every((at) => about.every((name) => at === name || belief(cluster, at, name) === status)),
    withinMs,
  )
  return cluster.world.nowMs - startedMs
}

/** A cluster in which everybody has heard of everybody, with what its nodes log. */
async function start(options: SimClusterOptions): Promise<{ cluster: SimCluster; told: string[] }> {
  const told: string[] = []
  const line = (name: string) => (message: string, facts?: object) => {
    if (message.startsWith('a member ')) told.push(`${name}: ${message} ${JSON.stringify(facts)}`)
  }
  const logOf = (name: string) => ({ debug() {}, info: line(name), warn: line(name), error() {} })
  const cluster = await SimCluster.start({ ...options, logOf })
  await believed(cluster, cluster.names, cluster.names, 'alive', 10_000)
  return { cluster, told }
}

describe('liveness', () => {
  test('a killed node is held for dead by all others within seconds, and for alive again as soon as it is back', async () => {
    const { cluster, told } = await start({ seed: 'killed', nodes: 5 })
    told.length = 0
    cluster.crash('n3', { links: 'silent' })
    const others = ['n1', 'n2', 'n4', 'n5']
    expect(await believed(cluster, others, ['n3'], 'dead', 20_000)).toBeLessThan(12_000)
    await cluster.world.advance(60_000)
    for (const name of others) {
      const own = told.filter((text) => text.startsWith(name) && text.includes('n3'))
      expect(own.map((text) => text.slice(4, -1).replace(/ \{.*/, ''))).toEqual([
        'a member is suspected to be dead',
        'a member is held for dead',
      ])
    }
    const n3 = cluster.node('n1').topology!.members[2]!
    expect(cluster.node('n1').liveness(n3).forMs).toBeGreaterThan(50_000)
    await cluster.restart('n3')
    expect(await believed(cluster, cluster.names, cluster.names, 'alive', 10_000)).toBeLessThan(3_000)
    expect(told.filter((text) => text.includes('a member is back'))).toHaveLength(4)
  })

  test('a node that stops in order says so', async () => {
    const { cluster } = await start({ seed: 'stopped', nodes: 3 })
    const stopped = cluster.node('n2').stop(1_000)
    expect(await believed(cluster, ['n1', 'n3'], ['n2'], 'left', 2_000)).toBeLessThan(500)
    await cluster.settle(stopped)
  })

  test('a node that stands still accuses nobody, and what it is accused of ends when it goes on', async () => {
    const { cluster, told } = await start({ seed: 'still', nodes: 5 })
    told.length = 0
    cluster.process('n2').pause()
    await cluster.world.advance(30_000)
    expect(belief(cluster, 'n1', 'n2')).toBe('dead')
    cluster.process('n2').resume()
    expect(await believed(cluster, cluster.names, cluster.names, 'alive', 10_000)).toBeLessThan(3_000)
    await cluster.world.advance(30_000)
    expect(told.filter((text) => text.startsWith('n2: '))).toEqual([])
    expect(told.filter((text) => !text.includes('"n2"'))).toEqual([])
  })

  test('the halves of a healed partition find each other by themselves', async () => {
    const { cluster } = await start({ seed: 'halves', nodes: 5 })
    const [left, right] = [
      ['n1', 'n2'],
      ['n3', 'n4', 'n5'],
    ] as const
    cluster.world.network.partition([left, right])
    await believed(cluster, left, right, 'dead', 120_000)
    await believed(cluster, right, left, 'dead', 120_000)
    await cluster.world.advance(600_000)
    cluster.world.network.heal()
    expect(await believed(cluster, cluster.names, cluster.names, 'alive', 60_000)).toBeLessThan(15_000)
  })

  test('a dead member is remembered for as long as it is one, and forgotten when it is none', async () => {
    const { cluster } = await start({ seed: 'remembered', nodes: 4, replaceAfterMs: 0 })
    cluster.crash('n4', { links: 'silent' })
    const others = ['n1', 'n2', 'n3']
    await believed(cluster, others, ['n4'], 'dead', 30_000)
    await cluster.world.advance(3_600_000)
    expect(others.map((name) => belief(cluster, name, 'n4'))).toEqual(['dead', 'dead', 'dead'])
    await cluster.settle(
      cluster.node('n1').members!.request({ kind: 'remove', id: cluster.node('n1').topology!.members[3]!.id }),
    )
    await believed(cluster, others, ['n4'], 'no member', 120_000)
  })

  test('a node that comes back at another address is found there', async () => {
    const { cluster } = await start({ seed: 'moved', nodes: 3 })
    cluster.crash('n3')
    await believed(cluster, ['n1', 'n2'], ['n3'], 'dead', 30_000)
    const moved: Node = await moveTo(cluster, 'n3', 50_077)
    await cluster.settle(moved.ready())
    expect(await believed(cluster, ['n1', 'n2'], ['n3'], 'alive', 20_000)).toBeLessThan(10_000)
    await believed(cluster, ['n3'], ['n1', 'n2'], 'alive', 10_000)
  })

  test('a node that was cut off during a change learns of it though it has links for gossip only', async () => {
    let blocked = false
    const { cluster } = await start({
      seed: 'missed',
      nodes: 5,
      networkOf: (name, network) => ({
        listen: (address, accept) => network.listen(address, accept),
        connect: (address, channel, timeoutMs) => {
          const passes = !blocked || channel === 'gossip' || (name !== 'n5' && !address.startsWith('n5'))
          return passes
            ? network.connect(address, channel, timeoutMs)
            : Promise.reject(new KvError('unavailable', `no way for ${channel}`))
        },
      }),
    })
    blocked = true
    cluster.world.network.partition([['n5'], ['n1', 'n2', 'n3', 'n4']])
    await cluster.world.advance(5_000)
    const change = { kind: 'reweight', id: parseNodeId('n1'), weight: 2 } as const
    await cluster.settle(cluster.node('n2').members!.request(change))
    const others = ['n1', 'n2', 'n3', 'n4']
    const epochOf = (name: string): number => cluster.node(name).topology!.epoch
    await cluster.world.runUntil(() => others.every((name) => epochOf(name) > 1), 30_000)
    await cluster.world.advance(60_000)
    expect(epochOf('n5')).toBe(1)
    cluster.world.network.heal()
    await cluster.world.runUntil(() => epochOf('n5') === epochOf('n1'), 30_000)
    expect(cluster.node('n5').linked(parseNodeId('n1'))).toBe(false)
  })

  test('a node that joins is watched like the others, and watches them', async () => {
    const { cluster } = await start({ seed: 'newcomer', nodes: 3 })
    await cluster.startNode('n4', ['n1'])
    await cluster.settle(cluster.node('n4').ready())
    const all = [...cluster.names, 'n4']
    await believed(cluster, all, all, 'alive', 10_000)
    await cluster.world.runUntil(() => cluster.node('n4').topology!.members[3]!.state === 'serving', 60_000)
    cluster.crash('n1', { links: 'silent' })
    await believed(cluster, ['n4'], ['n1'], 'dead', 20_000)
    cluster.crash('n4', { links: 'silent' })
    await believed(cluster, ['n2', 'n3'], ['n4'], 'dead', 60_000)
  })

  test('a quiet cluster says little', async () => {
    const sent = new Map<string, number>()
    const { cluster } = await start({
      seed: 'quiet',
      nodes: 5,
      networkOf: (name, network) => ({
        ...network,
        listen: (address, accept) => network.listen(address, accept),
        connect: async (address, channel, timeoutMs) => {
          const link = await network.connect(address, channel, timeoutMs)
          if (channel !== 'gossip') return link
          const counted = Object.create(link) as typeof link
          counted.start = (handlers) => link.start(handlers)
          counted.close = (reason) => link.close(reason)
          counted.send = (message) => {
            sent.set(name, (sent.get(name) ?? 0) + 1)
            return link.send(message)
          }
          return counted
        },
      }),
    })
    sent.clear()
    await cluster.world.advance(120_000)
    for (const name of cluster.names) {
      const perSecond = (sent.get(name) ?? 0) / 120
      expect(perSecond).toBeGreaterThan(0.2)
      expect(perSecond).toBeLessThan(4)
    }
  })
})

function moveTo(cluster: SimCluster, name: string, port: number): Promise<Node> {
  cluster.process(name).restart()
  const listenAddress = `${name}:${port}` as ReturnType<SimCluster['address']>
  return cluster.settle(cluster.launch(name, cluster.names, name, { listenAddress }))
}

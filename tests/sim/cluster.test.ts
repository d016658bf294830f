import { type KvError, parseNodeId } from '@quorumkv/internal/base'
import { compareVersions, hlcMs } from '@quorumkv/internal/hlc'
import { describe, expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

async function outcomeOf(promise: Promise<unknown>): Promise<KvError | 'done'> {
  try {
    await promise
    return 'done'
  } catch (error) {
    return error as KvError
  }
}

describe('formation', () => {
  test('three nodes with the same list become one cluster; what one takes the others give', async () => {
    const cluster = await SimCluster.start({ seed: 'form' })
    const ids = ['n1', 'n2', 'n3'].map((name) => cluster.node(name).topology!)
    expect(new Set(ids.map(({ clusterId }) => clusterId)).size).toBe(1)
    expect(ids[0]!.members.map(({ id, number }) => [id, number])).toEqual([
      ['n1', 1],
      ['n2', 2],
      ['n3', 3],
    ])
    const { acks } = await cluster.settle(cluster.put('n1', 'hello', 'world'))
    expect(acks).toBeGreaterThanOrEqual(2)
    expect(await cluster.settle(cluster.get('n3', 'hello'))).toBe('world')
  })

  test.each([1, 2, 3, 4, 5, 6])('in any order and with gaps, one cluster (seed %i)', async (seed) => {
    const cluster = new SimCluster({ seed, nodes: 4 })
    const names = ['n1', 'n2', 'n3', 'n4']
    const random = cluster.world.random.fork('order')
    while (names.length > 0) {
      const [name] = names.splice(random.u32() % names.length, 1)
      await cluster.startNode(name!)
      await cluster.world.advance(random.float() * 3_000)
    }
    await cluster.allReady()
    const clusters = ['n1', 'n2', 'n3', 'n4'].map((name) => cluster.node(name).topology!.clusterId)
    expect(new Set(clusters).size).toBe(1)
  })

  test('a node without peers serves alone, and takes in one that it was named to', async () => {
    const cluster = new SimCluster({ seed: 'alone' })
    await cluster.startNode('n1', [])
    await cluster.allReady()
    await cluster.settle(cluster.put('n1', 'a', '1'))
    expect(await cluster.settle(cluster.get('n1', 'a', 'all'))).toBe('1')
    await cluster.startNode('n2', ['n1'])
    await cluster.settle(cluster.node('n2').ready())
    expect(cluster.node('n2').topology!.members.map(({ id }) => id)).toEqual(['n1', 'n2'])
    expect(cluster.fatal.size).toBe(0)
    expect(await cluster.settle(cluster.get('n1', 'a'))).toBe('1')
  })

  test('nothing is founded while a named node is missing, and a crash while forming does no harm', async () => {
    const cluster = new SimCluster({ seed: 'missing' })
    await cluster.startNode('n1')
    await cluster.startNode('n2')
    await cluster.world.advance(20_000)
    expect(cluster.node('n1').phase).toBe('forming')
    expect(await outcomeOf(cluster.settle(cluster.put('n1', 'a', '1')))).toMatchObject({
      code: 'unavailable',
      outcome: 'not-applied',
    })
    cluster.crash('n1', { disk: 'random' })
    cluster.process('n1').restart()
    await cluster.startNode('n1')
    await cluster.startNode('n3')
    await cluster.allReady()
    const clusters = ['n1', 'n2', 'n3'].map((name) => cluster.node(name).topology!.clusterId)
    expect(new Set(clusters).size).toBe(1)
  })
})

describe('with one of three nodes gone', () => {
  test('reads and writes go on at once, the loss is seen within 2 s, and reads repair it after its return', async () => {
    const cluster = await SimCluster.start({ seed: 'one-down' })
    for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, 'before'))
    cluster.crash('n3', { disk: 'lose', links: 'silent' })
    const startedMs = cluster.world.nowMs
    for (let i = 0; i < 20; i++) {
      const beforeMs = cluster.world.nowMs
      await cluster.settle(cluster.put(i % 2 === 0 ? 'n1' : 'n2', `k${i}`, 'after'))
      expect(await cluster.settle(cluster.get(i % 2 === 0 ? 'n2' : 'n1', `k${i}`))).toBe('after')
      expect(cluster.world.nowMs - beforeMs).toBeLessThan(200)
    }
    await cluster.world.runUntil(() => !cluster.node('n1').linked(parseNodeId('n3')), 10_000)
    expect(cluster.world.nowMs - startedMs).toBeLessThan(2_000)

    await cluster.restart('n3')
    await cluster.allConnected()
    for (let i = 0; i < 20; i++) expect(await cluster.settle(cluster.get('n3', `k${i}`))).toBe('after')
    await cluster.world.advance(1_000)
    for (let i = 0; i < 20; i++) expect(await cluster.settle(cluster.get('n3', `k${i}`, 'one'))).toBe('after')
  })

  test('a node that hangs slows nobody for longer than a moment', async () => {
    const cluster = await SimCluster.start({ seed: 'hang' })
    for (let i = 0; i < 10; i++) await cluster.settle(cluster.put('n1', `k${i}`, 'v'))
    cluster.process('n2').pause()
    for (let i = 0; i < 50; i++) {
      const beforeMs = cluster.world.nowMs
      expect(await cluster.settle(cluster.get('n1', `k${i % 10}`))).toBe('v')
      await cluster.settle(cluster.put('n3', `k${i % 10}`, 'v'))
      expect(cluster.world.nowMs - beforeMs).toBeLessThan(200)
    }
    cluster.process('n2').resume()
    await cluster.allConnected()
    expect(await cluster.settle(cluster.get('n2', 'k1', 'all'))).toBe('v')
  })

  test('two of three gone: quorum is refused at once, level one still answers', async () => {
    const cluster = await SimCluster.start({ seed: 'two-down' })
    await cluster.settle(cluster.put('n1', 'a', '1', 'all'))
    cluster.crash('n2')
    cluster.crash('n3')
    await cluster.world.advance(2_000)
    const beforeMs = cluster.world.nowMs
    const refused = await outcomeOf(cluster.settle(cluster.put('n1', 'a', '2')))
    expect(refused).toMatchObject({ code: 'unavailable', outcome: 'not-applied' })
    expect(await outcomeOf(cluster.settle(cluster.get('n1', 'a')))).toMatchObject({ code: 'unavailable' })
    expect(cluster.world.nowMs - beforeMs).toBeLessThan(100)
    expect(await cluster.settle(cluster.get('n1', 'a', 'one'))).toBe('1')
  })
})

test('a node cut off from the others refuses quorum, the others go on, and after healing it gives their value', async () => {
  const cluster = await SimCluster.start({ seed: 'partition' })
  await cluster.settle(cluster.put('n1', 'a', 'before'))
  cluster.world.network.partition([['n1'], ['n2', 'n3']])
  await cluster.world.advance(3_000)
  expect(await outcomeOf(cluster.settle(cluster.put('n1', 'a', 'minority')))).toMatchObject({ outcome: 'not-applied' })
  await cluster.settle(cluster.put('n2', 'a', 'majority'))
  cluster.world.network.heal()
  await cluster.allConnected()
  expect(await cluster.settle(cluster.get('n1', 'a'))).toBe('majority')
})

describe('power cuts', () => {
  test.each([1, 2, 3, 4, 5])(
    'all nodes lose power at once: every acknowledged write is there (seed %i)',
    async (seed) => {
      const cluster = await SimCluster.start({ seed })
      const acknowledged = new Map<string, string>()
      for (let i = 0; i < 120; i++) {
        const [key, value] = [`k${i % 40}`, `v${i}`]
        const via = `n${(i % 3) + 1}`
        cluster.put(via, key, value).then(
          () => acknowledged.set(key, value),
          () => acknowledged.delete(key), // of unknown fate: either value is right
        )
        if (i % 7 === 6) await cluster.world.advance(2)
      }
      await cluster.world.advance(cluster.world.random.fork('cut').float() * 6)
      const before = new Map(acknowledged)
      for (const name of ['n1', 'n2', 'n3']) cluster.crash(name, { disk: 'random' })
      for (const name of ['n1', 'n2', 'n3']) await cluster.restart(name)
      await cluster.allConnected()
      expect(before.size).toBeGreaterThan(0)
      for (const [key, value] of before) {
        const found = await cluster.settle(cluster.get('n1', key))
        expect(Number(found!.slice(1))).toBeGreaterThanOrEqual(Number(value.slice(1)))
      }
      expect(cluster.fatal.size).toBe(0)
    },
  )
})

describe('clocks', () => {
  test('a later write gets the higher version although its node is behind', async () => {
    const cluster = await SimCluster.start({ seed: 'skew' })
    cluster.process('n1').time.setSkewMs(4_000)
    await cluster.world.advance(3_000)
    let last = await cluster.settle(cluster.put('n1', 'a', 'first'))
    cluster.process('n1').time.setSkewMs(-4_000)
    for (const via of ['n2', 'n3', 'n1', 'n2']) {
      const next = await cluster.settle(cluster.put(via, 'a', via))
      expect(compareVersions(next.version, last.version)).toBeGreaterThan(0)
      last = next
    }
    expect(await cluster.settle(cluster.get('n3', 'a'))).toBe('n2')
  })

  test('a node whose clock is set back while it is down gives no stamp twice', async () => {
    const cluster = await SimCluster.start({ seed: 'set-back', nodes: 5 })
    const before = []
    for (let i = 0; i < 30; i++) before.push((await cluster.settle(cluster.put('n1', `k${i}`, 'v'))).version)
    cluster.crash('n1')
    cluster.process('n1').time.setSkewMs(-6_000)
    await cluster.restart('n1')
    await cluster.allConnected()
    for (let i = 0; i < 30; i++) {
      const { version } = await cluster.settle(cluster.put('n1', `other${i}`, 'v'))
      for (const earlier of before) expect(compareVersions(version, earlier)).toBeGreaterThan(0)
    }
  })
})

test('a node whose clock is hours ahead is refused and moves nobody; the others go on', async () => {
  const cluster = await SimCluster.start({ seed: 'poison' })
  cluster.process('n3').time.setSkewMs(8 * 3_600_000)
  await cluster.world.advance(5_000)
  const limitMs = cluster.process('n1').clock.wallMs() + 10_000
  for (const via of ['n1', 'n2']) {
    const { version } = await cluster.settle(cluster.put(via, 'a', via))
    expect(hlcMs(version)).toBeLessThan(limitMs)
  }
  expect(await outcomeOf(cluster.settle(cluster.put('n3', 'a', 'poison')))).not.toBe('done')
  expect(await cluster.settle(cluster.get('n1', 'a'))).toBe('n2')
})

test('an expired key is gone on every node alike, and stays so', async () => {
  const cluster = await SimCluster.start({ seed: 'ttl' })
  const { clock } = cluster.process('n1')
  const options = { consistency: 'quorum' as const, deadlineMs: clock.monotonicMs() + 5_000, ttlMs: 60_000 }
  await cluster.settle(cluster.node('n1').put(Buffer.from('a'), Buffer.from('1'), options))
  expect(await cluster.settle(cluster.get('n2', 'a'))).toBe('1')
  await cluster.world.advance(61_000)
  for (const via of ['n1', 'n2', 'n3']) expect(await cluster.settle(cluster.get(via, 'a'))).toBeUndefined()
  expect((await cluster.settle(cluster.delete('n1', 'a'))).existed).toBe(false)
})

test('a scan through any node gives every live key once, also with a node down', async () => {
  const cluster = await SimCluster.start({ seed: 'scan' })
  const expected = new Map<string, string>()
  for (let i = 0; i < 150; i++) {
    await cluster.settle(cluster.put(`n${(i % 3) + 1}`, `user:${i}`, `v${i}`))
    expected.set(`user:${i}`, `v${i}`)
  }
  await cluster.settle(cluster.put('n1', 'other', 'x'))
  for (let i = 0; i < 150; i += 5) {
    expect((await cluster.settle(cluster.delete('n2', `user:${i}`))).existed).toBe(true)
    expected.delete(`user:${i}`)
  }
  expect(await cluster.scan('n3', 'user:', 37)).toEqual(expected)
  cluster.crash('n1')
  expect(await cluster.scan('n2', 'user:', 64)).toEqual(expected)
})

test('the same seed twice is the same run, event for event', async () => {
  const play = async (seed: string): Promise<string> => {
    const cluster = await SimCluster.start({ seed })
    for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, 'v'))
    cluster.crash('n2')
    for (let i = 0; i < 20; i++) await cluster.settle(cluster.get('n3', `k${i}`))
    await cluster.restart('n2')
    await cluster.allConnected()
    return cluster.world.hash
  }
  const first = await play('twice')
  expect(await play('twice')).toBe(first)
  expect(await play('thrice')).not.toBe(first)
})

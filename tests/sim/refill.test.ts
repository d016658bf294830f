import type { KvError } from '@quorumkv/internal/base'
import type { Channel, LinkHandlers, Network } from '@quorumkv/internal/env'
import { slotOf } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

const names = ['n1', 'n2', 'n3']

async function outcomeOf(promise: Promise<unknown>): Promise<KvError | 'done'> {
  return await promise.then(
    () => 'done' as const,
    (reason: KvError) => reason,
  )
}

async function failure(promise: Promise<unknown>): Promise<KvError> {
  const error = await outcomeOf(promise)
  if (error === 'done') throw new Error('it succeeded')
  return error
}

function lost(cluster: SimCluster, name: string): number {
  return cluster.node(name).localStore!.lostCount
}

/** Crashes a node and takes its records away; it does not run when this resolves. */
async function crashAndLose(cluster: SimCluster, name: string): Promise<void> {
  cluster.crash(name)
  cluster.process(name).restart()
  await cluster.lose(name)
}

async function startAgain(cluster: SimCluster, name: string): Promise<void> {
  const node = await cluster.startNode(name)
  await cluster.settle(node.ready())
}

test('a node that has lost everything gets it back, and votes again', async () => {
  const cluster = await SimCluster.start({ seed: 'refill' })
  for (let i = 0; i < 60; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
  await cluster.settle(cluster.delete('n1', 'k7'))
  await crashAndLose(cluster, 'n2')
  await startAgain(cluster, 'n2')
  expect(lost(cluster, 'n2')).toBe(4096)
  // It serves from the start, with what the others know, even where it alone is asked.
  await cluster.allConnected()
  for (const level of ['one', 'quorum'] as const) {
    expect(await cluster.settle(cluster.get('n2', 'k1', level))).toBe('v1')
    expect(await cluster.settle(cluster.get('n2', 'k7', level))).toBeUndefined()
  }
  const during = Array.from({ length: 40 }, (_, i) => cluster.put(names[i % 3]!, `d${i}`, `w${i}`))
  await cluster.settle(Promise.all(during))
  await cluster.world.runUntil(() => lost(cluster, 'n2') === 0, 120_000)
  expect(cluster.node('n2').status().refillObstacle).toBe('')
  // With one of the others away its vote is needed for everything.
  cluster.crash('n3')
  await cluster.world.advance(3_000)
  for (let i = 0; i < 60; i++) {
    expect(await cluster.settle(cluster.get('n2', `k${i}`))).toBe(i === 7 ? undefined : `v${i}`)
  }
  for (let i = 0; i < 40; i++) expect(await cluster.settle(cluster.get('n1', `d${i}`))).toBe(`w${i}`)
  await cluster.settle(cluster.put('n2', 'k1', 'newer'))
  expect(await cluster.settle(cluster.get('n1', 'k1'))).toBe('newer')
})

test('what only the lost one and one other had acknowledged is not outvoted by the third', async () => {
  const cluster = await SimCluster.start({ seed: 'outvoted' })
  const keys = Array.from({ length: 30 }, (_, i) => `k${i}`)
  for (const key of keys) await cluster.settle(cluster.put('n1', key, 'old', 'all'))
  cluster.crash('n3')
  for (const key of keys) await cluster.settle(cluster.put('n1', key, 'new'))
  await crashAndLose(cluster, 'n2')
  await cluster.restart('n3')
  await startAgain(cluster, 'n2')
  await cluster.allConnected()
  // Whom n3 asks beside itself differs from key to key.
  for (const [i, key] of keys.entries()) {
    expect(await cluster.settle(cluster.get(i % 2 === 0 ? 'n3' : 'n2', key))).toBe('new')
  }
})

test('with the one that knows away, the lost one and the lagging one are no quorum: unavailable, never the old value', async () => {
  const cluster = await SimCluster.start({ seed: 'away' })
  await cluster.settle(cluster.put('n1', 'k', 'old', 'all'))
  cluster.crash('n3')
  await cluster.settle(cluster.put('n1', 'k', 'new'))
  await crashAndLose(cluster, 'n2')
  cluster.crash('n1')
  await cluster.restart('n3')
  await startAgain(cluster, 'n2')
  await cluster.allConnected()
  for (const via of ['n2', 'n3']) {
    const read = await failure(cluster.settle(cluster.get(via, 'k')))
    expect(read.code).toBe('unavailable')
    expect(read.message).toMatch(/slot \d+ is lost and being refilled on 1 of 3 owners/)
    const write = await failure(cluster.settle(cluster.put(via, 'k', 'newest')))
    expect(write.code).toBe('unavailable')
  }
  await cluster.world.advance(30_000)
  expect(lost(cluster, 'n2')).toBe(4096)
  expect(cluster.node('n2').status().refillObstacle).toContain('n1')
  // It comes back: the refill goes on by itself.
  await cluster.restart('n1')
  await cluster.world.runUntil(() => lost(cluster, 'n2') === 0, 120_000)
  cluster.crash('n1')
  await cluster.world.advance(3_000)
  // The value, or one of the writes whose outcome was left open.
  expect(['new', 'newest']).toContain(await cluster.settle(cluster.get('n2', 'k')))
})

test('two that have lost the same are not refilled from the third alone', async () => {
  const cluster = await SimCluster.start({ seed: 'two' })
  await cluster.settle(cluster.put('n1', 'k', 'v'))
  for (const name of ['n1', 'n2']) await crashAndLose(cluster, name)
  for (const name of ['n1', 'n2']) await startAgain(cluster, name)
  await cluster.allConnected()
  await cluster.world.advance(60_000)
  for (const name of ['n1', 'n2']) {
    expect(lost(cluster, name)).toBe(4096)
    expect(cluster.node(name).status().refillObstacle).toMatch(/has lost it too/)
  }
  for (const via of names) {
    expect((await failure(cluster.settle(cluster.get(via, 'k')))).code).toBe('unavailable')
    // One copy is left: at level one it is given, by whoever is asked, and nothing is called absent.
    expect(await cluster.settle(cluster.get(via, 'k', 'one'))).toBe('v')
  }
})

test('a node on its own that has lost a slot refuses it, and names what is left to do', async () => {
  const cluster = await SimCluster.start({ seed: 'alone', nodes: 1 })
  await cluster.settle(cluster.put('n1', 'k', 'v'))
  await crashAndLose(cluster, 'n1')
  await startAgain(cluster, 'n1')
  const read = await failure(cluster.settle(cluster.get('n1', 'k')))
  expect(read.message).toMatch(/slot \d+ is lost on its only owner.*kv-server repair --accept-loss/)
  const write = await failure(cluster.settle(cluster.put('n1', 'k', 'w')))
  expect(write).toMatchObject({ code: 'unavailable', outcome: 'not-applied' })
  expect(write.message).toMatch(/slot \d+ is lost on its only owner/)
  await cluster.world.advance(1_000)
  expect(cluster.node('n1').status().refillObstacle).toMatch(/no other owner/)
})

test('a refill that is interrupted goes on where it was', async () => {
  const cluster = await SimCluster.start({ seed: 'interrupted' })
  for (let i = 0; i < 30; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
  await crashAndLose(cluster, 'n2')
  await startAgain(cluster, 'n2')
  await cluster.world.runUntil(() => lost(cluster, 'n2') < 3_000, 120_000)
  cluster.crash('n2')
  await cluster.restart('n2')
  expect(lost(cluster, 'n2')).toBeLessThan(3_000)
  expect(lost(cluster, 'n2')).toBeGreaterThan(0)
  await cluster.world.runUntil(() => lost(cluster, 'n2') === 0, 120_000)
  cluster.crash('n1')
  await cluster.world.advance(3_000)
  for (let i = 0; i < 30; i++) expect(await cluster.settle(cluster.get('n2', `k${i}`))).toBe(`v${i}`)
})

test('an answer of the life that lost the write is not half of a quorum with one that comes after the refill', async () => {
  const cluster = await SimCluster.start({ seed: 'late', nodes: 4 })
  const { network } = cluster.world
  // A key that n4 coordinates without owning it.
  const table = cluster.node('n4').slotTable!
  const keys = Array.from({ length: 1_000 }, (_, i) => `key ${i}`)
  const key = keys.find((each) => !table.ownsSlot(3, slotOf(Buffer.from(each))))!
  const slot = slotOf(Buffer.from(key))
  await cluster.settle(cluster.put('n1', key, 'old', 'all'))
  // The write reaches n2 and is acknowledged there; to n1 it is on its way for a while, and n3 does not get it.
  network.cut('n4', 'n1')
  network.cut('n4', 'n3')
  const writing = outcomeOf(cluster.put('n4', key, 'new'))
  await cluster.world.advance(20)
  cluster.crash('n2', { links: 'silent' })
  cluster.process('n2').restart()
  await cluster.lose('n2', [slot])
  await startAgain(cluster, 'n2')
  await cluster.world.advance(900)
  network.cutLinks('n4', 'n3')
  network.heal()
  const outcome = await cluster.settle(writing)
  await cluster.world.runUntil(() => lost(cluster, 'n2') === 0, 120_000)
  // Had it been acknowledged with the forgotten answer, n2 and n3 would now be a quorum that has never heard of it.
  cluster.crash('n1')
  const seen = await cluster.settle(cluster.get('n3', key))
  if (outcome === 'done') expect(seen).toBe('new')
  else expect(outcome.outcome).toBe('unknown')
})

test('what another owner was writing when it was told to forget is on its disk before it is read for a refill', async () => {
  const cluster = await SimCluster.start({ seed: 'under way' })
  await cluster.settle(cluster.put('n1', 'k', 'before'))
  await crashAndLose(cluster, 'n2')
  const { faults } = cluster.process('n3').drive
  faults.setExtraDelayMs(20_000)
  const writing = outcomeOf(cluster.put('n1', 'k', 'under way', 'quorum', 60_000))
  await cluster.world.advance(100)
  faults.setExtraDelayMs(0)
  await startAgain(cluster, 'n2')
  await cluster.world.runUntil(() => lost(cluster, 'n2') === 0, 60_000)
  const { value } = cluster.node('n3').localStore!.get(Buffer.from('k'))!
  expect(Buffer.from(value).toString()).toBe('under way')
  await cluster.settle(writing)
})

test('pages travel over links of their own, which are there only while something is refilled', async () => {
  const open = new Map<Channel, number>()
  let bulkBytes = 0
  const networkOf = (_: string, network: Network): Network => ({
    listen: (address, accept) => network.listen(address, accept),
    connect: async (address, channel, timeoutMs) => {
      const link = await network.connect(address, channel, timeoutMs)
      open.set(channel, (open.get(channel) ?? 0) + 1)
      const start = (handlers: LinkHandlers): void => {
        const close = (reason: string): void => {
          open.set(channel, open.get(channel)! - 1)
          handlers.close(reason)
        }
        const message = (bytes: Uint8Array): void => {
          if (channel === 'bulk') bulkBytes += bytes.length
          handlers.message(bytes)
        }
        link.start({ message, drain: () => handlers.drain(), close })
      }
      const send = (bytes: Uint8Array): boolean => link.send(bytes)
      return { remote: link.remote, proved: link.proved, start, send, close: (reason) => link.close(reason) }
    },
  })
  const cluster = await SimCluster.start({ seed: 'bulk', networkOf })
  const keys = Array.from({ length: 80 }, (_, i) => `k${i}`)
  for (const key of keys) await cluster.settle(cluster.put('n1', key, key.repeat(200)))
  expect(open.get('bulk')).toBeUndefined()
  await crashAndLose(cluster, 'n2')
  await startAgain(cluster, 'n2')
  await cluster.world.runUntil(() => open.get('bulk') === 2, 60_000)
  await cluster.world.runUntil(() => lost(cluster, 'n2') === 0, 120_000)
  await cluster.world.advance(1_000)
  expect(open.get('bulk')).toBe(0)
  // Both others' copies of it.
  const contents = keys.reduce((sum, key) => sum + 201 * key.length, 0)
  expect(bulkBytes).toBeGreaterThan(1.5 * contents)
})

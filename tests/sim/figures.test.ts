import { limits, type NodeEvent, type NodeId } from '@quorumkv/internal/base'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

function eventsOf(cluster: SimCluster, name: string): NodeEvent[] {
  return cluster.node(name).instruments.events.after(0)
}

/** `kind subject` of those that a node has told, one behind the other. */
function told(cluster: SimCluster, name: string, kinds: readonly string[]): string[] {
  const wanted = eventsOf(cluster, name).filter(({ kind }) => kinds.includes(kind))
  return wanted.map(({ kind, subject }) => `${kind} ${subject}`)
}

test('the figures of three nodes tell what happened to them: operations, a member away and back, its hints', async () => {
  const cluster = await SimCluster.start({ seed: 'figures' })
  const [n1, n2] = ['n1', 'n2'].map((name) => cluster.node(name).instruments)
  for (let i = 0; i < 40; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`, 'all'))
  await cluster.settle(cluster.delete('n1', 'k0'))
  await cluster.world.advance(3_000)
  expect(n1!.coordinated.put).toMatchObject({ count: 40, errors: 0 })
  expect(n1!.coordinated.delete).toMatchObject({ count: 1, errors: 0 })
  // Its own part of an operation counts with the operation.
  expect([n1!.served.put.count, n2!.served.put.count, n2!.served.delete.count]).toEqual([0, 40, 1])
  expect(n2!.coordinated.put.count).toBe(0)
  expect(n1!.fdatasyncs).toBeGreaterThan(0)
  expect(n1!.gossipSent).toBeGreaterThan(0)
  expect(n1!.member('n3' as NodeId).rttUs).toBeGreaterThan(0)

  cluster.crash('n3')
  for (let i = 0; i < 10; i++) await cluster.settle(cluster.put('n1', `k${i}`, `w${i}`))
  await cluster.world.advance(30_000)
  expect(told(cluster, 'n1', ['suspected', 'dead'])).toEqual(['suspected n3', 'dead n3'])
  expect(n1!.member('n3' as NodeId).suspicions).toBe(1)
  expect(n1!.hintsWritten).toBe(10)
  await expect(cluster.settle(cluster.put('n1', 'k', 'v', 'all'))).rejects.toMatchObject({ code: 'unavailable' })
  expect(n1!.quorumFailures.put).toEqual({ one: 0, quorum: 0, all: 1 })
  expect([...n1!.coordinated.put.errorsByCode]).toEqual([['unavailable', 1]])

  await cluster.restart('n3')
  await cluster.allConnected()
  await cluster.world.advance(limits.antiEntropySettleMs)
  expect(told(cluster, 'n1', ['alive', 'hint-replayed']).slice(-2).sort()).toEqual(['alive n3', 'hint-replayed n3'])
  expect(n1!.hintsReplayed).toBe(10)
})

test('a snapshot that is taken is counted, and told', async () => {
  const cluster = await SimCluster.start({ seed: 'figures of snapshots' })
  const { instruments } = cluster.node('n1')
  expect(instruments.snapshotTakenMs).toBeUndefined()
  await cluster.settle(cluster.put('n1', 'a', '1', 'all'))
  const info = await cluster.settle(cluster.node('n1').snapshot())
  expect(instruments).toMatchObject({ snapshots: 1, snapshotBytes: info.bytes, snapshotRunning: false })
  expect(instruments.snapshotTakenMs).toBeGreaterThan(0)
  expect(told(cluster, 'n1', ['snapshot'])).toEqual(['snapshot '])
})

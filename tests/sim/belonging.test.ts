import type { Incarnation } from '@quorumkv/internal/base'
import { decodeTopology } from '@quorumkv/internal/cluster'
import { carryOutRepair, planRepair, type RepairPlan } from '@quorumkv/internal/store'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

/** n1 has been a cluster of its own, and does not run any more. */
async function foundedAlone(seed: string): Promise<SimCluster> {
  const cluster = new SimCluster({ seed, replication: { replicationFactor: 1, readQuorum: 1, writeQuorum: 1 } })
  await cluster.startNode('n1', [])
  await cluster.allReady()
  await cluster.settle(cluster.put('n1', 'a', '1'))
  cluster.crash('n1')
  cluster.process('n1').restart()
  return cluster
}

test('a node founded alone that is started with peers serves nobody and is refused, also while they are away', async () => {
  const cluster = await foundedAlone('lone')
  await cluster.startNode('n1', ['n1', 'n2', 'n3'])
  await cluster.world.advance(1_000)
  expect(cluster.node('n1').phase).toBe('forming')
  await cluster.world.runUntil(() => cluster.fatal.has('n1'), 10_000)
  expect(cluster.fatal.get('n1')).toMatchObject({ reason: 'refused' })
  for (const part of ['--peers', 'n2:50051', 'nobody answers']) expect(cluster.fatal.get('n1')!.message).toContain(part)
})

test('a node founded alone is refused where another node answers: at once if that has a cluster, else if it does not ask', async () => {
  for (const [peers, withinMs, why] of [
    [[], 2_000, 'another node answers and says'],
    [['n2', 'n3'], 10_000, 'n2 answers, and does not ask to be taken in'],
  ] as const) {
    const cluster = await foundedAlone(`lone and ${peers.length}`)
    await cluster.startNode('n2', peers)
    await cluster.startNode('n1', ['n2'])
    await cluster.world.runUntil(() => cluster.fatal.has('n1'), withinMs)
    expect(cluster.fatal.get('n1')).toMatchObject({ reason: 'refused', message: expect.stringContaining('n2:50051') })
    expect(cluster.fatal.get('n1')!.message).toContain(why)
  }
})

test('a node founded alone serves again where the only peer named is itself', async () => {
  const cluster = await foundedAlone('lone by name')
  await cluster.startNode('n1', ['n1'])
  await cluster.allReady()
  expect(await cluster.settle(cluster.get('n1', 'a'))).toBe('1')
})

test('a node founded alone that waits for its peers can be stopped', async () => {
  const cluster = await foundedAlone('lone and stopped')
  const node = await cluster.startNode('n1', ['n2'])
  const ready = node.ready().catch((error: unknown) => error)
  await cluster.settle(node.stop(1_000))
  expect(await ready).toMatchObject({ code: 'closed' })
  expect(cluster.fatal.size).toBe(0)
})

test('a repair that was cut short lets no node start before another one has finished it', async () => {
  const cluster = await SimCluster.start({ seed: 'repair cut short' })
  await cluster.settle(cluster.put('n1', 'a', '1', 'all'))
  cluster.crash('n3')
  const process = cluster.process('n3')
  process.drive.corrupt('log/0000000001.log', 100)
  const plan = (): Promise<RepairPlan> =>
    planRepair({
      disk: process.life.disk,
      checks: {},
      members: (topology) => decodeTopology(topology).members,
      newIncarnation: 'b'.repeat(32) as Incarnation,
      name: 'first',
      acceptLoss: false,
    })
  process.restart()
  void carryOutRepair(process.life.disk, await cluster.settle(plan()))
  await cluster.world.runUntil(() => !process.drive.paths().includes('identity'), 1_000)
  cluster.crash('n3', { disk: 'keep' })

  process.restart()
  await expect(cluster.startNode('n3')).rejects.toMatchObject({ reason: 'corrupt' })
  expect(process.drive.paths()).not.toContain('identity')
  cluster.crash('n3', { disk: 'keep' })

  process.restart()
  const second = await cluster.settle(plan())
  expect(second.kind).toBe('resume')
  await cluster.settle(carryOutRepair(process.life.disk, second))
  await cluster.startNode('n3')
  await cluster.allReady()
  await cluster.allConnected()
  expect(await cluster.settle(cluster.get('n3', 'a'))).toBe('1')
})

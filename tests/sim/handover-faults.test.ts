import type { CrashPolicy } from '@quorumkv/internal/env-sim'
import { expect, test } from 'vitest'
import {
  atRest,
  expectEqualCopies,
  fill,
  four,
  gone,
  join,
  leave,
  reached,
  step,
  three,
  threeOf,
} from './handover-scene.js'
import { RowClients } from './row-clients.js'
import { SimCluster } from './sim-cluster.js'

/** The moments of a handover from and to n4. */
const moments = {
  'before it begins': async () => undefined,
  'while it streams': (cluster: SimCluster) => reached(cluster, 'both', 300),
  'when the new owners are read': (cluster: SimCluster) => reached(cluster, 'switch'),
  'when it is over': (cluster: SimCluster) => cluster.world.runUntil(() => step(cluster) === undefined, 60_000),
} as const

test('a node joins under load, and nobody notices: no operation fails, and none is told what is old', async () => {
  const cluster = await threeOf({ seed: 'join under load' })
  await fill(cluster, 300)
  const clients = new RowClients(cluster)
  await cluster.world.advance(500)
  await join(cluster, 'n4')
  await cluster.world.runUntil(() => atRest(cluster, 4), 60_000)
  await cluster.world.advance(500)
  await clients.stop()
  await clients.readAll(four)
  expect(clients.wrong).toEqual([])
  expect(clients.failures).toEqual([])
  expect(clients.operations).toBeGreaterThan(200)
  await expectEqualCopies(cluster)
}, 120_000)

/** Kills a member at a moment of a handover that has begun or is about to, and starts it again. */
async function killAt(cluster: SimCluster, moment: keyof typeof moments, dying: string): Promise<void> {
  const policies: CrashPolicy[] = ['lose', 'keep', 'random']
  await moments[moment](cluster)
  cluster.crash(dying, { disk: policies[(dying.length + moment.length) % policies.length]! })
  await cluster.world.advance(1_500)
  cluster.process(dying).restart()
  const node = await cluster.startNode(dying)
  // Who has left may hear of it only now.
  await cluster.world.runUntil(() => node.phase === 'serving' || cluster.fatal.has(dying), 30_000)
}

for (const moment of Object.keys(moments) as (keyof typeof moments)[]) {
  test.each(['n4', 'n1', 'n3'])(
    `as n4 joins %s dies ${moment}: nothing acknowledged is lost`,
    async (dying) => {
      const cluster = await threeOf({ seed: `${dying} ${moment}`, streamBytesPerSecond: 200_000 })
      await fill(cluster, 600, 'v'.repeat(500))
      const clients = new RowClients(cluster)
      await join(cluster, 'n4')
      await cluster.world.runUntil(() => cluster.node('n4').phase === 'serving', 30_000)
      if (moment !== 'before it begins') await cluster.world.runUntil(() => step(cluster) === 'both', 30_000)
      await killAt(cluster, moment, dying)
      await cluster.world.runUntil(() => atRest(cluster, 4), 120_000)
      await cluster.allConnected()
      await cluster.world.advance(1_000)
      await clients.stop()
      await clients.readAll(four)
      expect(clients.wrong).toEqual([])
      expect(clients.failures.length / clients.operations).toBeLessThan(0.05)
      await expectEqualCopies(cluster)
    },
    120_000,
  )

  test.each(['n4', 'n1', 'n3'])(
    `as n4 leaves %s dies ${moment}: nothing acknowledged is lost`,
    async (dying) => {
      const cluster = await SimCluster.start({ seed: `${dying} ${moment}`, nodes: 4, streamBytesPerSecond: 200_000 })
      await fill(cluster, 600, 'v'.repeat(500))
      const clients = new RowClients(cluster)
      await leave(cluster, 'n4')
      if (moment !== 'before it begins') await cluster.world.runUntil(() => step(cluster) === 'both', 30_000)
      await killAt(cluster, moment, dying)
      await gone(cluster, 'n4')
      await cluster.world.runUntil(() => atRest(cluster, 3), 120_000)
      await cluster.allConnected()
      await cluster.world.advance(1_000)
      await clients.stop()
      await clients.readAll(three)
      expect(clients.wrong).toEqual([])
      expect(clients.failures.length / clients.operations).toBeLessThan(0.05)
      await expectEqualCopies(cluster)
    },
    120_000,
  )
}

test.each([
  ['n4', 'while it streams'],
  ['n4', 'when the new owners are read'],
  ['n2', 'while it streams'],
  ['n2', 'when the new owners are read'],
] as const)(
  '%s is wiped %s: it comes back, and nothing acknowledged is lost',
  async (wiped, moment) => {
    const cluster = await threeOf({ seed: `${wiped} wiped ${moment}`, streamBytesPerSecond: 200_000 })
    await fill(cluster, 600, 'v'.repeat(500))
    const clients = new RowClients(cluster)
    await join(cluster, 'n4')
    await cluster.world.runUntil(() => step(cluster) === 'both', 30_000)
    await moments[moment](cluster)
    const { incarnation } = cluster.node(wiped).status()
    cluster.crash(wiped, { disk: 'lose' })
    await cluster.world.advance(4_000)
    cluster.process(wiped).restart()
    cluster.wipe(wiped)
    const node = await cluster.startNode(wiped)
    await cluster.settle(node.ready())
    await cluster.world.runUntil(() => atRest(cluster, 4), 120_000)
    await cluster.world.runUntil(() => cluster.node(wiped).localStore!.lostCount === 0, 120_000)
    await cluster.allConnected()
    await cluster.world.advance(1_000)
    await clients.stop()
    await clients.readAll(four)
    expect(cluster.node(wiped).status().incarnation).not.toBe(incarnation)
    expect(clients.wrong).toEqual([])
    await expectEqualCopies(cluster)
  },
  60_000,
)

test('each member dies in turn while slots come and go: nothing acknowledged is lost', async () => {
  const cluster = await threeOf({ seed: 'all in turn', streamBytesPerSecond: 200_000 })
  await fill(cluster, 600, 'v'.repeat(500))
  const clients = new RowClients(cluster)
  await join(cluster, 'n4')
  for (const dying of [...three, 'n4']) {
    await cluster.world.advance(700)
    cluster.crash(dying, { disk: 'random' })
    await cluster.world.advance(1_000)
    await cluster.restart(dying)
    await cluster.allConnected()
  }
  await cluster.world.runUntil(() => atRest(cluster, 4), 120_000)
  await cluster.world.advance(1_000)
  await clients.stop()
  await clients.readAll(four)
  expect(clients.wrong).toEqual([])
  await expectEqualCopies(cluster)
}, 120_000)

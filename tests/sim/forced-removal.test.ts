import { type KvError, type NodeId, parseNodeId, type Slot } from '@quorumkv/internal/base'
import type { ForcedPlan } from '@quorumkv/internal/cluster'
import { allSlots, slotOf, slotTable } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

const keys = Array.from({ length: 300 }, (_, i) => `k${i}`)
const slotOfKey = (key: string): Slot => slotOf(new TextEncoder().encode(key))

function force(
  cluster: SimCluster,
  via: string,
  ids: readonly string[],
  epoch: number,
  dryRun = false,
): Promise<ForcedPlan> {
  return cluster.settle(cluster.node(via).members!.force({ ids: ids.map((id) => parseNodeId(id)), epoch }, dryRun))
}

/** Five nodes that have the keys, of which three have just died. */
async function decimated(seed: string): Promise<{ cluster: SimCluster; owners: Map<Slot, NodeId[]> }> {
  const cluster = await SimCluster.start({ seed, nodes: 5 })
  await cluster.settle(Promise.all(keys.map((key, i) => cluster.put(cluster.names[i % 5]!, key, `${key} is here`))))
  await cluster.world.advance(1_000)
  const topology = cluster.node('n1').topology!
  const table = slotTable(topology)
  const owners = new Map(
    allSlots().map((slot) => [slot, Array.from(table.owners(slot), (o) => topology.members[o]!.id)]),
  )
  for (const name of ['n3', 'n4', 'n5']) cluster.crash(name)
  await cluster.world.advance(5_000)
  return { cluster, owners }
}

test('with a majority gone for good two nodes go on: what either of them has is there, and the rest begins empty', async () => {
  const { cluster, owners } = await decimated('forced')
  const plan = await force(cluster, 'n1', ['n3', 'n4', 'n5'], 1, true)
  const dead = (slot: Slot): boolean => owners.get(slot)!.every((id) => !['n1', 'n2'].includes(id))
  const orphan = keys.find((key) => dead(slotOfKey(key)))!
  await expect(cluster.settle(cluster.put('n1', orphan, 'no quorum', 'quorum', 500))).rejects.toBeDefined()
  expect(plan.empty).toEqual(allSlots().filter(dead))
  expect(plan.empty.length).toBeGreaterThan(0)
  expect(plan.doubtful.length).toBeGreaterThan(0)
  expect(cluster.node('n1').topology!.epoch).toBe(1)

  await force(cluster, 'n1', ['n3', 'n4', 'n5'], 1)
  await cluster.world.runUntil(() => cluster.node('n2').topology!.epoch > 1, 10_000)
  const lost = (): number => cluster.node('n1').localStore!.lostCount + cluster.node('n2').localStore!.lostCount
  expect(lost()).toBeGreaterThan(0)
  await cluster.world.runUntil(() => lost() === 0, 60_000)
  for (const via of ['n1', 'n2']) {
    const topology = cluster.node(via).topology!
    expect(topology.members.map(({ id, state }) => `${id} ${state}`)).toEqual(['n1 serving', 'n2 serving'])
    expect(topology.epoch).toBeGreaterThan(1_000_000)
    for (const key of keys) {
      const expected = dead(slotOfKey(key)) ? undefined : `${key} is here`
      expect(await cluster.settle(cluster.get(via, key)), key).toBe(expected)
    }
  }
  await cluster.settle(cluster.put('n1', orphan, 'and on', 'all'))

  // It can change by agreement again; and who was given up is told so, whatever it holds.
  await cluster.settle(cluster.node('n2').members!.request({ kind: 'reweight', id: parseNodeId('n1'), weight: 2 }))
  cluster.process('n4').restart()
  await cluster.settle(cluster.launch('n4', ['n1', 'n2'], 'n4'))
  await cluster.world.runUntil(() => cluster.fatal.has('n4'), 10_000)
  expect(cluster.fatal.get('n4')).toMatchObject({ reason: 'refused', message: expect.stringContaining('was removed') })
})

test('a survivor that dies at any moment of it comes back and counts for nothing that it does not have', async () => {
  const { cluster } = await decimated('forced, and killed')
  await force(cluster, 'n1', ['n3', 'n4', 'n5'], 1)
  await cluster.world.runUntil(() => cluster.node('n2').topology!.epoch > 1, 10_000)
  cluster.crash('n2')
  await cluster.restart('n2')
  await cluster.allConnected()
  const before = slotTable(cluster.node('n1').topology!)
  expect(before.ownersPerSlot).toBe(2)
  await cluster.world.runUntil(() => cluster.node('n2').localStore!.lostCount === 0, 60_000)
  await cluster.world.runUntil(() => cluster.node('n1').localStore!.lostCount === 0, 60_000)
  for (const key of keys) {
    const [one, two] = [
      await cluster.settle(cluster.get('n1', key, 'one')),
      await cluster.settle(cluster.get('n2', key, 'one')),
    ]
    expect(one, key).toBe(two)
  }
})

test('one that is left goes on alone', async () => {
  const cluster = await SimCluster.start({ seed: 'last of three' })
  await cluster.settle(Promise.all(keys.map((key) => cluster.put('n1', key, `${key} is here`, 'all'))))
  for (const name of ['n2', 'n3']) cluster.crash(name)
  await cluster.world.advance(5_000)
  const plan = await force(cluster, 'n1', ['n2', 'n3'], 1)
  expect([plan.empty.length, plan.doubtful.length]).toEqual([0, 4096])
  for (const key of keys) expect(await cluster.settle(cluster.get('n1', key))).toBe(`${key} is here`)
  await cluster.settle(cluster.put('n1', 'k0', 'alone'))
})

test('it is refused where it is not needed, not meant, or not known what it does', async () => {
  const cluster = await SimCluster.start({ seed: 'not forced', nodes: 5 })
  const refusal = async (ids: readonly string[], epoch = 1): Promise<string> => {
    const error = await force(cluster, 'n1', ids, epoch).catch((reason: KvError) => reason)
    expect(error).toMatchObject({ code: 'invalid-argument' })
    return (error as KvError).message
  }
  expect(await refusal(['n5'])).toContain('n5 is alive')
  cluster.crash('n5')
  await cluster.world.advance(5_000)
  expect(await refusal(['n5'])).toContain('a majority of the members lives')
  for (const name of ['n3', 'n4']) cluster.crash(name)
  await cluster.world.advance(5_000)
  expect(await refusal(['n4', 'n5'])).toContain('n3 cannot be reached either')
  expect(await refusal(['n3', 'n4', 'n5'], 7)).toContain('the epoch here is 1, not 7')
  expect(await refusal(['n3', 'n4', 'n5', 'n9'])).toContain('n9 is not a member')
  expect(cluster.node('n1').topology!.epoch).toBe(1)
})

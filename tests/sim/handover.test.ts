import { type Epoch, parseAddress, parseIncarnation, parseNodeId, type Slot } from '@quorumkv/internal/base'
import { encodeTopology } from '@quorumkv/internal/cluster'
import { allSlots, type Member, slotTable, type Topology } from '@quorumkv/internal/slots'
import { type Store, writeDocument, writeIdentity } from '@quorumkv/internal/store'
import { expect, test } from 'vitest'
import { SimCluster, type SimClusterOptions } from './sim-cluster.js'

const four = ['n1', 'n2', 'n3', 'n4']
const three = four.slice(0, 3)

/** Three nodes that serve, and a fourth that has not been started. */
async function threeOf(options: SimClusterOptions): Promise<SimCluster> {
  const cluster = new SimCluster({ nodes: 4, ...options })
  for (const name of three) await cluster.startNode(name, three)
  await cluster.allReady()
  await cluster.allConnected()
  return cluster
}

/** Stops all nodes and starts them in the next topology, which `alter` makes of the one before. */
async function change(
  cluster: SimCluster,
  names: readonly string[],
  alter: (topology: Topology) => Topology,
): Promise<void> {
  const before = cluster.node(cluster.runningNames[0]!).topology!
  const after = { ...alter(before), epoch: (before.epoch + 1) as Epoch }
  for (const name of cluster.runningNames) cluster.crash(name)
  for (const name of names) {
    if (!cluster.process(name).running) cluster.process(name).restart()
    const { disk } = cluster.process(name).life
    const { incarnation } = after.members.find(({ id }) => id === name)!
    const identity = { nodeId: parseNodeId(name), incarnation, clusterId: after.clusterId }
    await cluster.settle(writeIdentity(disk, identity))
    await cluster.settle(writeDocument(disk, 'topology', encodeTopology(after)))
  }
  for (const name of names) await cluster.startNode(name, names)
  await cluster.allReady()
  await cluster.allConnected()
}

function withJoining(topology: Topology, name: string): Topology {
  const newcomer: Member = {
    id: parseNodeId(name),
    incarnation: parseIncarnation(name.charCodeAt(1).toString(16).padStart(32, 'e')),
    number: topology.nextNumber,
    address: parseAddress(`${name}:50051`, 'address'),
    zone: '',
    weight: 1,
    since: (topology.epoch + 1) as Epoch,
    state: 'joining',
  }
  return { ...topology, members: [...topology.members, newcomer], nextNumber: topology.nextNumber + 1 }
}

function withLeaving(topology: Topology, name: string): Topology {
  return { ...topology, planned: [{ kind: 'decommission', id: parseNodeId(name) }] }
}

/** Nothing is under way in the topology of any node, and all have the same. */
function atRest(cluster: SimCluster, members: number): boolean {
  return cluster.runningNames.every((name) => {
    const topology = cluster.node(name).topology!
    const quiet = topology.handover === undefined && topology.members.every(({ state }) => state === 'serving')
    return quiet && topology.members.length === members
  })
}

function digests(store: Store, slot: Slot): string {
  const { hi, lo } = store.digest(slot)
  return `${hi}.${lo}`
}

/** Each slot is the same on all its owners, and nowhere else is anything of it. */
async function expectEqualCopies(cluster: SimCluster): Promise<void> {
  const wrong = (): string[] => {
    const topology = cluster.node(cluster.runningNames[0]!).topology!
    const table = slotTable(topology)
    const found: string[] = []
    for (const slot of allSlots()) {
      const copies = new Set<string>()
      for (const [member, { id }] of topology.members.entries()) {
        if (!cluster.runningNames.includes(id)) continue
        const store = cluster.node(id).localStore!
        if (table.ownsSlot(member, slot)) copies.add(digests(store, slot))
        else if (store.holds(slot)) found.push(`${id} still holds ${slot}`)
      }
      if (copies.size > 1) found.push(`copies of ${slot} differ`)
    }
    return found
  }
  // When it is not so in time, the assertion says what is wrong.
  await cluster.world.runUntil(() => wrong().length === 0, 60_000).catch(() => undefined)
  expect(wrong()).toEqual([])
}

async function fill(cluster: SimCluster, count: number, value = ''): Promise<string[]> {
  const keys = Array.from({ length: count }, (_, i) => `k${i}`)
  for (let i = 0; i < count; i += 50) {
    const some = keys.slice(i, i + 50).map((key, n) => cluster.put(three[n % 3]!, key, `${key}${value}`))
    await cluster.settle(Promise.all(some))
  }
  return keys
}

test('a fourth node gets its share of the slots, and gives it back when it leaves; the others drop what is not theirs', async () => {
  const cluster = await threeOf({ seed: 'handover' })
  const keys = await fill(cluster, 400)
  await change(cluster, four, (topology) => withJoining(topology, 'n4'))
  expect(cluster.node('n4').localStore!.statistics().entries).toBe(0)
  await cluster.world.runUntil(() => atRest(cluster, 4), 60_000)
  await expectEqualCopies(cluster)
  const held = four.map((name) => cluster.node(name).localStore!.statistics().entries)
  expect(held.reduce((sum, entries) => sum + entries, 0)).toBe(3 * keys.length)
  expect(held[3]).toBeGreaterThan(200)
  for (const [i, key] of keys.entries()) expect(await cluster.settle(cluster.get(four[i % 4]!, key))).toBe(key)
  await change(cluster, four, (topology) => withLeaving(topology, 'n4'))
  await cluster.world.runUntil(() => cluster.node('n1').topology!.members.length === 3, 60_000)
  cluster.crash('n4')
  await cluster.world.runUntil(() => atRest(cluster, 3), 60_000)
  await expectEqualCopies(cluster)
  for (const [i, key] of keys.entries()) expect(await cluster.settle(cluster.get(three[i % 3]!, key))).toBe(key)
})

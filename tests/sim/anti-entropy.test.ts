import { limits, type Slot } from '@quorumkv/internal/base'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { slotCount, slotOf } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster, type SimClusterOptions } from './sim-cluster.js'

const names = ['n1', 'n2', 'n3']
const text = new TextEncoder()

/** Everything that a node holds in one slot, a line for each record. */
function contents(cluster: SimCluster, name: string, slot: Slot): string {
  const lines: string[] = []
  cluster.node(name).localStore!.scanSlot(slot, ({ key, hi, lo, node, tombstone, expiresAtMs, value }) => {
    const [name, bytes] = [key, value].map((part) => Buffer.from(part).toString('hex'))
    lines.push([name, hi, lo, node, tombstone, expiresAtMs, bytes].join(' '))
  })
  return lines.sort().join('\n')
}

/** The slots whose owners do not hold the same bytes, as their digests say and as they are. All nodes must run. */
function differingSlots(cluster: SimCluster): number[] {
  const table = cluster.node(cluster.names[0]!).slotTable!
  const differing: number[] = []
  for (let slot = 0 as Slot; slot < slotCount; slot++) {
    const owners = [...table.owners(slot)].map((member) => table.members[member]!.id)
    const digests = owners.map((owner) => {
      const { hi, lo } = cluster.node(owner).localStore!.digest(slot)
      return `${hi} ${lo}`
    })
    const alike = digests.every((one) => one === digests[0])
    const held = owners.map((owner) => contents(cluster, owner, slot))
    const equal = held.every((one) => one === held[0])
    if (alike !== equal) throw new Error(`slot ${slot}: digests ${digests.join(', ')} of\n${held.join('\n')}`)
    if (!equal) differing.push(slot)
  }
  return differing
}

/** A cluster that keeps no hints, because its disks are short of room: they would bring what is to be found here. */
async function start(options: SimClusterOptions): Promise<SimCluster> {
  const cluster = await SimCluster.start(options)
  for (const name of cluster.names) cluster.process(name).drive.faults.setFreeBytes(limits.hintReserveBytes - 1)
  return cluster
}

function moved(cluster: SimCluster): number {
  return cluster.names.reduce((sum, name) => {
    const { recordsPulled = 0, recordsPushed = 0 } = cluster.node(name).status().convergence ?? {}
    return sum + recordsPulled + recordsPushed
  }, 0)
}

/** One round of each node, and what may be left of one that had begun before. */
const roundsMs = 2 * (limits.antiEntropyIntervalMs + limits.antiEntropySettleMs) + 1_000

async function allEqual(cluster: SimCluster, withinMs: number): Promise<void> {
  const endMs = cluster.world.nowMs + withinMs
  for (let left = differingSlots(cluster); left.length > 0; left = differingSlots(cluster)) {
    if (cluster.world.nowMs >= endMs) throw new Error(`after ${withinMs} ms these slots differ: ${left.join(', ')}`)
    await cluster.world.advance(250)
  }
}

test('a replica that was away gets everything without a read: writes, overwrites and deletes', async () => {
  const cluster = await start({ seed: 'away' })
  for (let i = 0; i < 60; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`, 'all'))
  cluster.crash('n3')
  for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, `w${i}`))
  for (let i = 20; i < 30; i++) await cluster.settle(cluster.delete('n2', `k${i}`))
  for (let i = 60; i < 90; i++) await cluster.settle(cluster.put('n2', `k${i}`, `v${i}`))
  await cluster.restart('n3')
  await cluster.allConnected()
  await allEqual(cluster, roundsMs)
  expect(moved(cluster)).toBeGreaterThanOrEqual(60)
  expect(moved(cluster), 'each of the 60 once, but for those that two members brought at once').toBeLessThan(90)
  // Alone, it knows what it had missed.
  for (const name of ['n1', 'n2']) cluster.crash(name)
  expect(await cluster.settle(cluster.get('n3', 'k1', 'one'))).toBe('w1')
  expect(await cluster.settle(cluster.get('n3', 'k25', 'one'))).toBeUndefined()
  expect(await cluster.settle(cluster.get('n3', 'k80', 'one'))).toBe('v80')
})

/** How long one may take. */
const writeMs = 2_000

/** Writes of all kinds through all nodes, while nodes crash and the network falls apart; then an end of all faults. */
async function trouble(cluster: SimCluster, random: SimRandom): Promise<void> {
  const { names: all, world } = cluster
  for (let step = 0; step < 120; step++) {
    const running = cluster.runningNames
    for (let i = 0; i < 4; i++) {
      const [via, key] = [random.pick(running), `k${random.below(40)}`]
      const write = random.chance(0.3)
        ? cluster.delete(via, key, writeMs)
        : cluster.put(via, key, `${step}.${i}`, random.pick(['one', 'quorum', 'all']), writeMs)
      // Whether it succeeds is not the question here: wherever it arrived, it must arrive everywhere.
      write.then(undefined, () => undefined)
    }
    const fault = random.below(10)
    if (fault === 0 && running.length > 1) cluster.crash(random.pick(running))
    else if (fault === 1) world.network.partition([[random.pick(all)], [random.pick(all)]])
    else if (fault === 2) world.network.cut(random.pick(all), random.pick(all))
    else if (fault === 3) world.network.heal()
    const down = all.filter((name) => !running.includes(name))
    if (down.length > 0 && random.chance(0.3)) {
      const name = random.pick(down)
      cluster.process(name).restart()
      await cluster.startNode(name)
    }
    await world.advance(random.between(0, 300))
  }
  world.network.heal()
  for (const name of all) if (!cluster.runningNames.includes(name)) await cluster.restart(name)
  await cluster.allConnected(60_000)
  // Those that were sent last have ended, those of crashed nodes never will.
  await world.advance(writeMs)
}

test.each([
  [1, 3, [3, 2, 2]],
  [2, 3, [3, 1, 3]],
  [3, 5, [3, 2, 2]],
  [4, 5, [5, 3, 3]],
  [5, 2, [2, 1, 2]],
] as const)(
  'when faults stop, all copies become equal without a read (seed %i, %i nodes)',
  async (seed, nodes, nrw) => {
    const [replicationFactor, readQuorum, writeQuorum] = nrw
    const cluster = await start({ seed, nodes, replication: { replicationFactor, readQuorum, writeQuorum } })
    await trouble(cluster, new SimRandom(seed).fork('trouble'))
    // A comparison that failed at the end of the faults is repeated after a pause.
    await allEqual(cluster, roundsMs + limits.antiEntropyBackoffMsMax)
  },
)

test('a member that comes back is compared with at once', async () => {
  const replication = { replicationFactor: 2, readQuorum: 1, writeQuorum: 2 }
  const cluster = await start({ seed: 'back', nodes: 2, replication })
  for (const awayMs of [5_000, 6_300, 7_600, 8_900]) {
    cluster.world.network.partition([['n1'], ['n2']])
    await cluster.world.advance(awayMs)
    await cluster.settle(cluster.put('n1', 'k', `${awayMs}`, 'one'))
    expect(differingSlots(cluster)).toHaveLength(1)
    cluster.world.network.heal()
    await cluster.allConnected()
    await allEqual(cluster, limits.antiEntropySettleMs + 500)
  }
})

test('what is deleted stays deleted, also where a replica was away for hours', async () => {
  const cluster = await start({ seed: 'hours' })
  for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, 'old', 'all'))
  cluster.crash('n2')
  for (let i = 0; i < 20; i++) await cluster.settle(cluster.delete('n1', `k${i}`))
  await cluster.world.advance(7_200_000)
  await cluster.restart('n2')
  await cluster.allConnected()
  await allEqual(cluster, roundsMs)
  for (let i = 0; i < 20; i++) {
    for (const name of names) expect(await cluster.settle(cluster.get(name, `k${i}`, 'one'))).toBeUndefined()
  }
})

test('slots that a node has lost are left to the refill, and the others made equal meanwhile', async () => {
  const cluster = await start({ seed: 'lost' })
  for (let i = 0; i < 60; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`, 'all'))
  cluster.crash('n2')
  for (let i = 0; i < 60; i++) await cluster.settle(cluster.put('n1', `k${i}`, `w${i}`))
  cluster.process('n2').restart()
  const slots = Array.from({ length: 30 }, (_, i) => slotOf(text.encode(`k${i}`)))
  await cluster.lose('n2', slots)
  cluster.crash('n3')
  const node = await cluster.startNode('n2')
  await cluster.settle(node.ready())
  await cluster.world.advance(roundsMs)
  const holds = (i: number): boolean => node.localStore!.getVersion(text.encode(`k${i}`)) !== undefined
  const [ofLost, ofOthers] = [Array.from({ length: 30 }, (_, i) => i), Array.from({ length: 30 }, (_, i) => 30 + i)]
  expect(ofLost.filter(holds), 'the refill waits for n3, which may be counting on what was lost').toEqual([])
  expect(ofOthers.filter((i) => !slots.includes(slotOf(text.encode(`k${i}`)))).every(holds)).toBe(true)
  expect(node.status().store?.lostSlots).toBe(new Set(slots).size)
  await cluster.restart('n3')
  await cluster.world.runUntil(() => node.status().store?.lostSlots === 0, 120_000)
  await allEqual(cluster, roundsMs)
})

test('a repair that is asked for waits for no round, and tells when the copies are equal', async () => {
  const cluster = await start({ seed: 'asked' })
  await cluster.world.advance(500)
  cluster.world.network.partition([['n3'], ['n1', 'n2']])
  await cluster.world.advance(5_000)
  for (let i = 0; i < 30; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
  cluster.world.network.heal()
  await cluster.allConnected()
  const { repairs } = cluster.node('n3')
  const { id } = repairs!.repair({})
  await cluster.world.runUntil(() => repairs!.repairProgress(id).done, limits.antiEntropyIntervalMs)
  expect(repairs!.repairProgress(id)).toMatchObject({ members: 2, membersDone: 2, obstacles: [] })
  expect(differingSlots(cluster)).toEqual([])
})

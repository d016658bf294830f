import { parseNodeId, type Slot } from '@quorumkv/internal/base'
import { allSlots, slotTable } from '@quorumkv/internal/slots'
import type { Store } from '@quorumkv/internal/store'
import { expect } from 'vitest'
import { SimCluster, type SimClusterOptions } from './sim-cluster.js'

export const four: readonly string[] = ['n1', 'n2', 'n3', 'n4']
export const three: readonly string[] = four.slice(0, 3)

/** Three nodes that serve, and a fourth that has not been started. */
export async function threeOf(options: SimClusterOptions): Promise<SimCluster> {
  const cluster = new SimCluster({ nodes: 4, ...options })
  for (const name of three) await cluster.startNode(name, three)
  await cluster.allReady()
  await cluster.allConnected()
  return cluster
}

/** Asks for a member to hand over what it has and to go. */
export async function leave(cluster: SimCluster, name: string): Promise<void> {
  await cluster.settle(cluster.node('n2').members!.request({ kind: 'decommission', id: parseNodeId(name) }))
}

/** A node that was decommissioned has ended by itself. */
export async function gone(cluster: SimCluster, name: string): Promise<void> {
  await cluster.world.runUntil(() => cluster.fatal.has(name), 120_000)
  expect(cluster.fatal.get(name)).toMatchObject({ message: expect.stringContaining('was decommissioned at epoch') })
  cluster.crash(name)
}

export async function join(cluster: SimCluster, name: string): Promise<void> {
  await cluster.startNode(name, ['n1', 'n2'])
}

export function step(cluster: SimCluster, name = 'n1'): string | undefined {
  return cluster.node(name).topology!.handover?.step
}

/** Waits until a handover is in this step at n1, and so many slots are where they go to. */
export async function reached(cluster: SimCluster, wanted: 'both' | 'switch', slots = 0): Promise<void> {
  const holds = (): boolean => {
    const done = cluster.runningNames.map((name) => {
      // What each says of itself: the others hear of it every second.
      return (
        cluster
          .node(name)
          .status()
          .handover?.reports.find(({ id }) => id === name)?.done ?? 0
      )
    })
    return step(cluster) === wanted && done.reduce((sum, each) => sum + each, 0) >= slots
  }
  for (let looks = 0; !holds(); looks++) {
    expect(looks, `${wanted} with ${slots} slots`).toBeLessThan(20_000)
    await cluster.world.advance(wanted === 'switch' ? 1 : 10)
  }
}

/** Nothing is under way in the topology of any node, and all have the same. */
export function atRest(cluster: SimCluster, members: number): boolean {
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
export async function expectEqualCopies(cluster: SimCluster): Promise<void> {
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
  // A look goes through all slots of all nodes: not one after each event.
  for (let looks = 0; looks < 600 && wrong().length > 0; looks++) await cluster.world.advance(100)
  expect(wrong()).toEqual([])
}

export async function fill(cluster: SimCluster, count: number, value = ''): Promise<string[]> {
  const keys = Array.from({ length: count }, (_, i) => `k${i}`)
  for (let i = 0; i < count; i += 50) {
    const some = keys.slice(i, i + 50).map((key, n) => cluster.put(three[n % 3]!, key, `${key}${value}`))
    await cluster.settle(Promise.all(some))
  }
  return keys
}

import { type NodeId, parseNodeId } from '@quorumkv/internal/base'
import { allSlots, slotTables } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster, type SimClusterOptions } from './sim-cluster.js'

const zoneOf = (name: string): string => `zone-${((Number(name.slice(1)) - 1) % 3) + 1}`

async function threeZones(options: SimClusterOptions): Promise<SimCluster> {
  const cluster = new SimCluster({ nodes: 6, ...options })
  for (const name of cluster.names) {
    await cluster.settle(cluster.launch(name, cluster.names, name, { zone: zoneOf(name) }))
  }
  await cluster.allReady()
  await cluster.allConnected()
  return cluster
}

/** Slots that have two owners in one zone, on either side of a handover. */
function doubled(cluster: SimCluster, via: string): number {
  const topology = cluster.node(via).topology!
  const { current, next } = slotTables(topology)
  const tables = next === undefined ? [current] : [current, next]
  const isDoubled = (owners: Uint16Array): boolean => {
    return new Set([...owners].map((owner) => topology.members[owner]!.zone)).size < owners.length
  }
  return allSlots().filter((slot) => tables.some((table) => isDoubled(table.owners(slot)))).length
}

async function writeAndRead(cluster: SimCluster, names: readonly string[], value: string): Promise<void> {
  const keys = Array.from({ length: 200 }, (_, i) => `k${i}`)
  const via = (i: number): string => names[i % names.length]!
  await cluster.settle(Promise.all(keys.map((key, i) => cluster.put(via(i), key, value))))
  const read = await cluster.settle(Promise.all(keys.map((key, i) => cluster.get(via(i + 1), key))))
  expect(new Set(read)).toEqual(new Set([value]))
}

test('with as many zones as copies, each slot has its copies in different ones, and all outlive the loss of a zone', async () => {
  const cluster = await threeZones({ seed: 'zones' })
  expect(doubled(cluster, 'n1')).toBe(0)
  await writeAndRead(cluster, cluster.names, 'before')
  for (const lost of ['zone-1', 'zone-2', 'zone-3']) {
    const [gone, left] = [
      cluster.names.filter((name) => zoneOf(name) === lost),
      cluster.names.filter((name) => zoneOf(name) !== lost),
    ]
    for (const name of gone) cluster.crash(name)
    await cluster.world.advance(5_000)
    await writeAndRead(cluster, left, `without ${lost}`)
    for (const name of gone)
      expect((await cluster.settle(cluster.node(left[0]!).members!.safeToStop(name as NodeId))).safe).toBe(true)
    for (const name of gone) await cluster.restart(name)
    await cluster.allConnected()
  }
})

test('a zone may also be lost while a member is replaced by another one in its zone: both sides keep copies apart', async () => {
  const cluster = await threeZones({ seed: 'zones and a handover', streamBytesPerSecond: 200 })
  await writeAndRead(cluster, cluster.names, 'before')
  const replacement = { kind: 'replace', id: parseNodeId('n4'), by: parseNodeId('n7') } as const
  await cluster.settle(cluster.node('n2').members!.request(replacement))
  await cluster.settle(cluster.launch('n7', cluster.names, 'n7', { zone: zoneOf('n7') }))
  const topologies = () => cluster.runningNames.map((name) => cluster.node(name).topology)
  await cluster.world.runUntil(() => topologies().every((topology) => topology?.handover !== undefined), 30_000)
  expect(cluster.node('n2').topology!.handover!.step).toBe('both')
  expect(doubled(cluster, 'n2')).toBe(0)
  const left = cluster.names.filter((name) => zoneOf(name) !== 'zone-3')
  for (const name of cluster.names) if (zoneOf(name) === 'zone-3') cluster.crash(name)
  await cluster.world.advance(5_000)
  await writeAndRead(cluster, left, 'without zone-3')
  expect(cluster.node('n2').topology!.handover!.step).toBe('both')
})

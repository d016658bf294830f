import { limits, type Slot } from '@quorumkv/internal/base'
import { slotCount } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

const names = ['n1', 'n2', 'n3']

/** Everything that a node holds in the slots that it owns, a line for each record. */
function contents(cluster: SimCluster, name: string, slot: Slot): string[] {
  const lines: string[] = []
  cluster.node(name).localStore!.scanSlot(slot, ({ key, hi, lo, node, tombstone, expiresAtMs, value }) => {
    const parts = [
      Buffer.from(key).toString('hex'),
      hi,
      lo,
      node,
      tombstone,
      expiresAtMs,
      Buffer.from(value).toString('hex'),
    ]
    lines.push(parts.join(' '))
  })
  return lines.sort()
}

/** The slots whose owners do not hold the same bytes; those of nodes that do not run are left out. */
function differingSlots(cluster: SimCluster): number[] {
  const table = cluster.node(cluster.runningNames[0]!).slotTable!
  const differing: number[] = []
  for (let slot = 0 as Slot; slot < slotCount; slot++) {
    const owners = [...table.owners(slot)].map((member) => table.members[member]!.id)
    const held = owners.filter((id) => cluster.runningNames.includes(id)).map((id) => contents(cluster, id, slot))
    if (held.some((one) => one.join('\n') !== held[0]!.join('\n'))) differing.push(slot)
  }
  return differing
}

function repaired(cluster: SimCluster): number {
  return names.reduce((sum, name) => {
    const { recordsPulled = 0, recordsPushed = 0 } = cluster.node(name).status().convergence ?? {}
    return sum + recordsPulled + recordsPushed
  }, 0)
}

/** What two rounds take at most, so that one that began before the last fault does not count. */
const roundMs = 2 * (limits.antiEntropyIntervalMs + limits.antiEntropySettleMs) + 1_000

test('a replica that was away gets everything without a read: writes, overwrites and deletes', async () => {
  const cluster = await SimCluster.start({ seed: 'away' })
  for (let i = 0; i < 60; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`, 'all'))
  cluster.crash('n3')
  for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, `w${i}`))
  for (let i = 20; i < 30; i++) await cluster.settle(cluster.delete('n2', `k${i}`))
  for (let i = 60; i < 90; i++) await cluster.settle(cluster.put('n2', `k${i}`, `v${i}`))
  await cluster.restart('n3')
  await cluster.allConnected()
  await cluster.world.runUntil(() => differingSlots(cluster).length === 0, roundMs)
  expect(repaired(cluster), 'each of the 60 once, but for those that two members brought at once').toBeLessThan(90)
  // Alone, it knows what it had missed.
  for (const name of ['n1', 'n2']) cluster.crash(name)
  expect(await cluster.settle(cluster.get('n3', 'k1', 'one'))).toBe('w1')
  expect(await cluster.settle(cluster.get('n3', 'k25', 'one'))).toBeUndefined()
  expect(await cluster.settle(cluster.get('n3', 'k80', 'one'))).toBe('v80')
})

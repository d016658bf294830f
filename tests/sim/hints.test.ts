import { limits, type Slot } from '@quorumkv/internal/base'
import { slotCount } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

function lines(cluster: SimCluster, name: string): string {
  const found: string[] = []
  for (let slot = 0 as Slot; slot < slotCount; slot++) {
    cluster.node(name).localStore!.scanSlot(slot, ({ key, hi, lo, node, tombstone, value }) => {
      found.push([Buffer.from(key), hi, lo, node, tombstone, Buffer.from(value)].join(' '))
    })
  }
  return found.sort().join('\n')
}

/** Every one of three nodes owns every slot. */
function equal(cluster: SimCluster): boolean {
  const [first, ...others] = cluster.runningNames.map((name) => lines(cluster, name))
  return others.every((other) => other === first)
}

/** Records that anti-entropy has moved. */
function repaired(cluster: SimCluster): number {
  return cluster.runningNames.reduce((sum, name) => {
    const { recordsPulled = 0, recordsPushed = 0 } = cluster.node(name).status().convergence ?? {}
    return sum + recordsPulled + recordsPushed
  }, 0)
}

function hintsFor(cluster: SimCluster, holder: string, node: string): number {
  return (
    cluster
      .node(holder)
      .status()
      .hints.find((hints) => hints.node === node)?.hints ?? 0
  )
}

test('what a node missed while it was away is handed over before anti-entropy has to find it', async () => {
  const cluster = await SimCluster.start({ seed: 'hints' })
  for (let i = 0; i < 60; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`, 'all'))
  cluster.crash('n3')
  for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, `w${i}`))
  for (let i = 20; i < 30; i++) await cluster.settle(cluster.delete('n2', `k${i}`))
  expect(hintsFor(cluster, 'n1', 'n3')).toBe(20)
  expect(hintsFor(cluster, 'n2', 'n3')).toBe(10)
  await cluster.restart('n3')
  await cluster.allConnected()
  await cluster.world.runUntil(() => equal(cluster), limits.antiEntropySettleMs)
  expect(repaired(cluster)).toBe(0)
  await cluster.world.advance(2 * limits.hintIntervalMs)
  for (const holder of ['n1', 'n2']) expect(hintsFor(cluster, holder, 'n3')).toBe(0)
  expect(
    cluster
      .process('n1')
      .drive.paths()
      .filter((path) => path.startsWith('hints/')),
  ).toEqual([])
})

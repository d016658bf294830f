import { type KvError, limits, type Slot } from '@quorumkv/internal/base'
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

/** Looked at now and then: each look reads everything. */
async function becomesEqual(cluster: SimCluster, withinMs: number): Promise<void> {
  const endMs = cluster.world.nowMs + withinMs
  while (!equal(cluster)) {
    if (cluster.world.nowMs >= endMs) throw new Error(`the copies differ after ${withinMs} ms`)
    await cluster.world.advance(100)
  }
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
  await becomesEqual(cluster, limits.antiEntropySettleMs)
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

async function hintsSynced(cluster: SimCluster): Promise<void> {
  await cluster.world.advance(2 * limits.hintIntervalMs)
}

test('the holder of hints is killed by a power cut: what it had synced is handed over by its next life', async () => {
  const cluster = await SimCluster.start({ seed: 'holder' })
  cluster.crash('n3')
  for (let i = 0; i < 20; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
  await hintsSynced(cluster)
  await cluster.settle(cluster.put('n1', 'last', 'v'))
  cluster.crash('n1', { disk: 'lose' })
  await cluster.restart('n1')
  expect(hintsFor(cluster, 'n1', 'n3')).toBe(20)
  cluster.crash('n2')
  await cluster.restart('n3')
  await cluster.allConnected()
  await cluster.world.runUntil(() => hintsFor(cluster, 'n1', 'n3') === 0, limits.antiEntropySettleMs)
  const held = (key: string): boolean => cluster.node('n3').localStore!.get(Buffer.from(key)) !== undefined
  for (let i = 0; i < 20; i++) expect(held(`k${i}`)).toBe(true)
  expect(held('last'), 'that hint had not been synced').toBe(false)
  // What the power cut took anti-entropy brings.
  await becomesEqual(cluster, 2 * limits.antiEntropyIntervalMs + limits.antiEntropySettleMs)
  expect(repaired(cluster)).toBeGreaterThan(0)
})

test('the holder of hints is stopped: what it kept in its last moment is handed over by its next life', async () => {
  const cluster = await SimCluster.start({ seed: 'stopped' })
  cluster.crash('n3')
  for (let i = 0; i < 5; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
  await cluster.settle(cluster.node('n1').stop(1_000))
  cluster.crash('n1', { disk: 'lose' })
  await cluster.restart('n1')
  expect(hintsFor(cluster, 'n1', 'n3')).toBe(5)
})

test('a write that met an owner which was cut off in the middle of it is hinted, though its quorum was met before', async () => {
  const cluster = await SimCluster.start({ seed: 'cut off' })
  cluster.world.network.partition([['n3'], ['n1', 'n2']])
  // The link to n3 is still believed in: what is sent on it is lost with it, seconds after the acknowledgement.
  for (let i = 0; i < 10; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
  expect(hintsFor(cluster, 'n1', 'n3')).toBe(0)
  await cluster.world.runUntil(() => hintsFor(cluster, 'n1', 'n3') === 10, 10_000)
  cluster.world.network.heal()
  await cluster.allConnected()
  await becomesEqual(cluster, limits.antiEntropySettleMs)
  expect(repaired(cluster)).toBe(0)
})

test('hints are no copies: with two of three owners away a write fails, and leaves none', async () => {
  const cluster = await SimCluster.start({ seed: 'no copies' })
  cluster.crash('n2')
  cluster.crash('n3')
  await cluster.world.advance(3_000)
  for (const level of ['quorum', 'all'] as const) {
    const error = await cluster.settle(
      cluster.put('n1', 'k', 'v', level).then(
        () => undefined,
        (reason: KvError) => reason,
      ),
    )
    expect(error).toMatchObject({ code: 'unavailable', outcome: 'not-applied' })
  }
  expect(
    cluster
      .node('n1')
      .status()
      .hints.filter(({ hints }) => hints > 0),
  ).toEqual([])
})

test('a late hint of a delete does not eat a newer value, and that of a value does not undo a newer delete', async () => {
  const cluster = await SimCluster.start({ seed: 'late' })
  await cluster.settle(cluster.put('n1', 'eaten', 'old', 'all'))
  await cluster.settle(cluster.put('n1', 'undone', 'old', 'all'))
  cluster.crash('n3')
  await cluster.settle(cluster.delete('n1', 'eaten'))
  await cluster.settle(cluster.put('n1', 'undone', 'older'))
  await hintsSynced(cluster)
  cluster.crash('n1')
  await cluster.restart('n3')
  await cluster.allConnected()
  await cluster.settle(cluster.put('n2', 'eaten', 'new'))
  await cluster.settle(cluster.delete('n2', 'undone'))
  await cluster.restart('n1')
  expect(hintsFor(cluster, 'n1', 'n3')).toBe(2)
  await cluster.allConnected()
  await cluster.world.runUntil(() => hintsFor(cluster, 'n1', 'n3') === 0, 5_000)
  await cluster.world.advance(10_000)
  for (const name of cluster.names) {
    expect(await cluster.settle(cluster.get(name, 'eaten', 'one'))).toBe('new')
    expect(await cluster.settle(cluster.get(name, 'undone', 'one'))).toBeUndefined()
  }
  expect(equal(cluster)).toBe(true)
})

test('after a long absence hints are gone, and anti-entropy brings the newest of each key', async () => {
  const cluster = await SimCluster.start({ seed: 'long' })
  cluster.crash('n3')
  for (let i = 0; i < 40; i++) await cluster.settle(cluster.put('n1', `k${i % 10}`, `v${i}`))
  await cluster.world.advance(limits.hintAgeMsMax + limits.hintFileMsMax + 2 * limits.hintIntervalMs)
  expect(cluster.node('n1').status().hints).toMatchObject([{ node: 'n3', hints: 0, bytes: 0, dropped: 40 }])
  await cluster.restart('n3')
  await cluster.allConnected()
  await becomesEqual(cluster, 2 * limits.antiEntropyIntervalMs + limits.antiEntropySettleMs)
  expect(repaired(cluster)).toBeGreaterThanOrEqual(10)
})

test('a node whose data directory was wiped gets no hints of its former life', async () => {
  const cluster = await SimCluster.start({ seed: 'wiped' })
  for (let i = 0; i < 10; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`, 'all'))
  cluster.crash('n3')
  await cluster.settle(cluster.put('n1', 'k1', 'w'))
  await hintsSynced(cluster)
  cluster.process('n3').restart()
  cluster.wipe('n3')
  const node = await cluster.startNode('n3')
  await cluster.settle(node.ready())
  await cluster.allConnected()
  await cluster.world.runUntil(() => cluster.node('n1').status().hints.length === 0, 60_000)
  expect(
    cluster
      .process('n1')
      .drive.paths()
      .filter((path) => path.startsWith('hints/')),
  ).toEqual([])
  await becomesEqual(cluster, 60_000)
  expect(await cluster.settle(cluster.get('n3', 'k1'))).toBe('w')
})

test('with little room on the disk no hints are written, and the node stays writable', async () => {
  const cluster = await SimCluster.start({ seed: 'room' })
  cluster.crash('n3')
  for (let i = 0; i < 10; i++) await cluster.settle(cluster.put('n1', `k${i}`, `v${i}`))
  await hintsSynced(cluster)
  expect(hintsFor(cluster, 'n1', 'n3')).toBe(10)
  cluster.process('n1').drive.faults.setFreeBytes(limits.hintReserveBytes - 1)
  await cluster.world.advance(2 * limits.hintIntervalMs)
  expect(
    cluster
      .process('n1')
      .drive.paths()
      .filter((path) => path.startsWith('hints/')),
  ).toEqual([])
  await cluster.settle(cluster.put('n1', 'more', 'v'))
  expect(cluster.node('n1').status().store!.readOnly).toBe(false)
  expect(cluster.node('n1').status().hints).toMatchObject([{ node: 'n3', hints: 0, dropped: 11 }])
  await cluster.restart('n3')
  await cluster.allConnected()
  await becomesEqual(cluster, 2 * limits.antiEntropyIntervalMs + limits.antiEntropySettleMs)
})

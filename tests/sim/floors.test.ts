import type { Slot } from '@quorumkv/internal/base'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { hlcMs } from '@quorumkv/internal/hlc'
import { slotCount } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

/*
 * Tombstones are collected, and nothing that was deleted comes back (docs/adr/0023-tombstone-floors.md). Times are small, but no
 * request lives longer than the two comparisons are apart.
 */
const floorTuning = { horizonMs: 2_000, agreementMs: 6_000, intervalMs: 1_000 }
const maxClockDriftMs = 1_000
/** From a delete to its end, where all are up: the horizon, two comparisons, and what a round may take to begin. */
const collectedMs = 25_000

const start = (seed: number | string, nodes = 3): Promise<SimCluster> =>
  SimCluster.start({ seed, nodes, floorTuning, maxClockDriftMs })

function tombstones(cluster: SimCluster): number {
  return cluster.runningNames.reduce((sum, name) => sum + cluster.node(name).status().store!.tombstones, 0)
}

async function collected(cluster: SimCluster, withinMs = collectedMs): Promise<void> {
  await cluster.world.runUntil(() => tombstones(cluster) === 0, withinMs)
}

/** Everything that a node holds, and its floors. */
function contents(cluster: SimCluster, name: string): string {
  const store = cluster.node(name).localStore!
  const lines: string[] = []
  for (let slot = 0 as Slot; slot < slotCount; slot++) {
    if (store.floorMs(slot) > 0) lines.push(`floor ${slot} ${store.floorMs(slot)}`)
    store.scanSlot(slot, ({ key, hi, lo, node, tombstone, value }) => {
      lines.push([Buffer.from(key), hi, lo, node, tombstone, Buffer.from(value)].join(' '))
    })
  }
  return lines.sort().join('\n')
}

/** Until all of three nodes, each of which owns every slot, hold the same records under the same floors. */
async function equal(cluster: SimCluster, withinMs = 60_000): Promise<void> {
  const alike = (): boolean => new Set(cluster.names.map((name) => contents(cluster, name))).size === 1
  for (let waitedMs = 0; !alike() && waitedMs < withinMs; waitedMs += 500) await cluster.world.advance(500)
  expect(new Set(cluster.names.map((name) => contents(cluster, name))).size).toBe(1)
}

async function valuesAt(cluster: SimCluster, level: 'one' | 'quorum', count: number): Promise<(string | undefined)[]> {
  const values: (string | undefined)[] = []
  for (let i = 0; i < count; i++) {
    for (const name of cluster.names) values.push(await cluster.settle(cluster.get(name, `k${i}`, level)))
  }
  return [...new Set(values)]
}

async function fill(cluster: SimCluster, count: number, value: string): Promise<void> {
  for (let i = 0; i < count; i++) await cluster.settle(cluster.put('n1', `k${i}`, value, 'all'))
}

async function deleteAll(cluster: SimCluster, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await cluster.settle(cluster.delete('n1', `k${i}`))
}

test('with all nodes up tombstones go, here and on the disk, and the keys can be written again', async () => {
  const cluster = await start('up')
  await fill(cluster, 20, 'old')
  await deleteAll(cluster, 20)
  await cluster.settle(cluster.put('n1', 'kept', 'v'))
  expect(tombstones(cluster)).toBe(60)
  await collected(cluster)
  await equal(cluster)
  for (const name of cluster.names) {
    cluster.crash(name)
    await cluster.restart(name)
  }
  await cluster.allConnected()
  expect(tombstones(cluster)).toBe(0)
  expect(await valuesAt(cluster, 'quorum', 20)).toEqual([undefined])
  expect(await cluster.scan('n2')).toEqual(new Map([['kept', 'v']]))
  await fill(cluster, 20, 'new')
  expect(await valuesAt(cluster, 'one', 20)).toEqual(['new'])
})

test('reading what is not there writes nothing, whatever the floors are', async () => {
  const cluster = await start('quiet')
  await fill(cluster, 10, 'old')
  await deleteAll(cluster, 10)
  await collected(cluster)
  const before = cluster.names.map((name) => cluster.node(name).status().store!.lastSequence)
  expect(await valuesAt(cluster, 'quorum', 10)).toEqual([undefined])
  const after = cluster.names.map((name) => cluster.node(name).status().store!.lastSequence)
  expect(after).toEqual(before)
})

test('with one owner down no tombstone goes, for hours; when it is back its values do not come back, and then they go', async () => {
  const cluster = await start('down')
  await fill(cluster, 20, 'old')
  cluster.crash('n3')
  await deleteAll(cluster, 20)
  await cluster.world.advance(2 * 3_600_000)
  expect(tombstones(cluster)).toBe(40)
  expect(cluster.node('n1').status().floors?.obstacle).toContain('cannot be reached')
  await cluster.restart('n3')
  await cluster.allConnected()
  expect(await valuesAt(cluster, 'quorum', 20)).toEqual([undefined])
  await collected(cluster, 60_000)
  await equal(cluster)
  expect(await valuesAt(cluster, 'one', 20)).toEqual([undefined])
  expect(cluster.node('n1').status().floors).toMatchObject({ obstacle: '' })
})

for (const [what, restart] of [
  ['they run on', false],
  ['they are restarted', true],
] as const) {
  test(`clocks that are far ahead on all nodes while nobody writes leave no floor in the future: ${what}`, async () => {
    const cluster = await start(`ahead ${restart}`)
    await fill(cluster, 3, 'old')
    await deleteAll(cluster, 3)
    for (const name of cluster.names) cluster.process(name).time.setSkewMs(600_000)
    await collected(cluster, 40_000)
    for (const name of cluster.names) cluster.process(name).time.setSkewMs(0)
    await cluster.world.advance(2_000)
    if (restart) {
      for (const name of cluster.names) {
        cluster.crash(name)
        await cluster.restart(name)
      }
    }
    await cluster.allConnected()
    await fill(cluster, 3, 'new')
    expect(await valuesAt(cluster, 'one', 3)).toEqual(['new'])
  })
}

test('a node whose clock is set back after a quiet time stamps nothing below what it has promised', async () => {
  const cluster = await start('set back')
  await fill(cluster, 10, 'old')
  cluster.crash('n3')
  await deleteAll(cluster, 10)
  const deletedMs = cluster.process('n1').clock.wallMs()
  await cluster.world.advance(60_000)
  cluster.process('n1').time.setSkewMs(-600_000)
  await cluster.settle(cluster.put('n1', 'other', 'v', 'one'))
  const stampMs = hlcMs(cluster.node('n1').localStore!.getVersion(Buffer.from('other'))!)
  expect(stampMs - deletedMs).toBeGreaterThan(50_000)
})

test('where nobody writes a restart holds nothing up, though the clocks of restarted nodes stand far behind', async () => {
  const cluster = await start('idle')
  await fill(cluster, 3, 'old')
  await deleteAll(cluster, 3)
  await cluster.world.advance(1_000)
  cluster.crash('n3')
  await cluster.world.advance(3_600_000)
  await cluster.restart('n3')
  await cluster.allConnected()
  await collected(cluster, 40_000)
  await equal(cluster)
})

for (const [when, restartOthers] of [
  ['it is read', false],
  ['after all nodes were restarted', true],
] as const) {
  test(`an old disk that is put back brings nothing back that was collected: ${when}`, async () => {
    const cluster = await start(`old disk ${restartOthers}`)
    await fill(cluster, 20, 'old')
    await cluster.settle(cluster.put('n1', 'untouched', 'v', 'all'))
    const disk = cluster.copyDisk('n3')
    await deleteAll(cluster, 20)
    await cluster.settle(cluster.put('n1', 'later', 'w', 'all'))
    await collected(cluster)
    cluster.crash('n3')
    cluster.process('n3').restart()
    await cluster.putBackDisk('n3', disk)
    if (restartOthers) {
      for (const name of ['n1', 'n2']) {
        cluster.crash(name)
        await cluster.restart(name)
      }
    }
    const node = await cluster.startNode('n3')
    await cluster.settle(node.ready())
    await cluster.allConnected()
    expect(node.localStore!.get(new TextEncoder().encode('k0'))).toMatchObject({ tombstone: false })
    expect(await valuesAt(cluster, 'quorum', 20)).toEqual([undefined])
    expect(await cluster.scan('n3')).toEqual(
      new Map([
        ['untouched', 'v'],
        ['later', 'w'],
      ]),
    )
    await equal(cluster)
    expect(await valuesAt(cluster, 'one', 20)).toEqual([undefined])
  })
}

test('a hint that comes after the collection brings nothing back', async () => {
  const cluster = await start('hint')
  await fill(cluster, 10, 'old')
  // n1 cannot tell n3 what it has missed; n2 can tell both of them everything.
  cluster.world.network.partition([['n1'], ['n3']])
  await cluster.world.advance(3_000)
  for (let i = 0; i < 10; i++) await cluster.settle(cluster.put('n1', `k${i}`, 'hinted'))
  await cluster.world.advance(30_000)
  for (let i = 0; i < 10; i++) await cluster.settle(cluster.delete('n2', `k${i}`))
  // Those of n2's slots go; the others wait for n1 and n3 to see each other.
  await cluster.world.advance(60_000)
  const left = tombstones(cluster)
  expect(left).toBeLessThan(30)
  cluster.world.network.heal()
  await cluster.allConnected()
  await collected(cluster, 60_000)
  await equal(cluster)
  expect(await valuesAt(cluster, 'one', 10)).toEqual([undefined])
})

test('a node that was away through floors that rose without it never existed: floors rise only with all owners', async () => {
  const cluster = await start('between')
  await fill(cluster, 10, 'old')
  await deleteAll(cluster, 10)
  // It goes again and again, at all stages of the rounds.
  for (let i = 0; i < 12; i++) {
    await cluster.world.advance(1_700)
    cluster.crash('n3')
    await cluster.world.advance(300)
    await cluster.restart('n3')
    await cluster.allConnected()
  }
  await collected(cluster, 60_000)
  await equal(cluster)
  expect(await valuesAt(cluster, 'one', 10)).toEqual([undefined])
})

test.each([1, 2, 3, 4, 5, 6])(
  'through crashes and partitions, deletes and writes, what was deleted last stays deleted, and all floors agree in the end (seed %i)',
  async (seed) => {
    const cluster = await start(seed)
    const random = new SimRandom(seed).fork('floors')
    /** The last word on each key, acknowledged by all owners when it was said. */
    const last = new Map<string, string | undefined>()
    for (let step = 0; step < 60; step++) {
      const key = `k${random.below(8)}`
      const via = random.pick(cluster.runningNames)
      const deletes = random.chance(0.5)
      const write = deletes ? cluster.delete(via, key) : cluster.put(via, key, `${step}`)
      const done = await cluster.settle(
        write.then(
          () => true,
          () => false,
        ),
      )
      if (done) last.set(key, deletes ? undefined : `${step}`)
      else last.delete(key)
      const fault = random.below(12)
      if (fault === 0 && cluster.runningNames.length === 3) cluster.crash(random.pick(cluster.runningNames))
      else if (fault === 1)
        cluster.world.network.partition([[random.pick(cluster.names)], [random.pick(cluster.names)]])
      else if (fault === 2) cluster.world.network.heal()
      const down = cluster.names.filter((name) => !cluster.runningNames.includes(name))
      if (down.length > 0 && random.chance(0.4)) {
        cluster.process(down[0]!).restart()
        await cluster.startNode(down[0]!)
      }
      await cluster.world.advance(random.between(0, 6_000))
      for (const [name, value] of last) {
        const found = await cluster.settle(
          cluster.get(random.pick(cluster.runningNames), name).then(
            (got) => ({ got }),
            () => undefined,
          ),
        )
        if (found !== undefined) expect(found.got, `step ${step}: ${name}`).toBe(value)
      }
    }
    cluster.world.network.heal()
    for (const name of cluster.names) if (!cluster.runningNames.includes(name)) await cluster.restart(name)
    await cluster.allConnected(60_000)
    await collected(cluster, 120_000)
    await equal(cluster, 120_000)
    for (const [key, value] of last) expect(await cluster.settle(cluster.get('n1', key))).toBe(value)
  },
)

import { parseNodeId } from '@quorumkv/internal/base'
import { expect, test } from 'vitest'
import { atRest, fill, gone, leave, reached, threeOf } from './handover-scene.js'
import { SimCluster } from './sim-cluster.js'

/** How operations through these nodes end while they go on. */
class Load {
  readonly written = new Map<string, string>()
  readonly failures: string[] = []
  readonly #cluster: SimCluster
  #count = 0

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
  }

  /** Writes and reads through each of these for so long, one operation each 2 ms. */
  async run(names: readonly string[], forMs: number): Promise<void> {
    const running: Promise<void>[] = []
    for (let atMs = 0; atMs < forMs; atMs += 2) {
      running.push(this.#operate(names[this.#count % names.length]!, this.#count++))
      await this.#cluster.world.advance(2)
    }
    await this.#cluster.settle(Promise.all(running))
  }

  async #operate(via: string, count: number): Promise<void> {
    const [key, value] = [`k${count % 500}`, `v${count}`]
    try {
      if (count % 3 === 0) await this.#cluster.get(via, key)
      else {
        await this.#cluster.put(via, key, value)
        this.written.set(key, value)
      }
    } catch (error) {
      this.failures.push(`${via} ${key}: ${String(error)}`)
    }
  }

  async check(via: string): Promise<void> {
    for (const [key, value] of this.written) {
      expect(await this.#cluster.settle(this.#cluster.get(via, key)), key).toBe(value)
    }
  }
}

test('a decommissioned node hands over what it has, finishes, and ends in order; nobody notices', async () => {
  const cluster = await SimCluster.start({ seed: 'decommission', nodes: 4 })
  const load = new Load(cluster)
  await load.run(cluster.names, 1_000)
  await cluster.settle(cluster.node('n2').members!.request({ kind: 'decommission', id: parseNodeId('n4') }))
  // Clients of the leaver go elsewhere when it has nothing any more.
  const others = ['n1', 'n2', 'n3']
  while (!cluster.fatal.has('n4')) {
    const state = cluster.node('n4').topology!.members.find(({ id }) => id === 'n4')!.state
    await load.run(state === 'left' ? others : cluster.names, 100)
    expect(cluster.world.nowMs).toBeLessThan(120_000)
  }
  expect(cluster.fatal.get('n4')).toMatchObject({
    reason: 'decommissioned',
    message: expect.stringMatching(/^n4 .* was decommissioned at epoch \d+ of cluster/),
  })
  await cluster.settle(cluster.node('n4').stop(10_000))
  await load.run(others, 500)
  expect(load.failures.filter((failure) => !failure.startsWith('n4'))).toEqual([])
  for (const via of others) {
    expect(cluster.node(via).topology!.members.map(({ id, state }) => [id, state])).toEqual(
      others.map((name) => [name, 'serving']),
    )
    await load.check(via)
  }
  expect([...cluster.fatal.keys()]).toEqual(['n4'])
})

test('who has left keeps its vote until those who stay are a majority without it: a wiped one can come back', async () => {
  const cluster = await SimCluster.start({ seed: 'keeps its vote' })
  cluster.crash('n2')
  await cluster.settle(cluster.node('n1').members!.request({ kind: 'decommission', id: parseNodeId('n3') }))
  const stateOf = (name: string) => cluster.node('n1').topology!.members.find(({ id }) => id === name)?.state
  await cluster.world.runUntil(() => stateOf('n3') === 'left', 30_000)
  await cluster.world.advance(20_000)
  expect(stateOf('n3')).toBe('left')
  cluster.process('n2').restart()
  cluster.wipe('n2')
  await cluster.settle((await cluster.startNode('n2')).ready())
  await cluster.world.runUntil(() => stateOf('n3') === undefined, 30_000)
})

test('a dead node is removed: its slots come from the others, and when it wakes up it is told', async () => {
  const cluster = await SimCluster.start({ seed: 'remove', nodes: 4 })
  const load = new Load(cluster)
  await load.run(cluster.names, 1_000)
  cluster.crash('n4')
  await cluster.world.advance(5_000)
  const others = ['n1', 'n2', 'n3']
  await cluster.settle(cluster.node('n1').members!.request({ kind: 'remove', id: parseNodeId('n4') }))
  await cluster.world.runUntil(() => cluster.node('n3').topology!.members.length === 3, 120_000)
  await load.run(others, 500)
  expect(load.failures).toEqual([])
  // Each of them has all slots now: any one may be away.
  cluster.crash('n1')
  await cluster.world.advance(5_000)
  await load.check('n2')
  cluster.process('n4').restart()
  await cluster.settle(cluster.launch('n4', ['n2']))
  await cluster.world.runUntil(() => cluster.fatal.has('n4'), 10_000)
  expect(cluster.fatal.get('n4')).toMatchObject({
    reason: 'refused',
    message: expect.stringMatching(/^n4 .* was removed at epoch \d+ of cluster/),
  })
})

test('a cluster grows from one to three by itself as nodes join, and shrinks to one again', async () => {
  const cluster = new SimCluster({ seed: 'one to three to one' })
  await cluster.startNode('n1', [])
  await cluster.allReady()
  const load = new Load(cluster)
  await load.run(['n1'], 500)
  const states = (): string[] => cluster.node('n1').topology!.members.map(({ id, state }) => `${id} ${state}`)
  for (const name of ['n2', 'n3']) {
    await cluster.startNode(name, ['n1'])
    await cluster.settle(cluster.node(name).ready())
    await cluster.world.runUntil(() => states().includes(`${name} serving`), 60_000)
    await load.run(['n1', name], 500)
  }
  expect(load.failures).toEqual([])
  expect(states()).toEqual(['n1 serving', 'n2 serving', 'n3 serving'])
  for (const name of ['n1', 'n2']) {
    await cluster.settle(cluster.node('n3').members!.request({ kind: 'decommission', id: parseNodeId(name) }))
    await cluster.world.runUntil(() => cluster.fatal.has(name), 60_000)
    expect(cluster.fatal.get(name)).toMatchObject({ reason: 'decommissioned' })
    cluster.crash(name)
  }
  await cluster.world.advance(2_000)
  await load.check('n3')
  await load.run(['n3'], 500)
  expect(load.failures).toEqual([])
  expect(cluster.node('n3').topology!.members).toHaveLength(1)
})

test('a member that dies while slots come to it can be removed: the handover begins again without it', async () => {
  const cluster = await SimCluster.start({ seed: 'next owner dies', nodes: 5 })
  const load = new Load(cluster)
  await load.run(cluster.names, 1_000)
  const n1 = (): NonNullable<ReturnType<typeof cluster.node>['topology']> => cluster.node('n1').topology!
  await cluster.settle(cluster.node('n1').members!.request({ kind: 'decommission', id: parseNodeId('n5') }))
  await cluster.world.runUntil(() => n1().handover !== undefined, 10_000)
  cluster.crash('n4')
  await cluster.world.advance(10_000)
  expect(n1().handover).toMatchObject({ step: 'both' })
  expect(cluster.node('n1').status().handover!.waitsFor).toEqual(['n4'])
  await cluster.settle(cluster.node('n1').members!.request({ kind: 'remove', id: parseNodeId('n4') }))
  await cluster.world.runUntil(() => n1().members.length === 3, 120_000)
  expect(
    n1()
      .removed.map(({ id, by }) => `${by} ${id}`)
      .sort(),
  ).toEqual(['decommission n5', 'remove n4'])
  await load.run(['n1', 'n2', 'n3'], 500)
  await load.check('n2')
  expect(load.failures).toEqual([])
})

test('two that have left and must stay for their votes do not answer each other for ever', async () => {
  const cluster = await SimCluster.start({ seed: 'two that have left', nodes: 5 })
  const { world } = cluster
  for (const name of ['n4', 'n5']) {
    await cluster.settle(cluster.node('n1').members!.request({ kind: 'decommission', id: parseNodeId(name) }))
  }
  const left = (): number => cluster.node('n1').topology!.members.filter(({ state }) => state === 'left').length
  await world.runUntil(() => left() === 2, 60_000)
  // Those who stay are no majority of their own any more, so nobody's name may be taken off the list.
  for (const name of ['n2', 'n3']) cluster.crash(name)
  const before = world.eventsRun
  await world.advance(2_000)
  expect(left()).toBe(2)
  expect(world.eventsRun - before).toBeLessThan(5_000)
  for (const name of ['n2', 'n3']) await cluster.restart(name)
  await world.runUntil(() => cluster.fatal.has('n4') && cluster.fatal.has('n5'), 60_000)
}, 60_000)

test('a node that is decommissioned while it still joins ends in order, before it gets slots or while it does', async () => {
  for (const moment of ['waiting', 'streaming'] as const) {
    const cluster = await threeOf({ seed: `joins and goes, ${moment}`, streamBytesPerSecond: 5_000 })
    await fill(cluster, 300, 'x'.repeat(1_000))
    await cluster.startNode('n4', ['n1', 'n2'])
    const n4 = () => cluster.node('n2').topology!.members.find(({ id }) => id === 'n4')
    await cluster.world.runUntil(() => n4()?.state === 'joining' && cluster.node('n4').topology !== undefined, 10_000)
    const inRing = () => cluster.node('n2').topology!.handover?.ring.some(({ id }) => id === 'n4')
    if (moment === 'streaming') await reached(cluster, 'both')
    expect(inRing() === true).toBe(moment === 'streaming')
    await leave(cluster, 'n4')
    await gone(cluster, 'n4')
    expect(cluster.fatal.get('n4')).toMatchObject({ reason: 'decommissioned' })
    await cluster.world.runUntil(() => atRest(cluster, 3), 120_000)
    expect(cluster.node('n1').topology!.removed).toMatchObject([{ id: 'n4', by: 'decommission' }])
    expect([...cluster.fatal.keys()]).toEqual(['n4'])
  }
})

import { KvError, parseNodeId } from '@quorumkv/internal/base'
import { expect, test } from 'vitest'
import { four, step } from './handover-scene.js'
import { SimCluster } from './sim-cluster.js'

/*
 * All three owners of every slot are replaced in one handover: nobody is on both sides of it, and whoever is late by one of its
 * steps is covered up by nobody.
 */

const old = four.slice(0, 3)
const young = ['n4', 'n5', 'n6']

/** A turnover that has been asked for; the next owners have not been started. */
async function turnover(seed: string, streamBytesPerSecond = 67_108_864): Promise<SimCluster> {
  const cluster = new SimCluster({ nodes: 6, seed, streamBytesPerSecond })
  for (const name of old) await cluster.startNode(name, old)
  await cluster.allReady()
  await cluster.allConnected()
  for (const [i, id] of old.entries()) {
    const change = { kind: 'replace', id: parseNodeId(id), by: parseNodeId(young[i]!) } as const
    await cluster.settle(cluster.node('n1').members!.request(change))
  }
  return cluster
}

/** The next owners come, and these nodes know; the handover begins within a second or so. */
async function allJoined(cluster: SimCluster, witnesses: readonly string[] = old): Promise<void> {
  for (const name of young) await cluster.startNode(name, old)
  const known = (name: string): boolean => cluster.node(name).topology?.members.length === 6
  await cluster.world.runUntil(() => witnesses.every(known), 30_000)
}

async function over(cluster: SimCluster): Promise<void> {
  const ended = (name: string): boolean => {
    const { topology } = cluster.node(name)
    return topology?.handover === undefined && topology?.members.find(({ id }) => id === name)?.state === 'serving'
  }
  await cluster.world.runUntil(() => young.every(ended), 120_000)
}

/** Keys that are written once each through a node, one every `everyMs`, until the handover is over there or elsewhere. */
class Writer {
  readonly acknowledged = new Map<string, string>()
  readonly #running: Promise<void>[] = []
  readonly #cluster: SimCluster

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
  }

  async run(via: string, everyMs: number, forMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < forMs && this.#cluster.runningNames.includes(via); passedMs += everyMs) {
      if (this.#cluster.fatal.has(via)) return
      this.#running.push(this.#write(via, `p${this.#running.length}`))
      await this.#cluster.world.advance(everyMs)
    }
  }

  /** Everything that was acknowledged is read through each of the next owners. */
  async check(): Promise<void> {
    await this.#cluster.settle(Promise.all(this.#running))
    const missing: string[] = []
    for (const [key, value] of this.acknowledged) {
      for (const via of young) {
        const found = await this.#cluster.settle(this.#cluster.get(via, key))
        if (found !== value) missing.push(`${key} via ${via}: ${found}`)
      }
    }
    expect(missing).toEqual([])
  }

  /** What has been acknowledged so far is read through this node. */
  async checkNow(via: string): Promise<void> {
    const acknowledged = [...this.acknowledged]
    const reading = Promise.all(acknowledged.map(([key]) => this.#cluster.get(via, key)))
    expect(await this.#cluster.settle(reading)).toEqual(acknowledged.map(([, value]) => value))
  }

  async #write(via: string, key: string): Promise<void> {
    try {
      await this.#cluster.put(via, key, `v ${key}`, 'quorum', 8_000)
      this.acknowledged.set(key, `v ${key}`)
    } catch (error) {
      // Only what was acknowledged is promised.
      if (!(error instanceof KvError)) throw error
    }
  }
}

test('who hears of a handover when it is nearly over gets nothing acknowledged by those who know of it', async () => {
  const cluster = await turnover('a slow document')
  await allJoined(cluster)
  cluster.process('n3').drive.faults.setExtraDelayMs(1_500)
  const writer = new Writer(cluster)
  await writer.run('n3', 20, 6_000)
  cluster.process('n3').drive.faults.setExtraDelayMs(0)
  await over(cluster)
  await writer.check()
  expect(writer.acknowledged.size).toBeGreaterThan(40)
}, 60_000)

test('a write that is under way when a handover begins is not acknowledged by the owners from before', async () => {
  const cluster = await turnover('a slow way')
  await allJoined(cluster)
  for (const to of ['n1', 'n2']) cluster.world.network.setExtraDelayMs('n3', to, 1_500)
  const writer = new Writer(cluster)
  await writer.run('n3', 20, 3_000)
  for (const to of ['n1', 'n2']) cluster.world.network.setExtraDelayMs('n3', to, 0)
  await over(cluster)
  await writer.check()
  expect(writer.acknowledged.size).toBeGreaterThan(20)
}, 60_000)

test('an owner that has missed writes gives no slot by itself', async () => {
  const cluster = await turnover('a late owner')
  cutOff(cluster, 'n3', ['n1', 'n2'])
  const writer = new Writer(cluster)
  await writer.run('n1', 10, 1_000)
  await allJoined(cluster, [...young, 'n3'])
  await over(cluster)
  await writer.check()
  expect(writer.acknowledged.size).toBeGreaterThan(80)
}, 60_000)

test('while slots stream, one that has missed a write and one that only comes are no read quorum', async () => {
  const cluster = await turnover('a late owner that is read', 20_000)
  const keys = Array.from({ length: 60 }, (_, i) => `k${i}`)
  const write = async (value: string): Promise<void> => {
    await cluster.settle(Promise.all(keys.map((key) => cluster.put('n1', key, value + '.'.repeat(500)))))
  }
  await write('old')
  await cluster.world.advance(1_000)
  cutOff(cluster, 'n3', ['n1', 'n2'])
  await write('new')
  await allJoined(cluster, [...young, 'n3'])
  await cluster.world.runUntil(() => step(cluster, 'n4') === 'both' && step(cluster, 'n3') === 'both', 30_000)
  for (const to of ['n1', 'n2']) cluster.world.network.setExtraDelayMs('n4', to, 500)
  const found = await cluster.settle(Promise.all(keys.map((key) => cluster.get('n4', key))))
  expect(step(cluster, 'n4')).toBe('both')
  expect(found.map((value) => value?.slice(0, 3))).toEqual(keys.map(() => 'new'))
}, 60_000)

test('what is written when all slots have come is with the next owners before it is acknowledged', async () => {
  const cluster = await turnover('a late write')
  await allJoined(cluster)
  await streamed(cluster)
  for (const to of young) cluster.world.network.setExtraDelayMs('n1', to, 300)
  const writer = new Writer(cluster)
  await writer.run('n1', 0.1, 4)
  expect(step(cluster, 'n1')).toBe('both')
  await cluster.world.runUntil(() => step(cluster, 'n4') === 'switch', 10_000)
  await writer.checkNow('n4')
  await over(cluster)
  await writer.check()
  expect(writer.acknowledged.size).toBeGreaterThan(30)
}, 60_000)

test('what is read when all slots have come is with the next owners before it is returned', async () => {
  const cluster = await turnover('a late write that is read')
  const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
  await cluster.settle(Promise.all(keys.map((key) => cluster.put('n1', key, 'old'))))
  await allJoined(cluster)
  await streamed(cluster, 0.97)
  // Only n3 is close to the next owners, and it is not its turn to have them read.
  for (const far of ['n1', 'n2']) {
    for (const next of young) {
      cluster.world.network.setExtraDelayMs(far, next, 200)
      cluster.world.network.setExtraDelayMs(next, far, 100)
    }
  }
  await streamed(cluster)
  const writing = Promise.all(keys.map((key) => cluster.put('n1', key, 'new', 'quorum', 8_000)))
  await cluster.world.advance(2.5)
  const reading = Promise.all(keys.map((key) => cluster.get('n2', key)))
  expect(step(cluster, 'n2')).toBe('both')
  const before = await cluster.settle(reading)
  await cluster.world.runUntil(() => step(cluster, 'n4') !== 'both', 10_000)
  const after = await cluster.settle(Promise.all(keys.map((key) => cluster.get('n4', key))))
  for (const [i, value] of before.entries()) if (value === 'new') expect(after[i], keys[i]).toBe('new')
  expect(before).toContain('new')
  await cluster.settle(writing)
}, 60_000)

/** All slots have come, or so large a part of them, and nobody who could have the next owners read has heard of it. */
async function streamed(cluster: SimCluster, part = 1): Promise<void> {
  const complete = (name: string): boolean => {
    const own = cluster
      .node(name)
      .status()
      .handover?.reports.find(({ id }) => id === name)
    return own !== undefined && own.slots > 0 && own.done >= part * own.slots
  }
  for (let looks = 0; !young.every(complete); looks++) {
    expect(looks).toBeLessThan(60_000)
    await cluster.world.advance(0.5)
  }
  expect(step(cluster, 'n1')).toBe('both')
}

/** Nothing arrives either way between one node and these. */
function cutOff(cluster: SimCluster, name: string, others: readonly string[]): void {
  for (const other of others) {
    cluster.world.network.cut(name, other)
    cluster.world.network.cut(other, name)
  }
}

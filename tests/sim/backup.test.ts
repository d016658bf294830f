import { emptyBytes, KvError, type Slot } from '@quorumkv/internal/base'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { compareVersions, hlcMs, hlcOf, type Version } from '@quorumkv/internal/hlc'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { RestoreTally } from '@quorumkv/internal/replication'
import { slotCount, slotOf } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

/*
 * What a backup has of a cluster under faults, and what becomes of a restored record where tombstones are collected at the
 * same time (docs/adr/0049-backup.md).
 */
const floorTuning = { horizonMs: 2_000, agreementMs: 6_000, intervalMs: 1_000 }
const maxClockDriftMs = 1_000

const start = (seed: string): Promise<SimCluster> => SimCluster.start({ seed, nodes: 3, floorTuning, maxClockDriftMs })

/** Repeats what may be repeated, asking one node after the other, as `kv backup` does. */
async function anywhere<T>(cluster: SimCluster, ask: (name: string, deadlineMs: number) => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    const running = cluster.runningNames
    const name = running[attempt % running.length]!
    try {
      return await ask(name, cluster.process(name).clock.monotonicMs() + 3_000)
    } catch (error) {
      if (!(error instanceof KvError) || attempt > 200) throw error
      await new Promise<void>((resolve) => void cluster.process(name).clock.setTimer(50, resolve))
    }
  }
}

/** All records, and when each slot was begun, in virtual milliseconds. */
async function backup(cluster: SimCluster, bytesMax = 20_000): Promise<{ records: StoredRecord[]; begun: number[] }> {
  const records: StoredRecord[] = []
  const begun: number[] = []
  let [slot, after]: [number, Uint8Array] = [0, emptyBytes]
  while (slot < slotCount) {
    const request = { slot: slot as Slot, after, known: () => undefined, bytesMax }
    const askedMs = cluster.world.nowMs
    const page = await anywhere(cluster, (name, deadlineMs) =>
      cluster.node(name).coordinator!.exportSlots(request, { consistency: 'quorum', deadlineMs }),
    )
    for (const each of page.slots) {
      begun[each.slot] ??= askedMs
      records.push(...each.records)
    }
    ;[slot, after] = [page.next.slot, page.next.after]
  }
  return { records, begun }
}

function restore(cluster: SimCluster, records: readonly StoredRecord[]): Promise<RestoreTally> {
  return anywhere(cluster, (name, deadlineMs) =>
    cluster.node(name).coordinator!.restore(records, { consistency: 'quorum', deadlineMs }),
  )
}

function tombstones(cluster: SimCluster): number {
  return cluster.runningNames.reduce((sum, name) => sum + cluster.node(name).localStore!.statistics().tombstones, 0)
}

const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)

test('what was deleted after a backup, and collected, stays deleted when it is restored; into another cluster all of it comes', async () => {
  const cluster = await start('collected')
  for (const key of keys) await cluster.settle(cluster.put('n1', key, `value of ${key}`))
  const { records } = await cluster.settle(backup(cluster))
  expect(records).toHaveLength(20)
  for (const key of keys.slice(0, 15)) await cluster.settle(cluster.delete('n2', key))
  // Before they are collected the tombstones win, afterwards the floors say the same.
  expect(await cluster.settle(restore(cluster, records))).toEqual({ stored: 5, superseded: 15, deleted: 0 })
  await cluster.world.runUntil(() => tombstones(cluster) === 0, 60_000)
  expect(await cluster.settle(restore(cluster, records))).toEqual({ stored: 5, superseded: 0, deleted: 15 })
  await cluster.world.advance(30_000)
  for (const key of keys) {
    const expected = keys.indexOf(key) < 15 ? undefined : `value of ${key}`
    for (const name of cluster.names) expect(await cluster.settle(cluster.get(name, key, 'one'))).toBe(expected)
  }
  const other = await start('another')
  expect(await other.settle(restore(other, records))).toEqual({ stored: 20, superseded: 0, deleted: 0 })
  for (const key of keys) expect(await other.settle(other.get('n3', key))).toBe(`value of ${key}`)
  // Its clock has followed: later writes win.
  await other.settle(other.put('n1', 'k0', 'later'))
  expect(await other.settle(other.get('n2', 'k0'))).toBe('later')
})

test('records that are restored while the floors of their slots rise: what is told to be stored is there, and what is told to be deleted is not', async () => {
  const found = { before: 0, stored: 0, deleted: 0 }
  const names = new Map(keys.map((key): [number, Buffer[]] => [slotOf(Buffer.from(key)), []]))
  for (let i = 0; i < 300_000; i++) {
    const key = Buffer.from(`x${i}`)
    names.get(slotOf(key))?.push(key)
  }
  for (const seed of ['a', 'b', 'c', 'd', 'e', 'f']) {
    const cluster = await start(`target ${seed}`)
    // From a backup of another cluster, an hour old.
    const stamp = hlcOf(cluster.trueWallMs - 3_600_000, 0)
    const value = Buffer.from('old')
    const wanted = new Map(
      [...names].map(([slot, those]) => [
        slot,
        those.map((key) => ({ ...stamp, node: 1, key, value, tombstone: false, expiresAtMs: 0 })),
      ]),
    )
    // Other keys of the same slots are deleted, and collected meanwhile.
    for (const key of keys) await cluster.settle(cluster.put('n1', key, 'v'))
    for (const key of keys) await cluster.settle(cluster.delete('n1', key))
    const outcomes = new Map<string, RestoreTally>()
    const one = async (record: StoredRecord): Promise<void> => {
      outcomes.set(Buffer.from(record.key).toString(), await restore(cluster, [record]))
    }
    for (const records of wanted.values()) await cluster.settle(one(records.pop()!))
    found.before += outcomes.size
    const all = tombstones(cluster)
    await cluster.world.advance(8_000)
    expect(tombstones(cluster)).toBe(all)
    while (tombstones(cluster) === all) await cluster.world.advance(1)
    // Now: of each slot one record in every millisecond, as its owners raise their floors one after the other.
    const running: Promise<void>[] = []
    while (tombstones(cluster) > 0) {
      for (const records of wanted.values()) if (records.length > 0) running.push(one(records.pop()!))
      await cluster.world.advance(1)
    }
    await cluster.settle(Promise.all(running))
    await cluster.world.advance(30_000)
    for (const [key, { stored, deleted }] of outcomes) {
      found.stored += stored
      found.deleted += deleted
      const expected = stored === 1 ? 'old' : undefined
      for (const name of ['n1', 'n3'])
        expect(await cluster.settle(cluster.get(name, key)), `${seed} ${key}`).toBe(expected)
    }
  }
  expect(found.stored).toBeGreaterThan(found.before)
  expect(found.deleted).toBeGreaterThan(0)
})

test('a backup of a cluster whose nodes crash and are cut off has every write that was acknowledged before its slot was begun', async () => {
  for (const seed of ['p', 'q', 'r', 's']) {
    const cluster = await start(`faults ${seed}`)
    const random = new SimRandom(seed)
    const acknowledged: { key: string; version: Version; atMs: number }[] = []
    let stopped = false
    const writer = async (lane: number): Promise<void> => {
      for (let turn = 0; !stopped; turn++) {
        const key = `w${lane}:${turn % 40}`
        const name = cluster.runningNames[(lane + turn) % cluster.runningNames.length]!
        try {
          const { version } = await (turn % 5 === 4 ? cluster.delete(name, key) : cluster.put(name, key, `${turn}`))
          acknowledged.push({ key, version, atMs: cluster.world.nowMs })
        } catch (error) {
          if (!(error instanceof KvError)) throw error
        }
        await new Promise<void>((resolve) => void cluster.process('n1').clock.setTimer(1 + (turn % 7), resolve))
      }
    }
    const writers = [0, 1, 2].map(writer)
    await cluster.world.advance(1_000)
    const running = backup(cluster, 2_000).then((found) => {
      stopped = true
      return found
    })
    // n1 keeps the clocks of the writers, and is only cut off.
    for (let fault = 0; !stopped && fault < 40; fault++) {
      const [a, b] = random.pick([
        ['n1', 'n2'],
        ['n2', 'n3'],
        ['n1', 'n3'],
      ] as const)
      cluster.world.network.cut(a, b)
      cluster.world.network.cut(b, a)
      await cluster.world.advance(random.below(400))
      cluster.world.network.heal()
      await cluster.world.advance(random.below(300))
    }
    await cluster.world.runUntil(() => stopped, 120_000)
    const { records, begun } = await cluster.settle(running)
    await cluster.settle(Promise.all(writers))
    const held = new Map(records.map((record) => [Buffer.from(record.key).toString(), record]))
    let checked = 0
    for (const { key, version, atMs } of acknowledged) {
      if (atMs > begun[slotOf(Buffer.from(key))]!) continue
      checked++
      const found = held.get(key)
      expect(found, `${seed} ${key}`).toBeDefined()
      expect(compareVersions(found!, version), `${seed} ${key}`).toBeGreaterThanOrEqual(0)
    }
    expect(checked).toBeGreaterThan(20)
    expect(records.every((record) => hlcMs(record) > 0)).toBe(true)
  }
})

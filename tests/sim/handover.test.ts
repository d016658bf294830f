import type { LinkHandlers, Network } from '@quorumkv/internal/env'
import { allSlots, slotTables } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import {
  atRest,
  expectEqualCopies,
  fill,
  four,
  gone,
  join,
  leave,
  reached,
  step,
  three,
  threeOf,
} from './handover-scene.js'

test('a fourth node gets its share of the slots, and gives it back when it leaves; the others drop what is not theirs', async () => {
  const cluster = await threeOf({ seed: 'handover' })
  const keys = await fill(cluster, 400)
  await join(cluster, 'n4')
  await cluster.world.runUntil(() => atRest(cluster, 4), 60_000)
  await expectEqualCopies(cluster)
  const held = four.map((name) => cluster.node(name).localStore!.statistics().entries)
  expect(held.reduce((sum, entries) => sum + entries, 0)).toBe(3 * keys.length)
  expect(held[3]).toBeGreaterThan(200)
  for (const [i, key] of keys.entries()) expect(await cluster.settle(cluster.get(four[i % 4]!, key))).toBe(key)
  await leave(cluster, 'n4')
  await gone(cluster, 'n4')
  await cluster.world.runUntil(() => atRest(cluster, 3), 60_000)
  await expectEqualCopies(cluster)
  for (const [i, key] of keys.entries()) expect(await cluster.settle(cluster.get(three[i % 3]!, key))).toBe(key)
})

test('who is read: the owners from before while slots stream, and those to come as soon as they have them', async () => {
  const cluster = await threeOf({ seed: 'who is read', streamBytesPerSecond: 400_000 })
  await fill(cluster, 100, 'v'.repeat(1_000))
  const ownersReadAt = (name: string): Uint16Array[] =>
    allSlots().map((slot) => cluster.node(name).slotTable!.owners(slot))
  const tables = () => slotTables(cluster.node('n1').topology!)
  await join(cluster, 'n4')
  await reached(cluster, 'both', 50)
  expect(ownersReadAt('n1')).toEqual(allSlots().map((slot) => tables().current.owners(slot)))
  await reached(cluster, 'switch')
  expect(ownersReadAt('n1')).toEqual(allSlots().map((slot) => tables().next!.owners(slot)))
})

/** The bytes that come to one node over links for what is large. */
function countingBulk(name: string): { bytes: number; networkOf: (node: string, network: Network) => Network } {
  const count = { bytes: 0, networkOf }
  function networkOf(node: string, network: Network): Network {
    if (node !== name) return network
    return {
      listen: (address, accept) => network.listen(address, accept),
      connect: async (address, channel, timeoutMs) => {
        const link = await network.connect(address, channel, timeoutMs)
        const message = (handlers: LinkHandlers, bytes: Uint8Array): void => {
          if (channel === 'bulk') count.bytes += bytes.length
          handlers.message(bytes)
        }
        return {
          remote: link.remote,
          proved: link.proved,
          send: (bytes) => link.send(bytes),
          close: (reason) => link.close(reason),
          start: (handlers) =>
            link.start({
              message: (bytes) => message(handlers, bytes),
              drain: () => handlers.drain(),
              close: (reason) => handlers.close(reason),
            }),
        }
      },
    }
  }
  return count
}

test('a node that is killed while slots stream to it goes on where it was, and gets nothing twice', async () => {
  const streamed: number[] = []
  for (const kills of [0, 3]) {
    const count = countingBulk('n4')
    const rate = { streamBytesPerSecond: 100_000 }
    const cluster = await threeOf({ seed: 'resume', networkOf: count.networkOf, ...rate })
    await fill(cluster, 600, 'v'.repeat(1_000))
    await join(cluster, 'n4')
    for (let kill = 1; kill <= kills; kill++) {
      await reached(cluster, 'both', 200 * kill)
      cluster.crash('n4', { disk: 'lose' })
      await cluster.world.advance(500)
      await cluster.restart('n4')
      await cluster.allConnected()
      const { handover } = cluster.node('n4').status()
      expect(handover?.reports.find(({ id }) => id === 'n4')?.done).toBeGreaterThanOrEqual(200 * kill)
    }
    await cluster.world.runUntil(() => atRest(cluster, 4), 120_000)
    await expectEqualCopies(cluster)
    streamed.push(count.bytes)
  }
  // Three in four of 600 records of a kilobyte, once: of the second owner's copy, which is equal, nothing travels.
  expect(streamed[0]).toBeGreaterThan(450_000)
  expect(streamed[0]).toBeLessThan(600_000)
  // A kill costs the slots that were just under way, and those of the last moment.
  expect(streamed[1]! / streamed[0]!).toBeLessThan(1.1)
})

test('with one owner away it goes on; with two it waits, says for whom, and goes on when one is back', async () => {
  const cluster = await threeOf({ seed: 'away', streamBytesPerSecond: 100_000 })
  const keys = await fill(cluster, 300, 'v'.repeat(1_000))
  await join(cluster, 'n4')
  await reached(cluster, 'both', 50)
  cluster.crash('n3')
  await reached(cluster, 'both', 300)
  cluster.crash('n2')
  await cluster.world.advance(20_000)
  const { handover } = cluster.node('n1').status()
  expect(handover).toMatchObject({ step: 'both', waitsFor: ['n4'] })
  const obstacle = handover!.reports.find(({ id }) => id === 'n4')!.obstacle
  expect(obstacle).toMatch(/needs 2 of its owners, and n2, n3 cannot be reached/)
  await cluster.restart('n3')
  await cluster.world.runUntil(() => step(cluster) === undefined, 60_000)
  await cluster.restart('n2')
  await cluster.world.runUntil(() => atRest(cluster, 4), 60_000)
  await expectEqualCopies(cluster)
  for (const key of keys) expect(await cluster.settle(cluster.get('n4', key))).toBe(`${key}${'v'.repeat(1_000)}`)
})

test('taken back while it streams: the owners are as before, and what had come is dropped', async () => {
  const cluster = await threeOf({ seed: 'cancel', streamBytesPerSecond: 100_000 })
  const keys = await fill(cluster, 300, 'v'.repeat(1_000))
  await expect(cluster.settle(cluster.node('n1').handovers!.cancel())).rejects.toThrowError(/no handover runs/)
  await join(cluster, 'n4')
  await reached(cluster, 'both', 200)
  await cluster.settle(cluster.node('n2').handovers!.cancel())
  await cluster.world.runUntil(() => three.every((name) => step(cluster, name) === undefined), 10_000)
  expect(cluster.node('n1').topology!.members.map(({ id }) => id)).toEqual(three)
  for (const key of keys) expect(await cluster.settle(cluster.get('n1', key))).toBe(`${key}${'v'.repeat(1_000)}`)
  await expectEqualCopies(cluster)
})

test('the rate may be changed while it streams', async () => {
  const cluster = await threeOf({ seed: 'rate', streamBytesPerSecond: 65_536 })
  await fill(cluster, 600, 'v'.repeat(4_000))
  await join(cluster, 'n4')
  await reached(cluster, 'both', 64)
  const slow = cluster
    .node('n4')
    .status()
    .handover!.reports.find(({ id }) => id === 'n4')!
  expect(slow.remainingMs).toBeGreaterThan(20_000)
  cluster.node('n4').handovers!.streamBytesPerSecond = 10_000_000
  await cluster.world.runUntil(() => step(cluster) !== 'both', 5_000)
})

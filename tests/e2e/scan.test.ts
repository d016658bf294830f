import { expect, test } from 'vitest'
import { eventually, makeClient, startServers, TestServer } from '../fixtures.js'

test('a scan gives every key once, and in pages that a cursor goes on from, while members come and go', async () => {
  await using cluster = await startServers(3)
  await using client = makeClient(cluster.addresses)
  const count = 4_000
  for (let i = 0; i < count; i += 1_000) {
    await client.putMany(Array.from({ length: 1_000 }, (_, n) => [`key:${i + n}`, `value ${i + n}`] as const))
  }
  let working = true
  const rewriting = (async () => {
    for (let i = 0; working; i = (i + 7) % count) await client.put(`key:${i}`, `value ${i}`, { timeoutMs: 30_000 })
  })()

  await using fourth = new TestServer({ id: 'n4', peers: cluster.addresses })
  const seen = new Map<string, number>()
  const epochs = new Set<number>()
  const note = (key: string, value: string): void => {
    expect(value).toBe(`value ${key.slice(4)}`)
    seen.set(key, (seen.get(key) ?? 0) + 1)
    epochs.add(client.stats().epoch)
  }

  // The first half in one scan, during which a node joins and slots move to it.
  let cursor: string | undefined
  for await (const entry of client.scan({ prefix: 'key:', pageSize: 50, timeoutMs: 60_000 })) {
    note(entry.key, entry.value)
    if (seen.size === 500) await fourth.ready()
    if (seen.size === 1_000) {
      await eventually('slots are on their way to the fourth', async () => (await client.topology()).epoch > 1, 60_000)
    }
    cursor = entry.cursor
    if (seen.size >= count / 2 && cursor !== undefined) break
  }
  await eventually(
    'the fourth serves, and no handover runs',
    async () => {
      const { members, handover } = await client.topology()
      return handover === undefined && members.filter(({ state }) => state === 'serving').length === 4
    },
    60_000,
  )

  // The rest by its cursor, through another client, and with a member that leaves for good.
  await using other = makeClient([cluster.addresses[1]!, fourth.address])
  let behind = 0
  let leaving: Promise<unknown> | undefined
  for await (const entry of other.scan({ prefix: 'key:', pageSize: 50, timeoutMs: 60_000, cursor })) {
    note(entry.key, entry.value)
    if (seen.size > 2_500) leaving ??= other.operator.decommission('n1', { timeoutMs: 60_000 })
    // Time for the departure to happen while the scan runs.
    if (++behind % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 300))
  }
  working = false
  await rewriting
  await leaving
  expect(seen.size).toBe(count)
  expect([...seen].filter(([, times]) => times !== 1)).toEqual([])
  expect(epochs.size).toBeGreaterThan(1)
}, 240_000)

import { expect, test } from 'vitest'
import { eventually, makeClient, startServers, TestServer } from '../fixtures.js'

/** Live keys at one node. */
async function keysAt(address: string): Promise<number> {
  await using client = makeClient([address])
  return (await client.status(address)).storage.entries
}

test('a fourth node is killed while slots come to it: it goes on, gets its share, and the others drop theirs', async () => {
  await using cluster = await startServers(3)
  await using client = makeClient(cluster.addresses)
  const count = 20_000
  const value = 'v'.repeat(1_000)
  for (let i = 0; i < count; i += 1_000) {
    await client.putMany(Array.from({ length: 1_000 }, (_, n) => [`key-${i + n}`, `${i + n} ${value}`] as const))
  }
  const flags = ['--stream-rate', '4MiB']
  await using fourth = new TestServer({ id: 'n4', peers: cluster.addresses, flags })
  await fourth.ready()
  await eventually('a part has come', async () => (await keysAt(fourth.address)) > 2_000)
  await fourth.kill()
  const atMost = 0.75 * count
  fourth.start()
  await fourth.ready()
  const before = await keysAt(fourth.address)
  expect(before).toBeGreaterThan(2_000)
  expect(before).toBeLessThan(atMost)
  const all = [...cluster.addresses, fourth.address]
  const total = async (): Promise<number> => {
    const each = await Promise.all(all.map(keysAt))
    return each.reduce((sum, keys) => sum + keys, 0)
  }
  await eventually('there are three copies again', async () => (await total()) === 3 * count, 90_000)
  const held = await keysAt(fourth.address)
  expect(held).toBeGreaterThan(0.65 * count)
  expect(held).toBeLessThan(0.85 * count)
  // The share of a fourth node makes any other one superfluous.
  await cluster.servers[0]!.kill()
  await using others = makeClient(all.slice(1))
  for (let i = 0; i < count; i += 97) expect(await others.get(`key-${i}`, { timeoutMs: 20_000 })).toBe(`${i} ${value}`)
}, 180_000)

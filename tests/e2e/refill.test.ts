import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually, makeClient, runServer, startKv, startServers } from '../fixtures.js'

test('a member whose log is damaged is repaired, gets back from the others what it lost, and votes again', async () => {
  await using cluster = await startServers(3)
  await using client = makeClient(cluster.addresses)
  const keys = Array.from({ length: 300 }, (_, i) => `key-${i}`)
  for (const key of keys) await client.put(key, `value of ${key}`, { consistency: 'all' })
  await client.delete('key-7', { consistency: 'all' })
  const [first, , victim] = cluster.servers
  await victim!.stop()
  const segment = join(victim!.dataDir, 'log/0000000001.log')
  const bytes = readFileSync(segment)
  const at = bytes.indexOf('value of key-5')
  expect(at).toBeGreaterThan(0)
  bytes[at]! ^= 0x10
  writeFileSync(segment, bytes)
  const repaired = await runServer(['repair', '--data-dir', victim!.dataDir, '--yes'])
  expect(repaired.status).toBe(0)
  victim!.start()
  await victim!.ready()

  // Alone it says what it lacks, and serves it all the same, from the others.
  await using direct = makeClient([victim!.address])
  expect(await direct.get('key-5')).toBe('value of key-5')
  const lost = async (): Promise<number> => (await client.status(victim!.address)).storage.lostSlots
  await eventually('every slot is refilled', async () => (await lost()) === 0, 60_000)
  await using status = startKv([victim!.address], ['status'])
  expect((await status.end()).status).toBe(0)
  expect(status.output).toContain('3 of 3 members alive')
  expect(status.output).not.toContain('has lost')

  // Now its vote is needed, and it knows everything.
  await first!.kill()
  for (const key of keys) {
    const found = await client.get(key, { timeoutMs: 20_000 })
    expect(found, key).toBe(key === 'key-7' ? undefined : `value of ${key}`)
  }
  await client.put('key-5', 'newer')
  expect(await direct.get('key-5')).toBe('newer')
}, 120_000)

import { expect, test } from 'vitest'
import { makeClient, startKv, startServers } from '../fixtures.js'

async function kv(address: string, ...words: string[]): Promise<string> {
  await using command = startKv([address], words)
  const { status } = await command.end()
  expect([words.join(' '), status, command.output]).toEqual([words.join(' '), 0, expect.anything()])
  return command.output
}

test('a node that was removed while it was down is told when it wakes up, and ends with status 6; all data stays', async () => {
  await using cluster = await startServers(3)
  const [first, second, third] = cluster.servers
  const client = makeClient([first!.address, second!.address])
  const keys = Array.from({ length: 200 }, (_, i) => `key-${i}`)
  for (const key of keys) await client.put(key, `value of ${key}`)
  await third!.kill()
  await kv(first!.address, 'node', 'remove', 'n3', '--yes')
  const { members } = JSON.parse(await kv(second!.address, '--json', 'status')) as { members: { id: string }[] }
  expect(members.map(({ id }) => id)).toEqual(['n1', 'n2'])
  third!.start()
  expect(await third!.end()).toMatchObject({ status: 6 })
  expect(JSON.stringify(third!.lines)).toMatch(/n3 .* was removed at epoch \d+ of cluster/)
  for (const key of keys) expect(await client.get(key)).toBe(`value of ${key}`)
  await client.close()
}, 120_000)

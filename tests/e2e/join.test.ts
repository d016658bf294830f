import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually, makeClient, makeTemporaryDirectory, startKv, startServers, TestServer } from '../fixtures.js'

interface Told {
  readonly epoch: number
  readonly members: {
    readonly id: string
    readonly liveness: string
    readonly address: string
    readonly state: string
  }[]
}

async function told(address: string): Promise<Told> {
  await using status = startKv([address], ['--json', 'status'])
  expect((await status.end()).status).toBe(0)
  return JSON.parse(status.output) as Told
}

test('a cluster grows from one node to three while a client works, and a member is followed to another port', async () => {
  await using first = new TestServer({ id: 'n1' })
  await first.ready()
  await using client = makeClient([first.address])
  const written = new Map<string, string>()
  let working = true
  const work = (async () => {
    for (let i = 0; working; i++) {
      await client.put(`key-${i % 200}`, `value ${i}`)
      written.set(`key-${i % 200}`, `value ${i}`)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  })()
  await using second = new TestServer({ id: 'n2', peers: [first.address] })
  await second.ready()
  await using third = new TestServer({ id: 'n3', peers: [second.address] })
  await third.ready()
  await eventually(
    'three that own slots and vote, as all of them know',
    async () => {
      for (const { address } of [first, second, third]) {
        const { members } = await told(address)
        if (members.length < 3 || members.some(({ state }) => state !== 'serving')) return false
      }
      return true
    },
    60_000,
  )
  working = false
  await work
  // Every one of them has every key now: any may go.
  await first.kill()
  await using other = makeClient([second.address, third.address])
  for (const [key, value] of written) expect(await other.get(key, { timeoutMs: 20_000 }), key).toBe(value)
  first.start()
  await first.ready()

  const before = await told(third.address)
  await third.stop()
  await using moved = new TestServer({ id: 'n3', dataDir: third.dataDir, peers: [second.address] })
  await moved.ready()
  expect(moved.address).not.toBe(third.address)
  const after = await told(first.address)
  expect(after.epoch).toBe(before.epoch + 1)
  expect(after.members.map(({ id, address }) => [id, address])).toEqual([
    ['n1', first.address],
    ['n2', second.address],
    ['n3', moved.address],
  ])
}, 180_000)

test('a copy of the data directory of a node that runs, and one that asks for other settings, end with status 6', async () => {
  await using cluster = await startServers(3)
  const copied = makeTemporaryDirectory()
  cpSync(cluster.servers[1]!.dataDir, copied, { recursive: true, filter: (path) => !path.endsWith('.sock') })
  rmSync(join(copied, 'LOCK'), { recursive: true, force: true })
  await using copy = new TestServer({ id: 'n2', dataDir: copied, peers: cluster.addresses })
  expect((await copy.end()).status).toBe(6)
  expect(JSON.stringify(copy.lines)).toMatch(/the data directory of n2 is in use twice/)
  await using other = new TestServer({ id: 'n4', peers: cluster.addresses, flags: ['--virtual-nodes', '64'] })
  expect((await other.end()).status).toBe(6)
  expect(JSON.stringify(other.lines)).toMatch(/: --virtual-nodes is 64 at n4 and 150 at cluster/)
  expect((await told(cluster.addresses[0]!)).members.map(({ id }) => id)).toEqual(['n1', 'n2', 'n3'])
}, 120_000)

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually, longForm, makeClient, runServer, startKv, startServers, TestServer } from '../fixtures.js'

interface Told {
  readonly epoch: number
  readonly members: { readonly id: string; readonly liveness: string; readonly incarnation: string }[]
}

async function told(address: string): Promise<Told> {
  await using status = startKv([address], ['--json', 'status'])
  expect((await status.end()).status).toBe(0)
  return JSON.parse(status.output) as Told
}

test('a node that is killed and loses its whole data directory comes back by itself, and votes again', async () => {
  await using cluster = await startServers(3)
  await using client = makeClient(cluster.addresses)
  const keys = Array.from({ length: 300 }, (_, i) => `key-${i}`)
  for (const key of keys) await client.put(key, `value of ${key}`)
  await client.delete('key-7')
  const [first, victim] = cluster.servers
  const before = await told(first!.address)
  await victim!.kill()
  rmSync(victim!.dataDir, { recursive: true })
  victim!.start()
  await victim!.ready()
  const waits = victim!.lines.filter(({ msg }) => msg === 'waiting to be taken in by the cluster')
  expect(waits.length).toBeGreaterThan(0)

  const lost = async (): Promise<number> => (await client.status(victim!.address)).storage.lostSlots
  await eventually('every slot is refilled', async () => (await lost()) === 0, 60_000)
  const after = await told(first!.address)
  expect(after.epoch).toBe(before.epoch + 1)
  expect(after.members.map(({ id, liveness }) => [id, liveness])).toEqual([
    ['n1', 'alive'],
    ['n2', 'alive'],
    ['n3', 'alive'],
  ])
  const changed = after.members.filter(({ incarnation }, i) => incarnation !== before.members[i]!.incarnation)
  expect(changed.map(({ id }) => id)).toEqual(['n2'])
  await using status = startKv([victim!.address], ['status'])
  expect((await status.end()).status).toBe(0)
  expect(status.output).toContain('3 of 3 members alive')
  expect(status.output).toContain('epoch 2')
  expect(status.output).toContain(changed[0]!.incarnation.slice(0, 8))
  expect(status.output).not.toContain('has lost')

  // Now its vote is needed, and it knows everything.
  await first!.kill()
  // What it has voted for belongs to a sound directory.
  expect((await runServer(['verify', '--data-dir', first!.dataDir])).status).toBe(0)
  for (const key of keys) {
    const found = await client.get(key, { timeoutMs: 20_000 })
    expect(found, key).toBe(key === 'key-7' ? undefined : `value of ${key}`)
  }
  await client.put('key-5', 'newer')
  await using direct = makeClient([victim!.address])
  expect(await direct.get('key-5')).toBe('newer')
}, 120_000)

test('a second process with the name of one that runs ends with status 6', async () => {
  await using cluster = await startServers(3)
  await using twin = new TestServer({ id: 'n2', peers: cluster.addresses })
  expect((await twin.end()).status).toBe(6)
  // By n2 itself, or by one that is linked to it, whoever is asked first.
  expect(JSON.stringify(twin.lines)).toMatch(/alive elsewhere|the id n2 is in use/)
  expect((await told(cluster.addresses[0]!)).epoch).toBe(1)
}, 60_000)

test.runIf(longForm)(
  'a member that a repair has made a new incarnation is taken in when it is started',
  async () => {
    await using cluster = await startServers(3)
    await using client = makeClient(cluster.addresses)
    for (let i = 0; i < 50; i++) await client.put(`key-${i}`, `value-${i}`)
    const [first, victim] = cluster.servers
    await victim!.kill()
    // What it had promised of its clock cannot be read any more.
    const document = join(victim!.dataDir, 'clock')
    writeFileSync(document, readFileSync(document).fill(0x55, 12))
    const repaired = await runServer(['repair', '--data-dir', victim!.dataDir, '--yes'])
    expect(repaired.status).toBe(0)
    expect(repaired.output).toContain('NEW INCARNATION')
    expect(repaired.output).toContain('take in when it is started')
    victim!.start()
    await victim!.ready()
    expect((await told(first!.address)).epoch).toBe(2)
    await eventually(
      'every slot is refilled',
      async () => (await client.status(victim!.address)).storage.lostSlots === 0,
      60_000,
    )
    await first!.kill()
    for (let i = 0; i < 50; i++) expect(await client.get(`key-${i}`, { timeoutMs: 20_000 })).toBe(`value-${i}`)
  },
  120_000,
)

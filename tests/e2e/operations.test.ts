import { Client, credentials } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { eventually, longForm, makeClient, startKv, startServers } from '../fixtures.js'

async function kv(addresses: readonly string[], ...args: string[]) {
  await using program = startKv(addresses, args)
  const { status } = await program.end()
  return { status, output: program.output, errors: program.diagnostics }
}

interface Told {
  readonly epoch: number
  readonly members: { readonly id: string; readonly state: string; readonly liveness: string }[]
}

async function membersOf(addresses: readonly string[]): Promise<string[]> {
  const { output } = await kv(addresses, '--json', 'status')
  return (JSON.parse(output) as Told).members.map(({ id, state }) => `${id} ${state}`)
}

/** 1: SERVING, 2: NOT_SERVING. */
function health(address: string): Promise<number> {
  const client = new Client(address, credentials.createInsecure())
  const same = (bytes: Buffer): Buffer => bytes
  return new Promise<number>((resolve, reject) => {
    client.makeUnaryRequest('/grpc.health.v1.Health/Check', same, same, Buffer.alloc(0), (error, reply) => {
      client.close()
      if (error === null) resolve(reply!.at(1) ?? 0)
      else reject(error)
    })
  })
}

test('a member is decommissioned from the command line while clients write; it hands over what it has and ends with 0', async () => {
  await using cluster = await startServers(4)
  await using client = makeClient(cluster.addresses)
  await client.ready()
  const [one, two, three, leaver] = cluster.servers
  const keys = Array.from({ length: 300 }, (_, i) => `key-${i}`)
  for (const key of keys) await client.put(key, 'first')

  const refused = await kv(cluster.addresses, 'node', 'decommission', 'n4')
  expect(refused.status).toBe(2)
  expect(refused.errors).toContain('slots get other owners')
  expect((await kv(cluster.addresses, 'node', 'remove', 'n4', '--yes')).errors).toContain('n4 is alive')
  expect(await membersOf(cluster.addresses)).toHaveLength(4)

  let stopped = false
  const writing = (async () => {
    for (let i = 0; !stopped; i++) await client.put(keys[i % keys.length]!, `while it goes ${i}`)
  })()
  const left = await kv(cluster.addresses, 'node', 'decommission', 'n4', '--yes')
  stopped = true
  await writing
  expect([left.status, left.output]).toEqual([0, 'decommission n4: done\n'])
  expect(await leaver!.end()).toMatchObject({ status: 0 })
  const others = [one!, two!, three!].map(({ address }) => address)
  expect(await membersOf(others)).toEqual(['n1 serving', 'n2 serving', 'n3 serving'])
  for (const key of keys) await client.put(key, 'last')
  await one!.kill()
  for (const key of keys) expect(await client.get(key, { timeoutMs: 20_000 })).toBe('last')
}, 120_000)

test.runIf(longForm)(
  'one node after the other is asked about, drained, stopped and started: no client notices',
  async () => {
    await using cluster = await startServers(3)
    await using client = makeClient(cluster.addresses)
    await client.ready()
    let stopped = false
    const failures: unknown[] = []
    let acknowledged = 0
    const load = Array.from({ length: 8 }, async (_, worker) => {
      for (let i = 0; !stopped; i++) {
        await client.put(`key-${worker}-${i % 50}`, `${i}`).then(
          () => acknowledged++,
          (error: unknown) => failures.push(error),
        )
      }
    })
    for (const [i, server] of cluster.servers.entries()) {
      const id = `n${i + 1}`
      const others = cluster.addresses.filter((address) => address !== server.address)
      await eventually(`${id} may be stopped`, async () => {
        return (await kv(others, 'node', 'safe-to-stop', id)).status === 0
      })
      expect(await health(server.address)).toBe(1)
      expect((await kv(cluster.addresses, 'node', 'drain', id)).status).toBe(0)
      expect(await health(server.address)).toBe(2)
      await server.stop()
      const other = `n${((i + 1) % 3) + 1}`
      await eventually(`${other} may not be stopped as well`, async () => {
        const { status, output } = await kv(others, 'node', 'safe-to-stop', other)
        return status === 1 && output.includes(`${id} is down`)
      })
      server.start()
      await server.ready()
      expect(await health(server.address)).toBe(1)
    }
    stopped = true
    await Promise.all(load)
    expect(failures).toEqual([])
    expect(acknowledged).toBeGreaterThan(100)
  },
  120_000,
)

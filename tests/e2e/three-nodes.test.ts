import type { KvClient } from '@quorumkv/client'
import { describe, expect, it } from 'vitest'
import { eventually, makeClient, startServers } from '../fixtures.js'

/** Writes that go on until they are told to stop, and what was acknowledged of them. */
class Writer {
  readonly acknowledged = new Map<string, string>()
  readonly failures: unknown[] = []
  readonly #client: KvClient
  readonly #lanes: Promise<void>[]
  #stopped = false

  constructor(client: KvClient, lanes: number) {
    this.#client = client
    this.#lanes = Array.from({ length: lanes }, (_, lane) => this.#write(lane))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#lanes)
  }

  async #write(lane: number): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const [key, value] = [`w${lane}-${i % 50}`, `${i}`]
      try {
        await this.#client.put(key, value)
        this.acknowledged.set(key, value)
      } catch (error) {
        this.failures.push(error)
      }
    }
  }
}

describe('three nodes', () => {
  it('form one cluster; what one takes, another gives', async () => {
    await using cluster = await startServers(3)
    const clients = cluster.addresses.map((address) => makeClient([address]))
    const [first, , third] = clients
    const { acks } = await first!.put('key', 'via the first')
    expect(acks).toBeGreaterThanOrEqual(2)
    expect(await third!.get('key')).toBe('via the first')
    const statuses = await Promise.all(cluster.addresses.map((address) => third!.status(address)))
    expect(new Set(statuses.map(({ clusterId }) => clusterId)).size).toBe(1)
    expect(new Set(statuses.map(({ nodeId }) => nodeId))).toEqual(new Set(['n1', 'n2', 'n3']))
    expect(statuses[0]!.members.map(({ id }) => id)).toEqual(['n1', 'n2', 'n3'])
    // One that has just started on a busy machine may be late with an answer, and clears itself of the suspicion.
    await eventually('all are held for alive', async () => {
      const { members } = await first!.status(cluster.addresses[0])
      return members.every(({ liveness }) => liveness === 'alive')
    })
    expect((await third!.delete('key')).existed).toBe(true)
    expect(await first!.get('key')).toBeUndefined()
    for (const client of clients) await client.close()
  })

  it('one killed costs no error, and takes part again when it is back', async () => {
    await using cluster = await startServers(3)
    await using client = makeClient(cluster.addresses)
    const writer = new Writer(client, 8)
    await eventually('writes run', () => writer.acknowledged.size > 100)
    const victim = cluster.servers[1]!
    await victim.kill()
    const before = writer.acknowledged.size
    await eventually('writes go on', () => writer.acknowledged.size > before + 100)
    const reader = makeClient([cluster.addresses[0]!])
    await eventually('the others know it', async () => {
      const { members } = await reader.status(cluster.addresses[0]!)
      return members.find(({ id }) => id === 'n2')?.liveness === 'dead'
    })
    victim.start()
    await victim.ready()
    await eventually('the others have it back', async () => {
      const { members } = await reader.status(cluster.addresses[0]!)
      return members.every(({ liveness }) => liveness === 'alive')
    })
    await reader.close()
    await writer.stop()
    expect(writer.failures).toEqual([])
    for (const [key, value] of writer.acknowledged) expect(await client.get(key)).toBe(value)
  })

  it('all killed at once during writes: everything acknowledged is there after the restart', async () => {
    await using cluster = await startServers(3)
    await using client = makeClient(cluster.addresses, { timeoutMs: 1_500 })
    // Every key is written once, so that an unacknowledged write cannot stand where an acknowledged one is looked for.
    const acknowledged = new Set<string>()
    let stopped = false
    const lanes = Array.from({ length: 16 }, async (_, lane) => {
      for (let i = 0; !stopped; i++) {
        const key = `c${lane}-${i}`
        await client.put(key, key).then(
          () => acknowledged.add(key),
          () => undefined,
        )
      }
    })
    await eventually('writes run', () => acknowledged.size > 300)
    await Promise.all(cluster.servers.map((server) => server.kill()))
    stopped = true
    await Promise.all(lanes)
    for (const server of cluster.servers) server.start()
    await cluster.ready()
    await using later = makeClient(cluster.addresses)
    const found = await later.getMany([...acknowledged])
    const lost = [...acknowledged].filter((key) => found.get(key) !== key)
    expect(lost).toEqual([])
    expect(acknowledged.size).toBeGreaterThan(300)
  })

  it('two of three killed: reads and writes say that they are unavailable; back again, they work', async () => {
    await using cluster = await startServers(3)
    await using client = makeClient(cluster.addresses, { timeoutMs: 1_000 })
    await client.put('k', 'before')
    await Promise.all(cluster.servers.slice(1).map((server) => server.kill()))
    await expect(client.put('k', 'during')).rejects.toMatchObject({
      code: expect.stringMatching(/unavailable|timeout/),
      outcome: expect.stringMatching(/not-applied|unknown/),
    })
    await expect(client.get('k')).rejects.toMatchObject({ code: expect.stringMatching(/unavailable|timeout/) })
    for (const server of cluster.servers.slice(1)) server.start()
    await cluster.ready()
    await using later = makeClient(cluster.addresses)
    await later.put('k', 'after')
    expect(await later.get('k')).toBe('after')
  })
})

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { SnapshotTaken } from '@quorumkv/client'
import { describe, expect, it } from 'vitest'
import { freePorts, makeClient, startKv, startServers, type TestServer } from '../fixtures.js'

async function kv(addresses: readonly string[], ...argv: string[]) {
  await using program = startKv(addresses, argv)
  const { status } = await program.end()
  return { status, output: program.output, diagnostics: program.diagnostics }
}

function newestOf({ dataDir }: TestServer): { sequence: number; bytes: number } {
  const directory = join(dataDir, 'snapshots')
  const name = readdirSync(directory)
    .filter((one) => one.endsWith('.snapshot'))
    .sort()
    .at(-1)!
  return { sequence: Number.parseInt(name, 10), bytes: statSync(join(directory, name)).size }
}

describe('kv snapshot', () => {
  it('all nodes, or one, write what they hold, tell what it is, and start from it', async () => {
    await using cluster = await startServers(3, { flags: ['--snapshot-interval', '1h'] })
    await using client = makeClient(cluster.addresses)
    await client.putMany(
      Array.from({ length: 500 }, (_, i) => ({ key: `key-${i}`, value: `value ${i}` })),
      {
        consistency: 'all',
      },
    )
    // One endpoint is enough: each member is asked at its own address.
    const all = await kv(cluster.addresses.slice(0, 1), 'snapshot', '--all', '--json')
    expect(all).toMatchObject({ status: 0, diagnostics: '' })
    const taken = all.output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as SnapshotTaken)
      .sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1))
    expect(taken.map(({ nodeId }) => nodeId)).toEqual(['n1', 'n2', 'n3'])
    for (const [i, { sequence, records, bytes }] of taken.entries()) {
      expect(newestOf(cluster.servers[i]!)).toEqual({ sequence, bytes })
      expect(records).toBe(500)
      expect((await client.status(cluster.addresses[i])).storage.snapshotSequence).toBe(sequence)
    }

    await client.put('one-more', 'x', { consistency: 'all' })
    const before = cluster.servers.map(newestOf)
    const one = await kv(cluster.addresses, 'snapshot', '--node', 'n2')
    expect(one.output).toMatch(/^n2: up to sequence \d+, 501 records, [\d.]+ KiB, in \d+ ms\n$/)
    const again = JSON.parse((await kv(cluster.addresses.slice(1, 2), 'snapshot', '--json')).output) as SnapshotTaken
    expect(again).toMatchObject({ nodeId: 'n2', ...newestOf(cluster.servers[1]!), records: 501 })
    expect(cluster.servers.map(newestOf).map(({ sequence }, i) => sequence > before[i]!.sequence)).toEqual([
      false,
      true,
      false,
    ])

    for (const server of cluster.servers) await server.kill()
    await Promise.all(cluster.servers.map((server) => server.restart()))
    expect(await client.get('key-499', { consistency: 'all' })).toBe('value 499')
  })

  it('a member that is down is told, and fails the command', async () => {
    await using cluster = await startServers(3)
    await cluster.servers[2]!.kill()
    const run = await kv(cluster.addresses.slice(0, 1), 'snapshot', '--all')
    expect(run.status).toBe(1)
    expect(run.output.match(/^n[12]: up to sequence/gm)).toHaveLength(2)
    expect(run.diagnostics).toContain('n3: ')
  })
})

describe('kv where no server is', () => {
  it.each([['get', 'k'], ['put', 'k', 'v'], ['scan'], ['status'], ['snapshot']])(
    '%s fails at once and names all endpoints',
    async (...argv) => {
      const addresses = (await freePorts(3)).map((port) => `127.0.0.1:${port}`)
      const startedMs = performance.now()
      // With a minute of time, an attempt that waited would be seen on any machine.
      const run = await kv(addresses, '--timeout', '60s', ...argv)
      expect(performance.now() - startedMs).toBeLessThan(20_000)
      expect(run.status).toBe(1)
      expect(run.diagnostics).toContain(`no node answers at ${addresses.join(', ')}: `)
      expect(run.diagnostics).toContain('ECONNREFUSED')
    },
  )
})

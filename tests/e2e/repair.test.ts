import type { RepairProgress } from '@quorumkv/client'
import { describe, expect, it } from 'vitest'
import { eventually, makeClient, startKv, startServers } from '../fixtures.js'

async function kv(addresses: readonly string[], ...argv: string[]) {
  await using program = startKv(addresses, argv)
  const { status } = await program.end()
  return { status, output: program.output, diagnostics: program.diagnostics }
}

const entries = (from: number, to: number, value: string) =>
  Array.from({ length: to - from }, (_, i) => ({ key: `key-${from + i}`, value }))

describe('copies that differ', () => {
  it('become equal without a read; kv repair asks for it, kv status shows it', async () => {
    await using cluster = await startServers(3)
    await using client = makeClient(cluster.addresses)
    const [, , third] = cluster.servers
    await client.putMany(entries(0, 500, 'old'), { consistency: 'all' })
    await third!.kill()
    await client.putMany(entries(250, 1_000, 'new'))
    await client.delete('key-0')
    await third!.restart()
    // Until all have a link to n3 again it fails and says so; what they tell of one another may be from before.
    let repaired = await kv(cluster.addresses.slice(0, 1), 'repair', '--json')
    await eventually('all reach n3 again, and are compared', async () => {
      if (repaired.status !== 0) repaired = await kv(cluster.addresses.slice(0, 1), 'repair', '--json')
      return repaired.status === 0
    })
    expect(repaired.diagnostics).toBe('')
    const lines = repaired.output.trim().split('\n')
    const told = lines.map((line) => JSON.parse(line) as RepairProgress)
    expect(told.map(({ nodeId }) => nodeId).sort()).toEqual(['n1', 'n2', 'n3'])
    for (const one of told) {
      expect(one).toMatchObject({ done: true, members: 2, membersDone: 2, obstacles: [] })
      expect(one.slotsRepaired).toBe(one.slotsDiffering)
    }
    for (const { storage, convergence } of await Promise.all(cluster.addresses.map((one) => client.status(one)))) {
      expect([storage.entries, storage.tombstones]).toEqual([999, 1])
      expect(convergence.peers.map(({ differingSlots, obstacle }) => [differingSlots, obstacle])).toEqual([
        [0, ''],
        [0, ''],
      ])
    }
    // What it holds is what the others hold: alone it answers with it.
    await cluster.servers[0]!.kill()
    await cluster.servers[1]!.kill()
    await using alone = makeClient([third!.address])
    expect(await alone.get('key-0', { consistency: 'one' })).toBeUndefined()
    expect(await alone.get('key-249', { consistency: 'one' })).toBe('old')
    expect(await alone.get('key-250', { consistency: 'one' })).toBe('new')
    expect(await alone.get('key-999', { consistency: 'one' })).toBe('new')
  })

  it('kv repair of one slot or one member asks those alone, and fails where one is down', async () => {
    await using cluster = await startServers(3)
    const [first] = cluster.addresses
    const slot = await kv([first!], 'repair', '--slot', '7')
    expect(slot).toMatchObject({ status: 0, diagnostics: '' })
    expect(slot.output.trim().split('\n').sort()).toEqual(
      ['n1', 'n2', 'n3'].map((id) =>
        expect.stringMatching(new RegExp(`^${id}: compared with 2 of 2 members in .*; nothing differed$`)),
      ),
    )
    expect((await kv([first!], 'repair', '--node', 'n2')).output).toMatch(/^n2: compared with 2 of 2 members/)
    expect(await kv([first!], 'repair', '--slot', '4096')).toMatchObject({ status: 2, output: '' })

    await using client = makeClient(cluster.addresses)
    await cluster.servers[2]!.kill()
    await eventually('n1 knows that n3 is down', async () => {
      const { members } = await client.status(first)
      return members.some(({ id, liveness }) => id === 'n3' && liveness !== 'alive')
    })
    const one = await kv([first!], 'repair', '--node', 'n1')
    expect(one).toMatchObject({ status: 1, output: expect.stringContaining('n1: compared with 1 of 2 members') })
    expect(one.diagnostics).toContain('n1: not compared with n3: it cannot be reached\n')
    const all = await kv([first!], '--timeout', '2s', 'repair')
    expect(all.status).toBe(1)
    expect(all.diagnostics).toContain('3 of 3 members could not be compared with all others')
  })
})

import { Command } from 'commander'
import { expect, test } from 'vitest'
import { addPeersOptions } from './command.js'
import { contestants } from './contestants.js'
import type { PeersSettings } from './peers-benchmark.js'

async function parse(...args: string[]): Promise<PeersSettings> {
  let parsed: PeersSettings | undefined
  const command = addPeersOptions(new Command('peers'), (settings) => {
    parsed = settings
    return Promise.resolve()
  })
  command.exitOverride().configureOutput({ writeErr: () => {} })
  await command.parseAsync(args, { from: 'user' })
  return parsed!
}

test('by default everything is measured side by side, and nothing is installed', async () => {
  const settings = await parse()
  expect(settings.contestants).toEqual(contestants.slice(1).map(({ name }) => name))
  expect(settings.install).toBe(false)
  expect(settings.rounds).toBeGreaterThanOrEqual(3)
})

test('lists are read with their commas', async () => {
  const settings = await parse('--peers', 'etcd, redis-wait', '--workloads', 'mixed,70/30', '--in-flight', '1,8')
  expect(settings.contestants).toEqual(['etcd', 'redis-wait'])
  expect(settings.workloads).toEqual(['mixed', '70/30'])
  expect(settings.inFlight).toEqual([1, 8])
})

test.each([
  [['--peers', 'memcached'], 'There is no "memcached": name some of quorumkv, redis-wait'],
  [['--workloads', 'mixd'], 'there is no workload "mixd"'],
  [['--workloads', 'ycsb-e'], 'ycsb-e scans, which not all targets can.'],
  [['--in-flight', '1,0'], 'It must be a whole number from 1 to'],
  [['--in-flight', '1,513', '--value-bytes', '1048576'], '--in-flight 513: with values of 1048576 B at most 512'],
  [['--rounds', '0'], 'It must be a whole number from 1 to'],
  [['--seconds', '-1'], 'It must be a number from 0.1 to'],
])('%j is refused with its reason', async (args, reason) => {
  await expect(parse(...args)).rejects.toThrow(reason)
})

test('every contestant has a name of its own, and says where its data is', () => {
  expect(new Set(contestants.map(({ name }) => name)).size).toBe(contestants.length)
  for (const { durability } of contestants) expect(durability).toMatch(/^acknowledged: .*; a read asks /)
})

import { Command, CommanderError } from 'commander'
import { expect, test } from 'vitest'
import { addClusterOptions, type ClusterSettings } from './options.js'

function parse(...argv: string[]): ClusterSettings {
  const command = addClusterOptions(new Command('bench'), () => Promise.resolve())
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
  return command.parse(argv, { from: 'user' }).opts()
}

function refusal(...argv: string[]): string {
  try {
    parse(...argv)
  } catch (error) {
    if (error instanceof CommanderError) return error.message
    throw error
  }
  throw new Error(`${argv.join(' ')} was accepted`)
}

test('without options: three nodes, fsync always, 100 k keys of 100 B, the standard set with 256 in flight for 10 s each', () => {
  const settings = parse()
  expect(settings).toMatchObject({ nodes: 3, fsync: 'always', keys: 100_000, valueBytes: 100, inFlight: 256 })
  expect(settings).toMatchObject({ seconds: 10, warmUpSeconds: 2, runs: 1, openRate: 10_000, record: false })
  expect(settings.workload).toBeUndefined()
})

test('--quick is shorter, but for what is asked for beside it', () => {
  expect(parse('--quick')).toMatchObject({ seconds: 2, warmUpSeconds: 0.5, keys: 20_000 })
  expect(parse('--quick', '--keys', '5')).toMatchObject({ seconds: 2, keys: 5 })
})

test('workloads are those of kv bench, by name or in percent', () => {
  expect(parse('--workload', 'ycsb-a, 70/30').workload).toMatchObject([
    { name: 'ycsb-a', distribution: 'zipfian' },
    { mix: { read: 0.7, update: 0.3 } },
  ])
})

test.each(['50', '50/60', 'ycsb-g', 'mixed,', ''])('the workload %j is refused by name', (text) => {
  expect(refusal('--workload', text)).toContain("'--workload <name,…>' argument")
})

test.each([
  ['--nodes', '0'],
  ['--keys', '1.5'],
  ['--keys', '1e3'],
  ['--value-bytes', '15'],
  ['--in-flight', '0'],
  ['--in-flight', '16385'],
  ['--seconds', '0'],
  ['--seconds', 'Infinity'],
  ['--warm-up-seconds', '-1'],
  ['--open-rate', '0'],
  ['--runs', '0'],
  ['--fsync', 'sometimes'],
])('%s %s is refused by name', (flag, value) => {
  expect(refusal(flag, value)).toContain(flag)
})

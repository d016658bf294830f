import { Command, CommanderError } from 'commander'
import { expect, test } from 'vitest'
import { addClusterOptions, type ClusterSettings } from './options.js'

function parse(...argv: string[]): ClusterSettings {
  const command = addClusterOptions(new Command('bench'))
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

test('without options: three nodes, fsync always, 100 k keys of 100 B, 50/50 with 256 in flight for 10 s', () => {
  expect(parse()).toMatchObject({
    nodes: 3,
    fsync: 'always',
    keys: 100_000,
    valueBytes: 100,
    mix: [{ getPercent: 50, putPercent: 50 }],
    inFlight: 256,
    seconds: 10,
    oneAtATimeSeconds: 5,
    warmUpSeconds: 1,
  })
})

test('several mixes are read with their gets first', () => {
  expect(parse('--mix', '95/5, 5/95').mix).toEqual([
    { getPercent: 95, putPercent: 5 },
    { getPercent: 5, putPercent: 95 },
  ])
})

test.each(['50', '50/60', '/100', '-5/105', '50/50,', 'a/b', '50.5/49.5'])('the mix %j is refused', (text) => {
  expect(refusal('--mix', text)).toContain("'--mix <gets/puts,…>' argument")
})

test.each([
  ['--nodes', '0'],
  ['--keys', '1.5'],
  ['--keys', '1e3'],
  ['--value-bytes', '23'],
  ['--in-flight', '0'],
  ['--in-flight', '16385'],
  ['--seconds', '0'],
  ['--seconds', 'Infinity'],
  ['--warm-up-seconds', '-1'],
  ['--fsync', 'sometimes'],
])('%s %s is refused by name', (flag, value) => {
  expect(refusal(flag, value)).toContain(flag)
})

test('settings of nodes that are started do not go with a running cluster, and their defaults do', () => {
  expect(parse('--endpoints', 'a:1, b:2').endpoints).toEqual(['a:1', 'b:2'])
  expect(refusal('--endpoints', 'a:1', '--fsync', 'never')).toContain('cannot be used with')
  expect(refusal('--endpoints', 'a:1', '--nodes', '3')).toContain('cannot be used with')
})

import { Command } from 'commander'
import { expect, test } from 'vitest'
import { addSwimOptions, formatSwimReport, runSwimBenchmark, type SwimBenchmarkSettings } from './swim-benchmark.js'
import { spread } from './swim-figures.js'

const small: SwimBenchmarkSettings = { nodes: [3], trials: 2, minutes: 1, seed: '1', json: false }

function parse(...words: readonly string[]): SwimBenchmarkSettings {
  let settings: SwimBenchmarkSettings | undefined
  const command = addSwimOptions(
    new Command().exitOverride().configureOutput({ writeErr: () => undefined }),
    async (found) => {
      settings = found
    },
  )
  command.parse(words, { from: 'user' })
  return settings!
}

test('the same seed gives the same figures, another one others', () => {
  const run = (seed: string): string => formatSwimReport(runSwimBenchmark({ ...small, seed }, () => undefined))
  expect(run('1')).toBe(run('1'))
  expect(run('2')).not.toBe(run('1'))
})

test('every size is measured with every loss, and shown in a line', () => {
  const report = runSwimBenchmark({ ...small, nodes: [2, 3] }, () => undefined)
  expect(report.detection.map(({ nodes, loss }) => [nodes, loss])).toEqual([
    [2, 0],
    [3, 0],
    [2, 0.05],
    [3, 0.05],
    [2, 0.3],
    [3, 0.3],
  ])
  for (const { firstMs, allMs } of report.detection) {
    expect(firstMs.p50).toBeGreaterThan(4000)
    expect(allMs.p99).toBeGreaterThanOrEqual(firstMs.p99)
  }
  expect(
    formatSwimReport(report)
      .split('\n')
      .filter((line) => /^ +[23] /.test(line)),
  ).toHaveLength(6 + 6 + 2 + 2)
})

test('percentiles are values that were measured', () => {
  const values = Array.from({ length: 200 }, (_, at) => (at * 37) % 200)
  expect(spread(values)).toEqual({ p50: 100, p99: 198, max: 199 })
  expect(spread([5])).toEqual({ p50: 5, p99: 5, max: 5 })
})

test('the command line: sizes with commas, within bounds', () => {
  expect(parse()).toEqual({ nodes: [3, 5, 10, 30, 100], trials: 40, minutes: 10, seed: '1', json: false })
  expect(parse('--nodes', '3, 7', '--trials', '5', '--json')).toMatchObject({ nodes: [3, 7], trials: 5, json: true })
  for (const bad of ['1', '3,x', '', '251']) expect(() => parse('--nodes', bad)).toThrow('whole number')
})

import { expect, test } from 'vitest'
import { type MicroCase, microCases, microGroups } from './cases.js'
import { formatMicroReport } from './command.js'
import { measureCases } from './run.js'

const never = new AbortController().signal

test('every case of every group runs, and has a number to show for it', () => {
  const cases = microCases(microGroups)
  for (const { run } of cases) expect(run()).toBeTypeOf('number')
  expect(new Set(cases.map(({ group }) => group))).toEqual(new Set(microGroups))
  expect(new Set(cases.map(({ group, name }) => `${group}: ${name}`)).size).toBe(cases.length)
})

test('a group that was not asked for is not made', () => {
  expect(microCases(['crc', 'hash']).map(({ group }) => group)).toEqual([
    ...Array(3).fill('hash'),
    ...Array(8).fill('crc'),
  ])
})

function spinning(milliseconds: number, operations: number): MicroCase {
  const run = (): number => {
    const end = performance.now() + milliseconds
    let turns = 0
    while (performance.now() < end) turns++
    return turns
  }
  return { group: 'hash', name: `${operations} operations`, operations, run }
}

test('a time is that of one operation, and not of the run that had many', async () => {
  const [once, thousand] = await measureCases([spinning(2, 1), spinning(2, 1000)], 20, never)
  expect(once!.p50Ns).toBeGreaterThanOrEqual(2e6)
  expect(once!.perSecond).toBeLessThanOrEqual(500)
  expect(thousand!.p50Ns).toBeGreaterThanOrEqual(2e3)
  expect(thousand!.p50Ns).toBeLessThan(once!.p50Ns)
  expect(thousand!.perSecond).toBeCloseTo(1e9 / thousand!.p50Ns)
})

test('a case that throws fails the benchmark, and so does an interruption', async () => {
  const broken: MicroCase = {
    group: 'log',
    name: 'broken',
    operations: 1,
    run: () => {
      throw new Error('no such key')
    },
  }
  await expect(measureCases([broken], 10, never)).rejects.toThrow('no such key')
  const asked = AbortSignal.abort(new Error('ended by SIGINT'))
  await expect(measureCases([spinning(1, 1)], 10, asked)).rejects.toThrow('ended by SIGINT')
})

test('the report names each group once', () => {
  const result = { p50Ns: 12.3, p99Ns: 45.6, perSecond: 81_300_000, marginPercent: 0.5, runs: 1000 }
  const environment = {
    cpu: 'c',
    cores: 2,
    memoryBytes: 2 ** 30,
    loadAverage: 1,
    os: 'Linux',
    node: 'v20',
    commit: 'abc',
  }
  const results = [
    { ...result, group: 'hash', name: 'one' },
    { ...result, group: 'hash', name: 'two' },
    { ...result, group: 'crc', name: 'three' },
  ] as const
  const text = formatMicroReport({ benchmark: 'micro', startedAt: 'now', environment, results })
  expect(text.split('\n').slice(4)).toEqual([
    '             ns p50  ns p99    a second  ± %   runs',
    'hash  one      12.3    45.6  81,300,000  0.5  1,000',
    '      two      12.3    45.6  81,300,000  0.5  1,000',
    'crc   three    12.3    45.6  81,300,000  0.5  1,000',
    '',
  ])
})

import { expect, test } from 'vitest'
import { growthRun } from '../history/figures.js'
import { parseHistory } from '../history/history.js'
import { phaseReport } from '../reports.test-support.js'
import { formatGrowthReport } from './command.js'
import { grownValue, growthLines, growthSeries } from './plan.js'
import { type GrowthReport, growthResult } from './run.js'

test('in each series one thing grows, from little to much', () => {
  for (const { series, points } of growthLines(growthSeries, true)) {
    const values = points.map((point) => grownValue(series, point))
    expect(values).toEqual(values.toSorted((a, b) => a - b))
    expect(new Set(values).size).toBe(points.length)
  }
  const [keys] = growthLines(['keys'], true)
  expect(keys!.points.map((point) => point.keys)).toContain(10_000_000)
  expect(
    keys!.points.every(({ nodes, valueBytes, inFlight }) => nodes === 3 && valueBytes === 100 && inFlight === 256),
  ).toBe(true)
  expect(growthLines(['keys'], false)[0]!.points.every((point) => point.keys <= 1_000_000)).toBe(true)
})

test('large values do not fill the memory: there are fewer of them, and fewer in flight', () => {
  const [values] = growthLines(['value-bytes'], false)
  for (const { keys, valueBytes, inFlight } of values!.points) {
    expect(keys * valueBytes).toBeLessThanOrEqual(2 ** 28)
    expect(inFlight * valueBytes).toBeLessThanOrEqual(2 ** 25)
    expect(Math.min(keys, inFlight)).toBeGreaterThan(0)
  }
})

const [small, large] = growthLines(['in-flight'], false)[0]!.points

/** A round in which the client and each of two nodes used a second. */
function round(operations: number) {
  const kinds = { read: { operations, us: 50 }, update: { operations, us: 100 } }
  return phaseReport({ operations, kinds, cpuSeconds: 1 })
}

test("an operation's processor time is that of all nodes together, over what was done", () => {
  const result = growthResult('in-flight', small!, [round(1000), round(4000), round(2000)])
  expect(result.opsPerSecond).toEqual({ median: 2000, min: 1000, max: 4000 })
  expect(result.serverCpuUs).toEqual({ median: 1000, min: 500, max: 2000 })
  expect(result.clientCpuUs.median).toBe(500)
  expect([result.p50Us, result.p99Us]).toEqual([100, 300])
})

test('what this system cannot tell is unknown, and not nothing', () => {
  const report = round(1000)
  const result = growthResult('in-flight', small!, [{ ...report, usage: { ...report.usage, servers: [] } }])
  expect(result.serverCpuUs).toBeUndefined()
})

test('each line is held against the first of its series, and the history tells the lines apart', () => {
  const environment = {
    cpu: 'c',
    cores: 2,
    memoryBytes: 2 ** 30,
    loadAverage: 1,
    os: 'Linux',
    node: 'v20',
    commit: 'abc',
  }
  const report: GrowthReport = {
    ...{ benchmark: 'growth', startedAt: '2026-11-21T12:00:00.000Z', environment, fileSystem: 'ext4' },
    ...{ workload: 'mixed', rounds: 1, secondsPerRound: 1, ok: true },
    results: [growthResult('in-flight', small!, [round(1000)]), growthResult('in-flight', large!, [round(4000)])],
  }
  const text = formatGrowthReport(report)
  expect(text).toMatch(/^1 +1,000 +1,000–1,000 +2,000 +2,000–2,000 +1 /m)
  expect(text).toMatch(/^4 +4,000 +4,000–4,000 +500 +500–500 +0.25 /m)
  const run = growthRun(report)
  expect(run.figures.map(({ name, value }) => `${name}: ${value}`)).toEqual([
    'in-flight 1, throughput: 1000',
    'in-flight 1, processor time of the nodes: 2000',
    'in-flight 4, throughput: 4000',
    'in-flight 4, processor time of the nodes: 500',
  ])
  expect(parseHistory(JSON.stringify(run))).toEqual([run])
})

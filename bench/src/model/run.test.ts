import { workloads } from '@quorumkv/cli/bench'
import { expect, test } from 'vitest'
import { modelRun } from '../history/figures.js'
import { parseHistory } from '../history/history.js'
import { phaseReport } from '../reports.test-support.js'
import { formatModelReport } from './command.js'
import { type ModelReport, resultOf } from './run.js'
import { modelSuites } from './suites.js'

const [mixed] = modelSuites.filter(({ name }) => name === 'uniform, mixed')
const [sequential] = modelSuites.filter(({ name }) => name === 'replicated to a quorum, sequential keys')

test('every suite has a name of its own and a workload that there is', () => {
  expect(new Set(modelSuites.map(({ name }) => name)).size).toBe(modelSuites.length)
  for (const { workload } of modelSuites) expect(workloads.map(({ name }) => name)).toContain(workload)
  expect(modelSuites.filter(({ published }) => published?.unit === 'ops/s')).toHaveLength(9)
})

test('a latency is that of reads and writes together, each as much as there were of it', () => {
  const kinds = { read: { operations: 90, us: 10 }, update: { operations: 10, us: 110 } }
  const result = resultOf(mixed!, 'always', [phaseReport({ operations: 100, kinds, errors: 1 })])
  expect(result.meanUs.median).toBeCloseTo(20)
  // Nine in ten took 10 µs: so did the median, however long the others took.
  expect(result.p50Us).toBe(10)
  expect(result.p99Us).toBe(110)
  expect(result.errors).toBe(1)
})

test('a rate stands beside a published rate, and a time beside a published time', () => {
  const rounds = [2000, 4005, 5000].map((operations) => {
    return phaseReport({ operations, kinds: { update: { operations, us: 390 } } })
  })
  const environment = {
    cpu: 'c',
    cores: 2,
    memoryBytes: 2 ** 30,
    loadAverage: 1,
    os: 'Linux',
    node: 'v20',
    commit: 'abc',
  }
  const report: ModelReport = {
    ...{ benchmark: 'model', startedAt: '2026-11-21T12:00:00.000Z', environment, fileSystem: 'ext4', keys: 100 },
    ...{ rounds: 3, secondsPerRound: 1, errorExamples: [], ok: true },
    results: [resultOf(mixed!, 'always', rounds), resultOf(sequential!, 'never', rounds)],
  }
  const text = formatModelReport(report)
  expect(text).toMatch(/^uniform, mixed +4,005 +ops\/s +4,005 +ops\/s +2,000–5,000 +1 × /m)
  expect(text).toMatch(/^replicated to a quorum, sequential keys +0.19–0.2 +ms +0.39 +ms +0.39 +2 × /m)
  const run = modelRun(report)
  expect(run.figures.map(({ name, unit, better }) => `${name}: ${unit}, ${better}`)).toEqual([
    'uniform, mixed, fsync always: ops/s, higher',
    'replicated to a quorum, sequential keys, fsync never: µs, lower',
  ])
  expect(parseHistory(JSON.stringify(run))).toEqual([run])
})

import type { PhaseReport } from '@quorumkv/cli/bench'
import { expect, test } from 'vitest'
import { phaseReport } from '../reports.test-support.js'
import { formatPeersReport, type PeersReport, rowOf } from './peers-report.js'

/** A round of one second. Every process used `cpuSeconds`. */
function round(operations: number, cpuSeconds: number, errors = 0): PhaseReport {
  const kinds = { read: { operations, us: operations / 10 }, update: { operations, us: operations } }
  return phaseReport({ operations, kinds, errors, cpuSeconds })
}

const ours = [round(400, 0.1), round(200, 0.1), round(300, 0.1)]
const theirs = [round(100, 0.2), round(200, 0.2, 2), round(100, 0.1)]

test('a store is held against the first, round by round', () => {
  const row = rowOf('etcd', theirs, ours)
  expect(row.opsPerSecond).toEqual({ median: 100, min: 100, max: 200 })
  expect(row.ratio).toEqual({ median: 3, min: 1, max: 4 })
  expect(row.rounds).toEqual([100, 200, 100])
  expect(row.read).toEqual({ p50Us: 10, p99Us: 30 })
  expect(row.write).toEqual({ p50Us: 100, p99Us: 300 })
  expect(row.errors).toBe(2)
})

test('the first is held against nobody', () => {
  expect(rowOf('quorumkv', ours, ours).ratio).toBeUndefined()
})

test("an operation's CPU time is that of all servers, and the client's apart", () => {
  const row = rowOf('etcd', theirs, ours)
  // Rounds: 4,000, 2,000 and 2,000 µs; the client has half of that.
  expect(row.serverCpuUs).toBeCloseTo(2000)
  expect(row.clientCpuUs).toBeCloseTo(1000)
  const unknown = theirs.map((report) => ({ ...report, usage: { ...report.usage, servers: [] } }))
  expect(rowOf('etcd', unknown, ours).serverCpuUs).toBeUndefined()
})

test('the table says what each calls durable, and errors fail it', () => {
  const environment = {
    cpu: 'c',
    cores: 2,
    memoryBytes: 2 ** 30,
    loadAverage: 1,
    os: 'Linux',
    node: 'v20',
    commit: 'abc',
  }
  const rows = [rowOf('quorumkv', ours, ours), rowOf('etcd', theirs, ours)]
  const report: PeersReport = {
    ...{ benchmark: 'peers', startedAt: '2026-11-21T12:00:00.000Z', environment, fileSystem: 'tmpfs', seed: '1' },
    ...{ keys: 1000, keyBytes: 16, valueBytes: 100, rounds: 3, secondsPerRound: 1, warmUpSeconds: 0 },
    contestants: [{ name: 'etcd', durability: 'acknowledged: flushed', settings: { version: '3.4.23' } }],
    phases: [{ workload: 'mixed', inFlight: 64, rows }],
    ...{ errorExamples: ['UNAVAILABLE: no leader'], ok: false },
  }
  const text = formatPeersReport(report)
  expect(text).toContain('etcd  3.4.23   acknowledged: flushed')
  expect(text).toMatch(/^etcd +100 +100–200 +3 × +1–4 /m)
  expect(text).toContain('fsync costs nothing')
  expect(text).toContain('FAILED: there were errors; for example\n  UNAVAILABLE: no leader')
})

import { build } from 'hdr-histogram-js'
import { expect, test } from 'vitest'
import { type ClusterReport, formatReport, type PhaseReport, reportPhase } from './report.js'
import { ErrorTally } from './runner.js'

function histogram(values: readonly number[]) {
  const made = build()
  for (const value of values) made.recordValue(value)
  return made
}

const usage = {
  client: { id: 'client', cpuSeconds: 1.5, residentBytes: 100 * 2 ** 20 },
  servers: [{ id: 'n1', cpuSeconds: 0.7, residentBytes: 200 * 2 ** 20 }],
}

function phase(gets: readonly number[], puts: readonly number[], errors = new ErrorTally()): PhaseReport {
  const latencies = { get: histogram(gets), put: histogram(puts) }
  return reportPhase({ name: 'mixed 50/50', inFlight: 256, seconds: 2, latencies, errors, usage })
}

function report(changes: Partial<ClusterReport>): ClusterReport {
  return {
    benchmark: 'cluster',
    startedAt: '2026-01-02T03:04:05.000Z',
    environment: {
      cpu: 'CPU',
      cores: 2,
      memoryBytes: 2 ** 34,
      loadAverage: 0.04,
      os: 'Linux 6',
      node: 'v20',
      commit: 'abc',
    },
    cluster: {
      nodes: 3,
      serverVersion: '0.1.0',
      fsync: 'always',
      fileSystem: 'ext4',
      replicationFactor: 3,
      readQuorum: 2,
      writeQuorum: 2,
    },
    workload: {
      keys: 1000,
      keyBytes: 16,
      valueBytes: 100,
      distribution: 'uniform',
      consistency: 'quorum',
      seed: '1',
      warmUpSeconds: 1,
    },
    phases: [],
    ok: true,
    ...changes,
  }
}

test('a phase has the throughput of all and of each kind, and the quantiles of each', () => {
  const gets = Array.from({ length: 1000 }, (_, i) => i + 1)
  const { operations, opsPerSecond, get, put } = phase(gets, [50])
  expect({ operations, opsPerSecond }).toEqual({ operations: 1001, opsPerSecond: 500.5 })
  expect(get).toMatchObject({ operations: 1000, opsPerSecond: 500, p50Us: 500, p95Us: 950, p99Us: 990, maxUs: 1000 })
  expect(get?.p999Us).toBe(999)
  expect(put).toMatchObject({ operations: 1, p50Us: 50, maxUs: 50 })
})

test('no quantile is above the maximum, whatever the buckets of the histogram', () => {
  const { put } = phase([], [113_179])
  expect(put).toMatchObject({ p50Us: 113_179, p999Us: 113_179, maxUs: 113_179 })
})

test('a kind that did not occur is left out, not shown as zeros', () => {
  const { get, put } = phase([1], [])
  expect(get).toBeDefined()
  expect(put).toBeUndefined()
})

test('a phase in which everything failed has no latencies and no made-up throughput', () => {
  const errors = new ErrorTally()
  errors.add(new Error('no'))
  const { opsPerSecond, get, put } = phase([], [], errors)
  expect({ opsPerSecond, get, put }).toEqual({ opsPerSecond: 0, get: undefined, put: undefined })
})

test('the report says what was measured, on what, and that the loop was closed', () => {
  const text = formatReport(report({ phases: [phase([100, 200], [300])] }))
  expect(text).toContain(
    'started   2026-01-02T03:04:05.000Z\nmachine   CPU, 2 cores, 16 GiB, Linux 6, load average 0.0 before\n',
  )
  expect(text).toContain('3 nodes, N/R/W 3/2/2, fsync always on ext4')
  expect(text).toContain('1,000 keys of 16 B, values of 100 B, uniform, consistency quorum, seed 1, 1 s warm-up')
  expect(text).toContain('closed, from one client process; coordinated omission is not corrected')
  expect(text).toMatch(/mixed 50\/50 +256 +3 +1\.5 +0$/m)
  expect(text).toMatch(/^ {2}get +2 +1 +150 +100 +200 +200 +200 +200$/m)
  expect(text).toMatch(/mixed 50\/50 +2\.0 s +1\.5 s 100 MiB +0\.7 s 200 MiB$/m)
})

test('errors are told by code and word for word', () => {
  const errors = new ErrorTally()
  errors.add(Object.assign(new Error('bench:1 is missing'), { code: 'wrong-value' }))
  const text = formatReport(report({ phases: [phase([1], [], errors)], ok: false }))
  expect(text).toContain('FAILED: mixed 50/50: 1 wrong-value; for example\n  wrong-value: bench:1 is missing')
})

test('data on tmpfs is pointed out', () => {
  const cluster = { ...report({}).cluster, fileSystem: 'tmpfs' }
  expect(formatReport(report({ cluster }))).toContain('kept on tmpfs, where fsync costs nothing')
  expect(formatReport(report({}))).not.toContain('tmpfs')
})

test('of a cluster that was running before, fsync is not claimed', () => {
  const { fsync: _, fileSystem: __, ...cluster } = report({}).cluster
  expect(formatReport(report({ cluster }))).toContain('running before; its fsync is not known')
})

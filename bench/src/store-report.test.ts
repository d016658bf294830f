import { expect, test } from 'vitest'
import { formatFigure, formatStoreReport } from './store-format.js'
import { judge, type Measurement, type StoreReport } from './store-report.js'

function report(measurements: readonly Measurement[], changes: Partial<StoreReport> = {}): StoreReport {
  return {
    benchmark: 'store',
    startedAt: '2026-01-02T03:04:05.000Z',
    form: 'full',
    environment: {
      cpu: 'CPU',
      cores: 2,
      memoryBytes: 2 ** 34,
      loadAverage: 0.04,
      os: 'Linux 6',
      node: 'v20',
      commit: 'abc',
    },
    fileSystem: 'ext4',
    keyBytes: 16,
    valueBytes: 100,
    seed: '1',
    sections: [{ figure: 'put-get', title: 'alone', measurements: measurements.map(judge) }],
    ...changes,
  }
}

const atLeast = { bound: 'at least', value: 1000 } as const
const atMost = { bound: 'at most', value: 20 } as const

test.each([
  [999, atLeast, { met: false, ratio: 0.999 }],
  [1000, atLeast, { met: true, ratio: 1 }],
  [20, atMost, { met: true, ratio: 1 }],
  [30, atMost, { met: false, ratio: 1.5 }],
])('%d against %j', (value, budget, verdict) => {
  expect(judge({ name: 'a', value, unit: '/s', budget }).verdict).toEqual(verdict)
})

test('what has no budget gets no verdict', () => {
  expect(judge({ name: 'a', value: 1, unit: 'B' })).not.toHaveProperty('verdict')
})

test('the report says what was measured, on what, and whether the budgets are met', () => {
  const text = formatStoreReport(
    report([
      { name: 'put', value: 900, unit: '/s', range: { min: 850, max: 1010 }, budget: atLeast },
      { name: 'stall', value: 5, unit: 'ms', budget: atMost },
      { name: 'get', value: 2_000_000, unit: '/s', latencyUs: { p50: 0.711, p95: 12.34, p99: 123.4, max: 1234.5 } },
    ]),
  )
  expect(text).toContain('CPU, 2 cores, 16 GiB, Linux 6, load average 0.0 before\n')
  expect(text).toContain('keys of 16 B, values of 100 B, uniform, seed 1')
  expect(text).toMatch(/^put-get: alone$/m)
  expect(text).toMatch(/^ {2}put +900 +\/s +850 to 1,010 +≥ 1,000 +0\.90 × +MISSED$/m)
  expect(text).toMatch(/^ {2}stall +5 +ms +≤ 20 +0\.25 × +met$/m)
  expect(text).toMatch(/^ {2}get +2,000,000 +\/s +0\.711 +12\.3 +123 +1,235$/m)
  expect(text).toMatch(/^1 of 2 budgets met$/m)
})

test('columns that hold nothing are left out', () => {
  const text = formatStoreReport(report([{ name: 'put', value: 900, unit: '/s' }]))
  expect(text).not.toMatch(/p50|range|of budget/)
  expect(text).not.toMatch(/budgets met/)
})

test('data on tmpfs is pointed out', () => {
  expect(formatStoreReport(report([], { fileSystem: 'tmpfs' }))).toContain('kept on tmpfs, where fsync costs nothing')
  expect(formatStoreReport(report([]))).not.toContain('tmpfs')
})

test.each([
  [0, '0'],
  [0.333, '0.333'],
  [0.0004, '0'],
  [9.876, '9.88'],
  [56.78, '56.8'],
  [999.4, '999'],
  [1_234_567.8, '1,234,568'],
  [-3.21, '-3.21'],
])('%d reads %j', (value, text) => {
  expect(formatFigure(value)).toBe(text)
})

import { expect, test } from 'vitest'
import { environmentNumber, longForm, Report, seed } from './report.js'

const report = new Report('the report itself')

test('a report is one line that tells how to run it again and what it has counted', () => {
  report.count('workloads', 1_200)
  report.count('workloads')
  report.highest('bytes at most', 5)
  report.highest('bytes at most', 3)
  const form = longForm ? 'long' : 'short'
  expect(report.line()).toMatch(
    new RegExp(`^the report itself: KV_SEED=${seed} ${form}, 1,201 workloads, 5 bytes at most, \\d+\\.\\d s$`),
  )
})

test('a number in the environment that is none is refused, not taken for another', () => {
  process.env['KV_REPORT_TEST'] = '12x'
  expect(() => environmentNumber('KV_REPORT_TEST')).toThrow('KV_REPORT_TEST must be a whole number above zero, not 12x')
  process.env['KV_REPORT_TEST'] = '12'
  expect(environmentNumber('KV_REPORT_TEST')).toBe(12)
  delete process.env['KV_REPORT_TEST']
  expect(environmentNumber('KV_REPORT_TEST')).toBeUndefined()
})

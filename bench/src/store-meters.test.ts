import { expect, test } from 'vitest'
import { GapMeter, LatencyMeter, spread, WindowCounter } from './store-meters.js'

test('latencies are told in microseconds, weighted by the operations of each commit', () => {
  const meter = new LatencyMeter()
  meter.record(0.5, 98)
  meter.record(3, 2)
  const { p50, p95, p99, max } = meter.summary!
  expect(p50).toBeCloseTo(500, 0)
  expect(p95).toBeCloseTo(500, 0)
  expect(p99).toBeCloseTo(3000, -1)
  expect(max).toBeCloseTo(3000, -1)
})

test('no quantile is above the maximum, and what takes less than a microsecond is not 0', () => {
  const meter = new LatencyMeter()
  meter.record(0.000_333)
  expect(meter.summary).toEqual({ p50: 0.333, p95: 0.333, p99: 0.333, max: 0.333 })
})

test('where nothing was measured there are no latencies, rather than zeros', () => {
  expect(new LatencyMeter().summary).toBeUndefined()
})

test('the longest gap counts from the start, and a later shorter one does not hide it', () => {
  const meter = new GapMeter(100)
  expect(meter.longestMs).toBe(0)
  for (const now of [107, 108, 112, 112]) meter.mark(now)
  expect(meter.longestMs).toBe(7)
})

test('a stall shows as a window without operations; what ends too late is in none', () => {
  const counter = new WindowCounter(1000, 500, 3)
  counter.add(1000, 10)
  counter.add(1499, 10)
  counter.add(2000, 5)
  counter.add(2500, 100)
  expect(counter.perSecond).toEqual([40, 0, 10])
})

test('the median of an even number of rounds lies between the middle two', () => {
  expect(spread([9, 1, 5])).toEqual({ median: 5, min: 1, max: 9 })
  expect(spread([10, 1, 5, 7])).toEqual({ median: 6, min: 1, max: 10 })
  expect(spread([4])).toEqual({ median: 4, min: 4, max: 4 })
})

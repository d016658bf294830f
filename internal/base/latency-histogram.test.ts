import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { LatencyHistogram } from './latency-histogram.js'
import { limits } from './limits.js'

/** What is exact: the smallest value that has so large a share at or below it. */
function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.ceil(sorted.length * share) - 1]!
}

describe('a histogram of latencies', () => {
  test('percentiles are never too low, and at most 5 % too high, whatever was recorded (property)', () => {
    const durationsUs = fc.array(fc.oneof(fc.nat(200), fc.nat(50_000), fc.nat(2 ** 27 - 1)), { minLength: 1 })
    fc.assert(
      fc.property(durationsUs, (all) => {
        const histogram = new LatencyHistogram()
        for (const us of all) histogram.record(-(us + 0.01) / 1_000, 0)
        const sorted = all.toSorted((a, b) => a - b)
        const { count, p50Us, p99Us, p999Us, maxUs } = histogram.summary(0)
        expect(count).toBe(all.length)
        expect(maxUs).toBe(sorted.at(-1))
        const told: [number, number][] = [[0.5, p50Us], [0.99, p99Us], [0.999, p999Us]] // biome-ignore format: a table
        for (const [share, us] of told) {
          const exact = percentile(sorted, share)
          expect(us).toBeGreaterThanOrEqual(exact)
          expect(us).toBeLessThanOrEqual(exact * 1.05)
        }
      }),
    )
  })

  it('tells of two windows, and keeps the sum of all', () => {
    const histogram = new LatencyHistogram()
    const windowMs = limits.latencyWindowMs
    histogram.record(0, 1)
    histogram.record(windowMs, windowMs + 5)
    expect(histogram.summary(windowMs + 5)).toMatchObject({ count: 2, maxUs: 5_000 })
    // The window of the first is over, and so is the one behind it.
    expect(histogram.summary(2 * windowMs + 6)).toMatchObject({ count: 1, maxUs: 5_000 })
    expect(histogram.summary(4 * windowMs + 7)).toEqual({ count: 0, p50Us: 0, p99Us: 0, p999Us: 0, maxUs: 0 })
    const { count, sumSeconds, upTo } = histogram.totals([1_100, 10_000])
    expect(count).toBe(2)
    expect(sumSeconds).toBeCloseTo(0.006)
    expect(upTo).toEqual([1, 2])
  })

  it('forgets both windows after a long silence', () => {
    const histogram = new LatencyHistogram()
    histogram.record(0, 1)
    expect(histogram.summary(10 * limits.latencyWindowMs).count).toBe(0)
    expect(histogram.totals([]).count).toBe(1)
  })

  it('takes what lasts longer than it can tell, or seems to end before it begins', () => {
    const histogram = new LatencyHistogram()
    histogram.record(0, 1e9)
    histogram.record(5, 1)
    expect(histogram.summary(1e9)).toMatchObject({ count: 2, p50Us: 0, maxUs: 2 ** 27 - 1 })
    expect(histogram.totals([0, 1e6, 2 ** 27])).toMatchObject({ count: 2, upTo: [1, 1, 2] })
  })

  it('counts what took equally long at once', () => {
    const histogram = new LatencyHistogram()
    histogram.record(0, 2, 7)
    expect(histogram.summary(2)).toMatchObject({ count: 7, p50Us: 2_000 })
    expect(histogram.totals([]).sumSeconds).toBeCloseTo(0.014)
  })
})

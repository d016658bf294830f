import { describe, expect, it } from 'vitest'
import { type DistributionName, distributionNames, makeDistribution, zeta, zipfianTheta } from './distribution.js'
import { KeySpace } from './key-space.js'
import { LoadRandom } from './random.js'

/** How often each of `keys` keys was drawn. */
function draw(name: DistributionName, keys: number, draws: number, seed = 'seed'): Float64Array {
  const counts = new Float64Array(keys)
  const distribution = makeDistribution(name, new KeySpace(keys), new LoadRandom(seed))
  for (let i = 0; i < draws; i++) counts[distribution.next()]!++
  return counts
}

const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0)

/** Pearson's statistic against equal shares. */
function chiSquare(counts: Float64Array): number {
  const expected = sum(counts) / counts.length
  return sum(counts.map((count) => (count - expected) ** 2 / expected))
}

/** What 99 degrees of freedom exceed once in a thousand times. */
const chiSquare99 = 148.23

describe('every distribution', () => {
  it.each(distributionNames)(
    '%s: the same seed gives the same keys, another seed others, but for a sequence',
    (name) => {
      expect(draw(name, 50, 2000)).toEqual(draw(name, 50, 2000))
      const another = draw(name, 50, 2010, 'other')
      if (name === 'sequential') expect(another).toEqual(draw(name, 50, 2010))
      else expect(draw(name, 50, 2010)).not.toEqual(another)
    },
  )

  it.each(distributionNames)('%s: draws only keys that there are, one or two of them as well', (name) => {
    for (const keys of [1, 2, 3]) expect(sum(draw(name, keys, 1000))).toBe(1000)
  })

  it.each(distributionNames)('%s: draws keys that have been added', (name) => {
    const keys = new KeySpace(10)
    const distribution = makeDistribution(name, keys, new LoadRandom('1'))
    for (let i = 0; i < 90; i++) keys.ended(keys.issue()!)
    const drawn = new Set(Array.from({ length: 10_000 }, () => distribution.next()))
    expect(Math.max(...drawn)).toBe(99)
  })
})

it('uniform: each key alike', () => {
  expect(chiSquare(draw('uniform', 100, 100_000))).toBeLessThan(chiSquare99)
})

it('hot-cold: nine in ten operations on a tenth of the keys, alike within either part', () => {
  const counts = draw('hot-cold', 1000, 1_000_000)
  const [hot, cold] = [counts.subarray(0, 100), counts.subarray(100)]
  expect(sum(hot) / sum(counts)).toBeCloseTo(0.9, 2)
  expect(chiSquare(hot)).toBeLessThan(chiSquare99)
  const tenths = Float64Array.from({ length: 100 }, (_, i) => sum(cold.subarray(i * 9, i * 9 + 9)))
  expect(chiSquare(tenths)).toBeLessThan(chiSquare99)
})

describe('zeta', () => {
  it('is what YCSB has written down for ten thousand million items', () => {
    expect(zeta(10_000_000_000)).toBeCloseTo(26.46902820178302, 10)
  })

  it('is the plain sum, whether it is summed or not', () => {
    let plain = 0
    for (let i = 1; i <= 50_000; i++) {
      plain += i ** -zipfianTheta
      if (i === 10 || i === 1001 || i === 50_000) expect(zeta(i)).toBeCloseTo(plain, 10)
    }
  })
})

describe('zipfian', () => {
  const counts = draw('zipfian', 10_000, 1_000_000)
  const sorted = counts.toSorted().reverse()
  const total = 1_000_000

  it('has the shares of YCSB: the most popular key has one operation in 26', () => {
    expect(sorted[0]! / total).toBeCloseTo(1 / zeta(10_000_000_000), 3)
    expect(sorted[1]! / total).toBeCloseTo(0.5 ** zipfianTheta / zeta(10_000_000_000), 3)
  })

  it('scatters the popular keys, and leaves hardly any key out', () => {
    const popular = [...counts.keys()].sort((a, b) => counts[b]! - counts[a]!).slice(0, 100)
    const halves = popular.filter((key) => key < 5000).length
    expect(halves).toBeGreaterThan(25)
    expect(halves).toBeLessThan(75)
    expect(counts.filter((count) => count === 0).length).toBeLessThan(10)
  })
})

describe('zipfian, while keys are added', () => {
  const keys = new KeySpace(1000)
  const distribution = makeDistribution('zipfian', keys, new LoadRandom('1'))
  const count = (): Float64Array => {
    const counts = new Float64Array(2000)
    for (let i = 0; i < 200_000; i++) counts[distribution.next()]!++
    return counts
  }
  const popular = (counts: Float64Array): number[] =>
    [...counts.keys()].sort((a, b) => counts[b]! - counts[a]!).slice(0, 20)
  const before = count()
  for (let i = 0; i < 100; i++) keys.ended(keys.issue()!)
  const after = count()
  for (let i = 0; i < 900; i++) keys.ended(keys.issue()!)
  const doubled = count()

  it('the popular ones stay where they are', () => {
    const then = new Set(popular(after))
    expect(popular(before).filter((key) => then.has(key)).length).toBeGreaterThanOrEqual(16)
    expect(popular(after)[0]).toBe(popular(before)[0])
  })

  it('the new ones are as good as the old ones', () => {
    expect(sum(doubled)).toBe(200_000)
    expect(doubled.filter((n) => n === 0).length).toBeLessThan(20)
    // What is left to most keys, beside the few popular ones.
    const median = (counts: Float64Array): number => counts.toSorted()[counts.length / 2]!
    expect(Math.abs(median(doubled.slice(1000)) / median(doubled.slice(0, 1000)) - 1)).toBeLessThan(0.15)
  })
})

describe('latest', () => {
  it('has the shares of Zipf, backwards from the newest key', () => {
    const counts = draw('latest', 10_000, 1_000_000).toReversed()
    expect(counts[0]! / 1_000_000).toBeCloseTo(1 / zeta(10_000), 3)
    expect(counts[1]! / 1_000_000).toBeCloseTo(0.5 ** zipfianTheta / zeta(10_000), 3)
    // The constants of Gray et al. are exact for the first two ranks, and an approximation of the rest.
    for (const ranks of [10, 100, 1000]) {
      const share = sum(counts.subarray(0, ranks)) / 1_000_000
      expect(Math.abs(share / (zeta(ranks) / zeta(10_000)) - 1)).toBeLessThan(0.06)
    }
  })

  it('follows the newest key', () => {
    const keys = new KeySpace(1000)
    const latest = makeDistribution('latest', keys, new LoadRandom('1'))
    for (let i = 0; i < 5000; i++) keys.ended(keys.issue()!)
    let newest = 0
    for (let i = 0; i < 100_000; i++) if (latest.next() === 5999) newest++
    expect(newest / 100_000).toBeCloseTo(1 / zeta(6000), 2)
  })
})

describe('the keys', () => {
  it('can be read once they and all before them are acknowledged', () => {
    const keys = new KeySpace(10)
    const issued = [keys.issue()!, keys.issue()!, keys.issue()!]
    expect(issued).toEqual([10, 11, 12])
    keys.ended(12)
    keys.ended(11)
    expect(keys.readable).toBe(10)
    keys.ended(10)
    expect(keys.readable).toBe(13)
  })

  it('are no longer added to where one has waited for too many others', () => {
    const keys = new KeySpace(1)
    const first = keys.issue()!
    let issued = 1
    for (let key = keys.issue(); key !== undefined; key = keys.issue()) {
      keys.ended(key)
      issued++
    }
    expect(issued).toBe(65_536)
    keys.ended(first)
    expect(keys.readable).toBe(1 + 65_536)
    expect(keys.issue()).toBe(1 + 65_536)
    keys.ended(keys.issue()!)
    expect(keys.readable).toBe(1 + 65_536)
  })
})

import { describe, expect, test } from 'vitest'
import type { Random } from './index.js'

/** What every Random must do; to be called in a test file of each implementation. */
export function describeRandom(name: string, makeRandom: () => Random): void {
  describe(`${name} as a Random`, () => {
    test('u32 gives unsigned whole numbers, in which each bit is set half of the time', () => {
      const random = makeRandom()
      const draws = 4000
      const ones = new Array<number>(32).fill(0)
      for (let i = 0; i < draws; i++) {
        const word = random.u32()
        expect(Number.isInteger(word) && word >= 0 && word < 2 ** 32).toBe(true)
        for (let bit = 0; bit < 32; bit++) ones[bit]! += (word >>> bit) & 1
      }
      // Twelve standard deviations: no true generator misses this in the life of the universe.
      for (const count of ones) expect(Math.abs(count / draws - 0.5)).toBeLessThan(0.1)
    })

    test('float is uniform in [0, 1) and uses more than 32 bits', () => {
      const random = makeRandom()
      const draws = 10_000
      const bins = new Array<number>(10).fill(0)
      let fine = 0
      for (let i = 0; i < draws; i++) {
        const value = random.float()
        expect(value >= 0 && value < 1).toBe(true)
        bins[Math.floor(value * 10)]!++
        if (!Number.isInteger(value * 2 ** 32)) fine++
      }
      for (const count of bins) expect(Math.abs(count - draws / 10)).toBeLessThan(300)
      expect(fine).toBeGreaterThan(draws / 2)
    })

    test('bytes are as many as asked for, differ from call to call and belong to the caller', () => {
      const random = makeRandom()
      for (const length of [0, 1, 3, 16, 100_000]) {
        const bytes = random.bytes(length)
        expect(bytes.length).toBe(length)
        expect(bytes.buffer.byteLength).toBe(length)
      }
      const first = random.bytes(16)
      const copy = first.slice()
      const second = random.bytes(16)
      expect(first).toEqual(copy)
      expect(second).not.toEqual(first)
    })

    test('the last bytes of a long run are random too', () => {
      const bytes = makeRandom().bytes(100_000)
      const values = new Set(bytes.subarray(99_000))
      expect(values.size).toBeGreaterThan(200)
    })
  })
}

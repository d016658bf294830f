import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  compareHlc,
  compareVersions,
  hlcCounter,
  hlcFromBigint,
  hlcMs,
  hlcMsMax,
  hlcOf,
  hlcToBigint,
  zeroVersion,
} from './index.js'

const u32 = fc.oneof(fc.nat({ max: 2 }), fc.integer({ min: 0xfffffffd, max: 0xffffffff }), fc.nat({ max: 0xffffffff }))
const hlc = fc.record({ hi: u32, lo: u32 })
const version = fc.record({ hi: u32, lo: u32, node: u32 })

test('milliseconds and counter survive the way through the two halves, up to the last bit', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.maxSafeNat().map((n) => n % (hlcMsMax + 1)),
        fc.constant(hlcMsMax),
      ),
      fc.nat({ max: 0xffff }),
      (ms, counter) => {
        const reading = hlcOf(ms, counter)
        expect(hlcMs(reading)).toBe(ms)
        expect(hlcCounter(reading)).toBe(counter)
        expect(hlcToBigint(reading)).toBe((BigInt(ms) << 16n) | BigInt(counter))
      },
    ),
  )
})

test('the way to 64 bits and back loses nothing, also above 2^53', () => {
  fc.assert(
    fc.property(hlc, (reading) => {
      expect(hlcFromBigint(hlcToBigint(reading))).toEqual(reading)
    }),
  )
  expect(hlcToBigint({ hi: 0xffffffff, lo: 0xffffffff })).toBe(2n ** 64n - 1n)
})

test('readings order like the 64-bit numbers that they stand for', () => {
  fc.assert(
    fc.property(hlc, hlc, (a, b) => {
      const [x, y] = [hlcToBigint(a), hlcToBigint(b)]
      expect(Math.sign(compareHlc(a, b))).toBe(x < y ? -1 : x > y ? 1 : 0)
    }),
  )
})

test('versions order by stamp, then by node, and nothing is below absent', () => {
  fc.assert(
    fc.property(version, version, (a, b) => {
      expect(Math.sign(compareVersions(a, b))).toBe(Math.sign(compareHlc(a, b)) || Math.sign(a.node - b.node))
      expect(compareVersions(zeroVersion, a)).toBeLessThanOrEqual(0)
    }),
  )
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareBytes, emptyBytes, equalBytes, startsWith } from './index.js'

// Few values and short lengths, so that common prefixes are common.
const bytes = fc.oneof(
  fc.array(fc.constantFrom(0, 1, 127, 128, 255), { maxLength: 5 }).map((list) => Uint8Array.from(list)),
  fc.uint8Array({ maxLength: 20 }),
)

test('keys order as unsigned bytes, a prefix before what it begins', () => {
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(a, b))
    }),
    { numRuns: 1000 },
  )
  expect(compareBytes(Uint8Array.of(0x80), Uint8Array.of(0x7f))).toBeGreaterThan(0)
  expect(compareBytes(emptyBytes, Uint8Array.of(0))).toBeLessThan(0)
})

test('bytes are equal exactly when all of them are', () => {
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      expect(equalBytes(a, b)).toBe(Buffer.compare(a, b) === 0)
      expect(equalBytes(a, a.slice())).toBe(true)
    }),
  )
})

test('a prefix is found where it stands first, and only there', () => {
  fc.assert(
    fc.property(bytes, bytes, (prefix, rest) => {
      const whole = Uint8Array.from([...prefix, ...rest])
      expect(startsWith(whole, prefix)).toBe(true)
      expect(startsWith(rest, prefix)).toBe(Buffer.compare(rest.subarray(0, prefix.length), prefix) === 0)
    }),
  )
  expect(startsWith(emptyBytes, emptyBytes)).toBe(true)
  expect(startsWith(Uint8Array.of(1), Uint8Array.of(1, 2))).toBe(false)
})

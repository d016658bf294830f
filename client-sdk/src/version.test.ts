import { inspect } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Version } from './version.js'

const half = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const version = fc.tuple(half, half, half).map(([hi, lo, node]) => new Version(hi, lo, node))

test('the text has a fixed width, reads back, and sorts as the versions do', () => {
  fc.assert(
    fc.property(version, version, (a, b) => {
      expect(a.toString()).toMatch(/^[0-9a-f]{24}$/)
      expect(Version.parse(a.toString())).toEqual(a)
      const order = Math.sign(Version.compare(a, b))
      const texts = a.toString() < b.toString() ? -1 : a.toString() > b.toString() ? 1 : 0
      expect(order).toBe(texts)
      expect(a < b).toBe(order < 0)
    }),
  )
})

test('neighbours above 2^53 are different', () => {
  const a = new Version(2 ** 21, 0, 1)
  const b = new Version(2 ** 21, 1, 1)
  expect(Version.compare(a, b)).toBe(-1)
  expect(a).not.toEqual(b)
  expect(JSON.stringify({ a })).toBe('{"a":"002000000000000000000001"}')
  expect(inspect({ a })).toBe('{ a: Version(002000000000000000000001) }')
})

test.each(['', '00', '0'.repeat(23), '0'.repeat(25), 'G'.repeat(24), 'A'.repeat(24)])('%j is no version', (text) => {
  expect(Version.parse(text)).toBeUndefined()
})

import { crc32 as zlibCrc32 } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32 } from './index.js'

const ascii = (text: string): Uint8Array => Buffer.from(text, 'latin1')

// Both ways of computing it (our table below some hundred bytes, zlib above) must be met by each property.
const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 250, maxLength: 700 }))

test('the published check value of CRC-32/IEEE holds', () => {
  expect(crc32(ascii('123456789'))).toBe(0xcbf43926)
  expect(crc32(new Uint8Array(0))).toBe(0)
})

test('any bytes after any previous checksum give what zlib gives, unsigned', () => {
  fc.assert(
    fc.property(bytes, fc.nat({ max: 0xffffffff }), (data, previous) => {
      expect(crc32(data, 0, data.length, previous)).toBe(zlibCrc32(data, previous))
    }),
    { numRuns: 500 },
  )
})

test('a range gives the checksum of those bytes only, and checksums of parts chain', () => {
  fc.assert(
    fc.property(bytes, fc.nat(), fc.nat(), (data, x, y) => {
      const [from, to] = [x % (data.length + 1), y % (data.length + 1)].sort((a, b) => a - b) as [number, number]
      expect(crc32(data, from, to)).toBe(zlibCrc32(data.slice(from, to)))
      expect(crc32(data, from, data.length, crc32(data, 0, from))).toBe(crc32(data))
    }),
    { numRuns: 500 },
  )
})

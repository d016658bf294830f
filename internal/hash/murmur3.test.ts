import fc from 'fast-check'
import murmur from 'murmurhash3js'
import { expect, test } from 'vitest'
import { murmur3_32 } from './index.js'

const ascii = (text: string): Uint8Array => Buffer.from(text, 'latin1')

// Vectors that circulate with implementations of MurmurHash3_x86_32 (bytes, seed, hash).
const vectors: [Uint8Array, number, number][] = [
  [ascii(''), 0, 0x00000000],
  [ascii(''), 1, 0x514e28b7],
  [ascii(''), 0xffffffff, 0x81f16f39],
  [new Uint8Array([0xff, 0xff, 0xff, 0xff]), 0, 0x76293b50],
  [new Uint8Array([0x21, 0x43, 0x65, 0x87]), 0, 0xf55b516b],
  [new Uint8Array([0x21, 0x43, 0x65, 0x87]), 0x5082edee, 0x2362f9de],
  [new Uint8Array([0x21, 0x43, 0x65]), 0, 0x7e4a8634],
  [new Uint8Array([0x21, 0x43]), 0, 0xa0f7b07a],
  [new Uint8Array([0x21]), 0, 0x72661cf4],
  [new Uint8Array([0, 0, 0, 0]), 0, 0x2362f9de],
  [new Uint8Array([0, 0, 0]), 0, 0x85f0b427],
  [new Uint8Array([0, 0]), 0, 0x30f4c306],
  [new Uint8Array([0]), 0, 0x514e28b7],
  [ascii('aaaa'), 0x9747b28c, 0x5a97808a],
  [ascii('Hello, world!'), 0x9747b28c, 0x24884cba],
  [ascii('The quick brown fox jumps over the lazy dog'), 0x9747b28c, 0x2fa826cd],
]

test('the published vectors hold', () => {
  for (const [bytes, seed, hash] of vectors) expect(murmur3_32(bytes, seed)).toBe(hash)
})

test('any bytes and any seed hash as in an independent implementation', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), fc.nat({ max: 0xffffffff }), (bytes, seed) => {
      const oracle = murmur.x86.hash32(Buffer.from(bytes).toString('latin1'), seed)
      expect(murmur3_32(bytes, seed)).toBe(oracle)
    }),
    { numRuns: 2000 },
  )
})

test('a range of an arena hashes like the same bytes alone', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(9), fc.nat(9), fc.nat(), (bytes, before, after, seed) => {
      const arena = new Uint8Array(before + bytes.length + after).fill(0xa5)
      arena.set(bytes, before)
      expect(murmur3_32(arena, seed, before, before + bytes.length)).toBe(murmur3_32(bytes, seed))
    }),
  )
})

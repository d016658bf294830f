import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Hash64, hash64 } from './index.js'

const ascii = (text: string): Uint8Array => Buffer.from(text, 'latin1')
const u32 = fc.nat({ max: 0xffffffff })

function hashOf(key: Uint8Array, hi: number, lo: number, node: number): bigint {
  const out: Hash64 = { hi: 0, lo: 0 }
  hash64(key, hi, lo, node, out)
  expect(Number.isInteger(out.hi) && out.hi >= 0 && out.hi < 2 ** 32).toBe(true)
  expect(Number.isInteger(out.lo) && out.lo >= 0 && out.lo < 2 ** 32).toBe(true)
  return (BigInt(out.hi) << 32n) | BigInt(out.lo)
}

test('golden values hold what replicas of other releases compute', () => {
  const hashes = [
    hashOf(ascii('a'), 0, 0, 0),
    hashOf(ascii('user:1'), 26_000_000, 0x1234_0001, 1),
    hashOf(ascii('0123456789abcdef'), 0xffffffff, 0xffffffff, 0xffffffff),
    hashOf(new Uint8Array(1024), 1, 2, 3),
    hashOf(ascii('key-111'), 26_000_000, 0x1234_0001, 2),
  ]
  expect(hashes.map((hash) => hash.toString(16).padStart(16, '0'))).toMatchInlineSnapshot(`
    [
      "840d41c72f6357c7",
      "cca1126bc8c72dd7",
      "4ce4873c3415e249",
      "71db09c8c400914d",
      "a438671c9f23e2b0",
    ]
  `)
})

test('a range of an arena hashes like the same bytes alone', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(9), fc.nat(9), u32, (bytes, before, after, lo) => {
      const arena = new Uint8Array(before + bytes.length + after).fill(0xa5)
      arena.set(bytes, before)
      const out: Hash64 = { hi: 0, lo: 0 }
      hash64(arena, 7, lo, 9, out, before, before + bytes.length)
      expect((BigInt(out.hi) << 32n) | BigInt(out.lo)).toBe(hashOf(bytes, 7, lo, 9))
    }),
  )
})

test('every byte of a key counts, and so does its length', () => {
  for (let length = 1; length <= 17; length++) {
    const key = new Uint8Array(length)
    const hash = hashOf(key, 1, 2, 3)
    expect(hashOf(new Uint8Array(length + 1), 1, 2, 3)).not.toBe(hash)
    for (let i = 0; i < length; i++) expect(hashOf(key.with(i, 0x80), 1, 2, 3)).not.toBe(hash)
  }
})

test('two stamps of one key by one node never collide', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), u32, u32, u32, u32, u32, (key, hi, lo, hi2, lo2, node) => {
      fc.pre(hi !== hi2 || lo !== lo2)
      expect(hashOf(key, hi, lo, node)).not.toBe(hashOf(key, hi2, lo2, node))
    }),
  )
})

test('one flipped bit of key or version flips each bit of the hash about half the time', () => {
  const rounds = 400
  const input = new Uint32Array(6) // hi, lo, node, and a key of three words
  const key = new Uint8Array(input.buffer, 12)
  const flips = new Uint32Array(input.length * 32 * 64)
  const out: Hash64 = { hi: 0, lo: 0 }
  let seed = 1
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < input.length; i++) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
      input[i] = seed ^ (seed >>> 15)
    }
    hash64(key, input[0]!, input[1]!, input[2]!, out)
    const { hi, lo } = out
    for (let bit = 0; bit < input.length * 32; bit++) {
      input[bit >>> 5]! ^= 1 << (bit & 31)
      hash64(key, input[0]!, input[1]!, input[2]!, out)
      input[bit >>> 5]! ^= 1 << (bit & 31)
      for (let i = 0; i < 32; i++) {
        flips[bit * 64 + i]! += ((out.hi ^ hi) >>> i) & 1
        flips[bit * 64 + 32 + i]! += ((out.lo ^ lo) >>> i) & 1
      }
    }
  }
  // 400 fair coins deviate by 10; the worst of 12,288 such counts stays within about 4.5 times that.
  expect(Math.min(...flips)).toBeGreaterThan(rounds / 2 - 60)
  expect(Math.max(...flips)).toBeLessThan(rounds / 2 + 60)
})

test('a million counted keys and stamps collide in no 64 bits, and in 32 of them no more often than by chance', () => {
  const keys = 1_000_000
  const out: Hash64 = { hi: 0, lo: 0 }
  const highs = new Uint32Array(keys)
  const lows = new Uint32Array(keys)
  const whole = new Float64Array(keys)
  const key = new Uint8Array(16)
  const view = new DataView(key.buffer)
  for (let i = 0; i < keys; i++) {
    view.setUint32(8, i >>> 4)
    hash64(key, 26_000_000, i & 0xf, 1 + (i & 3), out)
    highs[i] = out.hi
    lows[i] = out.lo
    // 53 of the 64 bits: chance alone would collide once in 18,000 runs.
    whole[i] = (out.hi & 0x1fffff) * 2 ** 32 + out.lo
  }
  const repeats = (sorted: Uint32Array | Float64Array): number => {
    let count = 0
    for (let i = 1; i < sorted.length; i++) if (sorted[i] === sorted[i - 1]) count++
    return count
  }
  expect(repeats(whole.sort())).toBe(0)
  // Expected by chance: n^2 / 2^33 = 116, with a deviation of 11.
  expect(repeats(highs.sort())).toBeLessThan(170)
  expect(repeats(lows.sort())).toBeLessThan(170)
})

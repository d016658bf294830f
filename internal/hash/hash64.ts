/** Where `hash64` leaves its result, so that a hash on the hot path allocates nothing. Both halves are unsigned. */
export interface Hash64 {
  hi: number
  lo: number
}

function finish(value: number): number {
  let h = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/**
 * 64 bits over a key, `bytes[start, end)`, and the version `(hi, lo, node)` that it carries, written to `out`. Two
 * lanes in the manner of MurmurHash3_x86_128 (other multipliers and rotations in each, each stirred into the other),
 * because two 32-bit murmurs that differ only in their seeds share many of their collisions. Every step is a bijection
 * of the 64 bits of state, which start from the version: one key's stamps by one node never collide with each other.
 * Not cryptographic.
 *
 * Do not change: replicas of different releases compare sums (XOR) of it.
 */
export function hash64(
  bytes: Uint8Array,
  hi: number,
  lo: number,
  node: number,
  out: Hash64,
  start = 0,
  end: number = bytes.length,
): void {
  let a = lo ^ 0x2f1b6e35
  let b = ((hi ^ 0x71d2c49b) + Math.imul(node, 0x9e3779b1)) | 0
  for (let i = start; i < end; i += 4) {
    let k = bytes[i]!
    if (i + 3 < end) k |= (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    else {
      if (i + 1 < end) k |= bytes[i + 1]! << 8
      if (i + 2 < end) k |= bytes[i + 2]! << 16
    }
    const ka = Math.imul(k, 0x239b961b)
    a ^= Math.imul((ka << 15) | (ka >>> 17), 0xab0e9789)
    a = (Math.imul(((a << 19) | (a >>> 13)) + b, 5) + 0x561ccd1b) | 0
    const kb = Math.imul(k, 0x38b34ae5)
    b ^= Math.imul((kb << 17) | (kb >>> 15), 0xa1e38b93)
    b = (Math.imul(((b << 17) | (b >>> 15)) + a, 5) + 0x0bcaa747) | 0
  }
  const length = end - start
  a = ((a ^ length) + (b ^ length)) | 0
  b = ((b ^ length) + a) | 0
  a = finish(a)
  b = finish(b)
  a = (a + b) | 0
  out.hi = a >>> 0
  out.lo = (b + a) >>> 0
}

/*
 * MurmurHash3_x86_32 (Austin Appleby, 2011). Do not change: slots, ring tokens and every client's routing hang on it.
 */
const c1 = 0xcc9e2d51
const c2 = 0x1b873593

/**
 * MurmurHash3_x86_32 of `bytes[start, end)`, as an unsigned 32-bit number. The range spares callers with an arena a
 * view per lookup; it must lie within `bytes`.
 */
export function murmur3_32(bytes: Uint8Array, seed = 0, start = 0, end: number = bytes.length): number {
  let h = seed | 0
  const tail = start + ((end - start) & ~3)
  for (let i = start; i < tail; i += 4) {
    let k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    k = Math.imul(k, c1)
    k = Math.imul((k << 15) | (k >>> 17), c2)
    h ^= k
    h = (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0
  }
  if (tail < end) {
    let k = bytes[tail]!
    if (tail + 1 < end) k |= bytes[tail + 1]! << 8
    if (tail + 2 < end) k |= bytes[tail + 2]! << 16
    k = Math.imul(k, c1)
    h ^= Math.imul((k << 15) | (k >>> 17), c2)
  }
  h ^= end - start
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

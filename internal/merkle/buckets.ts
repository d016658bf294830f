import { type Hash64, hash64, murmur3_32 } from '../hash/index.js'
import type { Version } from '../hlc/index.js'
import { packDigests } from './digests.js'

/** Buckets below each slot. Do not change: members compare buckets by their number. */
export const bucketCount = 64

/** The bucket of a key within its slot: the six bits of its murmur3_32 below the twelve that choose the slot. */
export function bucketOf(key: Uint8Array): number {
  return (murmur3_32(key) >>> 14) & (bucketCount - 1)
}

/** The lowest digests of the tree, computed from a scan of one slot: XOR over the records of each bucket. */
export class BucketDigests {
  readonly #hi: Uint32Array = new Uint32Array(bucketCount)
  readonly #lo: Uint32Array = new Uint32Array(bucketCount)
  readonly #hash: Hash64 = { hi: 0, lo: 0 }

  /** Counts a record in; tombstones and expired ones too. The bytes are only read during the call. */
  add(key: Uint8Array, version: Version): void {
    const bucket = bucketOf(key)
    hash64(key, version.hi, version.lo, version.node, this.#hash)
    this.#hi[bucket]! ^= this.#hash.hi
    this.#lo[bucket]! ^= this.#hash.lo
  }

  packed(): Uint8Array {
    return packDigests(bucketCount, (i) => ({ hi: this.#hi[i]!, lo: this.#lo[i]! }))
  }
}

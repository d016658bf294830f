import type { Slot } from '../../base/index.js'
import { type Hash64, hash64 } from '../../hash/index.js'
import { hlcMs } from '../../hlc/index.js'
import { isDeadAtFloor } from '../../record/index.js'
import { slotCount } from '../../slots/index.js'
import type { Digest, PastDigest, Store } from '../store.js'
import { keyLengthAt, keyWordAt } from './table-layout.js'

/** Of a slot without records. Written to `into` where that is given. */
export function digestOfNothing(into: Hash64 = { hi: 0, lo: 0 }): Digest {
  into.hi = 0
  into.lo = 0
  return into
}

/** For each slot the XOR of `hash64` of key and version over its records, kept with every change. */
export class SlotDigests {
  readonly #hi: Uint32Array = new Uint32Array(slotCount)
  readonly #lo: Uint32Array = new Uint32Array(slotCount)
  readonly #hash: Hash64 = { hi: 0, lo: 0 }
  #changes = 0

  /** Rises with every change of a digest. */
  get changes(): number {
    return this.#changes
  }

  get bytes(): number {
    return this.#hi.byteLength + this.#lo.byteLength
  }

  /** Written to `into` where that is given, so that a look at all slots allocates nothing. */
  of(slot: number, into: Hash64 = { hi: 0, lo: 0 }): Digest {
    into.hi = this.#hi[slot]!
    into.lo = this.#lo[slot]!
    return into
  }

  /** The slot holds nothing any more. */
  clear(slot: number): void {
    this.#changes++
    this.#hi[slot] = 0
    this.#lo[slot] = 0
  }

  /** Adds a record to the slot's digest or takes it away: with XOR they are the same. */
  toggle(slot: number, key: Uint8Array, hi: number, lo: number, node: number): void {
    hash64(key, hi, lo, node, this.#hash)
    this.#changes++
    this.#hi[slot]! ^= this.#hash.hi
    this.#lo[slot]! ^= this.#hash.lo
  }

  /** The same for the record at `at` in a chunk. */
  toggleAt(slot: number, words: Uint32Array, bytes: Uint8Array, at: number): void {
    const keyByte = keyWordAt(words, at) * 4
    const end = keyByte + keyLengthAt(words, at)
    hash64(bytes, words[at + 2]!, words[at + 3]!, words[at + 4]!, this.#hash, keyByte, end)
    this.#changes++
    this.#hi[slot]! ^= this.#hash.hi
    this.#lo[slot]! ^= this.#hash.lo
  }
}

/** The digest over the records of a slot that were stamped at `upToMs` or before, by one scan of it. */
export function digestUpTo(table: Pick<Store, 'scanSlot'>, slot: Slot, upToMs: number): PastDigest {
  const past = { hi: 0, lo: 0, dead: 0 }
  const hash: Hash64 = { hi: 0, lo: 0 }
  table.scanSlot(slot, (record) => {
    if (hlcMs(record) > upToMs) return
    hash64(record.key, record.hi, record.lo, record.node, hash)
    past.hi = (past.hi ^ hash.hi) >>> 0
    past.lo = (past.lo ^ hash.lo) >>> 0
    if (isDeadAtFloor(record, upToMs)) past.dead++
  })
  return past
}

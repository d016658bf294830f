import { murmur3_32 } from '../../hash/index.js'
import type { StoredRecord } from '../../record/index.js'
import { slotOfHash } from '../../slots/index.js'
import type { Arena } from './arena.js'
import { chunkAt, homeOf, isFree, type SlotIndex, tagAt, tagMask, wordAt } from './table-index.js'

/**
 * How many keys one pass of `Prefetch` takes: enough for some ten misses to be under way all the time, few enough for
 * what was read to be in the first-level cache still when it is used (five lines of 64 B each: 10 KiB of 48).
 */
export const prefetchKeysMax = 32

/**
 * Reads from memory what lookups of many keys will wait for, before they are made. Far from the order of writing, a
 * lookup waits for a cell of the index, which says where the record is, and then for the record: 150 ns each on the
 * machine of docs/adr/0004-table-layout.md. In passes over many keys, the reads of one pass do not depend on each
 * other, and the processor waits for many of them at the same time. Group prefetching (Chen, Ailamaki, Gibbons and
 * Mowry, "Improving Hash Join Performance through Prefetching", 2004), with plain reads, as JavaScript has no others.
 */
export class Prefetch {
  readonly #indexes: readonly SlotIndex[]
  readonly #arena: Arena
  readonly #hashes: Uint32Array = new Uint32Array(prefetchKeysMax)
  readonly #chunks: Uint32Array = new Uint32Array(prefetchKeysMax)
  readonly #words: Uint32Array = new Uint32Array(prefetchKeysMax)
  /** Of everything that was read. Nobody needs it; without it the reads would be optimised away. */
  sum = 0

  /** `indexes` by slot; whoever owns them may replace them. */
  constructor(indexes: readonly SlotIndex[], arena: Arena) {
    this.#indexes = indexes
    this.#arena = arena
  }

  /** For the keys `keys[from, to)`, of which it takes the first `prefetchKeysMax`. */
  keys(keys: readonly Uint8Array[], from: number, to: number): void {
    const count = Math.min(to - from, prefetchKeysMax)
    for (let i = 0; i < count; i++) this.#hashes[i] = murmur3_32(keys[from + i]!)
    this.#read(count)
  }

  /** The same for the keys of `records[from, to)`. */
  keysOf(records: readonly StoredRecord[], from: number, to: number): void {
    const count = Math.min(to - from, prefetchKeysMax)
    for (let i = 0; i < count; i++) this.#hashes[i] = murmur3_32(records[from + i]!.key)
    this.#read(count)
  }

  #read(count: number): void {
    // One lookup alone has nothing to overlap with.
    if (count < 2) return
    this.#readHomes(count)
    this.#locate(count)
    this.#readRecords(count)
  }

  #readHomes(count: number): void {
    let sum = 0
    for (let i = 0; i < count; i++) {
      const hash = this.#hashes[i]!
      const index = this.#indexes[slotOfHash(hash)]!
      sum ^= index[2 * homeOf(hash & tagMask, index.length >>> 1)]!
    }
    this.sum = sum
  }

  /** Where the first record with the key's tag is, which almost always is the key's; (0, 0) if there is none. */
  #locate(count: number): void {
    for (let i = 0; i < count; i++) {
      const hash = this.#hashes[i]!
      const tag = hash & tagMask
      const index = this.#indexes[slotOfHash(hash)]!
      const cells = index.length >>> 1
      let cell = homeOf(tag, cells)
      while (!isFree(index, cell) && tagAt(index, cell) !== tag) cell = cell + 1 === cells ? 0 : cell + 1
      this.#chunks[i] = chunkAt(index, cell)
      this.#words[i] = wordAt(index, cell)
    }
  }

  /** A word from each of the first three cache lines, as much as a record of 100 B has. Chunk 0 has one word. */
  #readRecords(count: number): void {
    let sum = this.sum
    for (let i = 0; i < count; i++) {
      const words = this.#arena.words[this.#chunks[i]!]!
      const at = this.#words[i]!
      const last = words.length - 1
      sum ^= words[at]! ^ words[Math.min(at + 16, last)]! ^ words[Math.min(at + 32, last)]!
    }
    this.sum = sum
  }
}

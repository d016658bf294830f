import { assert, limits, type Slot } from '../../base/index.js'
import { type Hash64, murmur3_32 } from '../../hash/index.js'
import type { Version } from '../../hlc/index.js'
import { isDeadAtFloor, type StoredRecord } from '../../record/index.js'
import { slotCount, slotOfHash } from '../../slots/index.js'
import { EmptiedSlots } from '../emptied-slots.js'
import { type MergeOutcome, Met } from '../met.js'
import type { Digest } from '../store.js'
import { Arena } from './arena.js'
import { CopySlab } from './arena-slab.js'
import { ExpiryQueue } from './expiry-queue.js'
import { SlotDigests } from './slot-digests.js'
import { Floors } from './table-floors.js'
import {
  chunkAt,
  clearCell,
  emptyIndex,
  freeCellFor,
  grownFor,
  homeOf,
  indexBytes,
  type SlotIndex,
  setCell,
  shrunkFor,
  tagAt,
  tagMask,
  wordAt,
} from './table-index.js'
import {
  copyRecord,
  hasKey,
  isDeadRecordAt,
  isTombstoneAt,
  recordWords,
  recordWordsAt,
  valueExpiryAt,
  valueExpiryOf,
  versionAt,
  writeRecord,
} from './table-layout.js'
import { compareWithStored, visitRecords } from './table-lookups.js'
import { buryRecord, compactNext, perishableRecords } from './table-moves.js'
import { Prefetch } from './table-prefetch.js'

/**
 * All records of a node, in memory. Each slot has a hash index in one typed array (`table-index.ts`); the records lie
 * in chunks that all slots share (`arena.ts`, `table-layout.ts`). No object stands for a record, so there is nothing
 * for the garbage collector to walk, and the number of records is bounded by memory alone. What was measured, and
 * what was rejected, is in docs/adr/0004-table-layout.md.
 *
 * A new record goes to the end of the open chunk; one that replaces a record of the same size takes its place;
 * otherwise the old one is marked dead where it lies, and `compactStep` wins its bytes back. `expireStep` leaves of an
 * expired record what a delete would have left, its expiry included (docs/adr/0014-expiry-without-scans.md).
 */
export class Table {
  readonly #arena: Arena
  readonly #slab: CopySlab = new CopySlab()
  readonly #prefetch: Prefetch
  readonly #indexes: SlotIndex[] = []
  readonly #counts: Uint32Array = new Uint32Array(slotCount)
  readonly #tombstonesIn: Uint32Array = new Uint32Array(slotCount)
  readonly #digests: SlotDigests = new SlotDigests()
  readonly #floors: Floors = new Floors()
  readonly #expiries: ExpiryQueue
  readonly #emptied: EmptiedSlots = new EmptiedSlots()
  /** For callers who do not ask what was met. */
  readonly #met: Met = new Met()
  #records = 0
  #tombstones = 0
  #indexBytes = 0
  /** Scans under way (they may nest); while there are any, nothing may change. */
  #scans = 0

  constructor(arena: Arena = new Arena()) {
    this.#arena = arena
    for (let slot = 0; slot < slotCount; slot++) this.#indexes.push(emptyIndex)
    this.#prefetch = new Prefetch(this.#indexes, arena)
    const purged = (slot: number, records: number): void => this.#countTombstones(slot, records)
    this.#expiries = new ExpiryQueue(perishableRecords(arena, this.#indexes, purged))
  }

  /** Records that are not tombstones, expired ones whose value is still there included. */
  get entries(): number {
    return this.#records - this.#tombstones
  }

  get tombstones(): number {
    return this.#tombstones
  }

  /** Of one slot. */
  tombstonesIn(slot: Slot): number {
    return this.#tombstonesIn[slot]!
  }

  /** Whether a slot holds a record or has a floor. */
  holds(slot: Slot): boolean {
    return this.#counts[slot]! > 0 || this.#floors.of(slot) > 0
  }

  /** Whether `expireStep` may ever have something to do with the records that there are. */
  get hasExpiries(): boolean {
    return this.#expiries.entries > 0
  }

  /** Memory held, in bytes: chunks (with what is dead, spare or not yet used in them), indexes and expiries. */
  get bytes(): number {
    const fixedBytes = 2 * this.#counts.byteLength + this.#digests.bytes + this.#floors.bytes
    return this.#arena.heldBytes + this.#indexBytes + this.#emptied.bytes + this.#expiries.bytes + fixedBytes
  }

  /** What records fill, `headerBytes` of each included. Looks at every chunk. */
  get liveBytes(): number {
    return this.#arena.liveBytes
  }

  /**
   * The record of a key, tombstones and expired ones included; of an absent key under a floor the tombstone that this
   * stands for. Its key is the one given, its value the caller's copy.
   */
  get(key: Uint8Array): StoredRecord | undefined {
    const hash = murmur3_32(key)
    const slot = slotOfHash(hash)
    const index = this.#indexes[slot]!
    const cell = this.#find(index, hash & tagMask, key, true)
    if (cell < 0) return this.#floors.absent(slot, key)
    return this.#copy(chunkAt(index, cell), wordAt(index, cell), key)
  }

  /**
   * Announces that the keys `keys[from, to)` will be looked up next, so that the lookups' cache misses overlap
   * (`table-prefetch.ts`). It changes no result. It takes the first `prefetchKeysMax`: call it again for the next.
   */
  prefetch(keys: readonly Uint8Array[], from: number, to: number): void {
    this.#prefetch.keys(keys, from, to)
  }

  /** `prefetch` for the keys of `records[from, to)`. */
  prefetchKeysOf(records: readonly StoredRecord[], from: number, to: number): void {
    this.#prefetch.keysOf(records, from, to)
  }

  /** Makes room in a slot's index for so many more records that are about to come, rather than step by step. A hint. */
  expect(slot: Slot, records: number): void {
    this.#setIndex(slot, grownFor(this.#indexes[slot]!, this.#counts[slot]! + records))
  }

  /** The version of what `get` returns. */
  getVersion(key: Uint8Array): Version | undefined {
    const hash = murmur3_32(key)
    const slot = slotOfHash(hash)
    const index = this.#indexes[slot]!
    const cell = this.#find(index, hash & tagMask, key)
    if (cell < 0) return this.#floors.absentVersion(slot)
    return versionAt(this.#arena.words[chunkAt(index, cell)]!, wordAt(index, cell))
  }

  /**
   * Stores a copy of the record unless the stored one is at least as high by `compareRecords`: `same` when they are
   * equal in version, tombstone, expiry and value, `stale` when the stored one is higher, or when there is none and the
   * record is not above the slot's floor. In the one lookup that this takes, `met` is told what was there;
   * `wantPrevious` also copies what is replaced.
   */
  merge(record: StoredRecord, met: Met = this.#met, wantPrevious = false): MergeOutcome {
    const { key, value } = record
    assert(this.#scans === 0, 'a table must not change while it is scanned')
    assert(key.length > 0 && key.length <= limits.keyBytesMax, 'key length out of bounds')
    assert(value.length <= limits.valueBytesMax, 'value length out of bounds')
    const hash = murmur3_32(key)
    const slot = slotOfHash(hash)
    const index = this.#indexes[slot]!
    const cell = this.#find(index, hash & tagMask, key)
    if (cell < 0) {
      if (this.#floors.refuses(slot, record, met)) return 'stale'
      this.#insert(slot, hash & tagMask, record)
      return 'applied'
    }
    const chunk = chunkAt(index, cell)
    const at = wordAt(index, cell)
    const order = compareWithStored(record, this.#arena, chunk, at, met)
    if (order <= 0) return order === 0 ? 'same' : 'stale'
    if (wantPrevious) met.previous = this.#copy(chunk, at, key)
    if (isDeadAtFloor(record, this.#floors.of(slot))) {
      // Its absence says the same, and is what the other replicas have.
      this.#removeCell(slot, index, cell)
      this.#setIndex(slot, shrunkFor(this.#indexes[slot]!, this.#counts[slot]!))
    } else {
      this.#replace(slot, cell, record, chunk, at)
    }
    return 'applied'
  }

  /** What `merge` would do and meet now. Changes nothing, copies nothing. */
  wouldMerge(record: StoredRecord, met: Met = this.#met): MergeOutcome {
    const hash = murmur3_32(record.key)
    const slot = slotOfHash(hash)
    const index = this.#indexes[slot]!
    const cell = this.#find(index, hash & tagMask, record.key)
    if (cell < 0) return this.#floors.refuses(slot, record, met) ? 'stale' : 'applied'
    const order = compareWithStored(record, this.#arena, chunkAt(index, cell), wordAt(index, cell), met)
    return order > 0 ? 'applied' : order === 0 ? 'same' : 'stale'
  }

  /** `Store.scanSlot`. Key and value are views, right only during the call; `visit` must not change the table. */
  scanSlot(slot: Slot, visit: (record: StoredRecord) => void): void {
    this.#scans++
    try {
      visitRecords(this.#arena, this.#indexes[slot]!, visit)
    } finally {
      this.#scans--
    }
  }

  /** XOR of `hash64` of key and version over all records of the slot. Kept with every change; costs no scan. */
  digest(slot: Slot, into?: Hash64): Digest {
    return this.#digests.of(slot, into)
  }

  /** Rises with every change of a digest or of a floor. */
  get changes(): number {
    return this.#digests.changes + this.#floors.changes
  }

  /** The slot's floor in Unix milliseconds; 0: it has none. */
  floorMs(slot: Slot): number {
    return this.#floors.of(slot)
  }

  /**
   * Raises the floor of a slot and drops what is dead at it, in one scan of the slot; a lower one than there is changes
   * nothing. 0 takes the floor away, where the slot may lack records that lie below it. Returns how many it dropped.
   */
  setFloor(slot: Slot, floorMs: number): number {
    assert(this.#scans === 0, 'a table must not change while it is scanned')
    if (floorMs !== 0 && floorMs <= this.#floors.of(slot)) return 0
    this.#floors.set(slot, floorMs)
    if (floorMs === 0) return 0
    const before = this.#counts[slot]!
    const index = this.#indexes[slot]!
    const cells = index.length >>> 1
    for (let cell = 0; cell < cells; ) {
      const chunk = chunkAt(index, cell)
      // What probed past a cleared cell moves up into it, so the same cell is looked at again.
      if (chunk !== 0 && isDeadRecordAt(this.#arena.words[chunk]!, wordAt(index, cell), floorMs)) {
        this.#removeCell(slot, index, cell)
      } else {
        cell++
      }
    }
    const dropped = before - this.#counts[slot]!
    if (dropped > 0) this.#setIndex(slot, shrunkFor(this.#indexes[slot]!, this.#counts[slot]!))
    return dropped
  }

  /**
   * Drops every record of a slot and its floor, in a moment however many they are: the slot gets another index, and
   * `compactStep` goes through the old one before it does anything else.
   */
  emptySlot(slot: Slot): void {
    assert(this.#scans === 0, 'a table must not change while it is scanned')
    this.#floors.set(slot, 0)
    if (this.#counts[slot] === 0) return
    this.#records -= this.#counts[slot]!
    this.#tombstones -= this.#tombstonesIn[slot]!
    this.#counts[slot] = 0
    this.#tombstonesIn[slot] = 0
    this.#digests.clear(slot)
    this.#expiries.clear(slot)
    this.#emptied.add(this.#indexes[slot]!)
    this.#setIndex(slot, emptyIndex)
  }

  /** Drops the record of a key if it has exactly this version, and says whether it did. */
  remove(key: Uint8Array, version: Version): boolean {
    assert(this.#scans === 0, 'a table must not change while it is scanned')
    const hash = murmur3_32(key)
    const slot = slotOfHash(hash)
    const index = this.#indexes[slot]!
    const cell = this.#find(index, hash & tagMask, key)
    if (cell < 0) return false
    const chunk = chunkAt(index, cell)
    const at = wordAt(index, cell)
    const words = this.#arena.words[chunk]!
    if (words[at + 2] !== version.hi || words[at + 3] !== version.lo || words[at + 4] !== version.node) return false
    this.#removeCell(slot, index, cell)
    this.#setIndex(slot, shrunkFor(this.#indexes[slot]!, this.#counts[slot]!))
    return true
  }

  /**
   * Wins back dead bytes: moves at most about `budgetBytes` of records, and of 32 B for finding each, out of sparse
   * chunks, which are freed when empty. True while there is more to do. While steps keep up, at most a sixth of the
   * chunks is dead: where keys are overwritten evenly that moves about two bytes for each that died, never over five.
   */
  compactStep(budgetBytes: number): boolean {
    assert(this.#scans === 0, 'a table must not change while it is scanned')
    assert(budgetBytes > 0, 'a step without a budget never ends')
    // What has no cell any more must be dead before its chunk is looked at.
    for (let left = this.#emptied.bury(this.#arena, budgetBytes); !this.#emptied.done || this.#arena.pickSparse(); ) {
      if (left <= 0) return true
      left -= compactNext(this.#arena, this.#indexes)
    }
    return false
  }

  /**
   * Makes tombstones of the same version and expiry of what has expired by `nowMs` (Unix milliseconds), until about
   * `budget` records have been looked at; the values are dead bytes for `compactStep`. No digest changes, and merging
   * agrees: a record is below its tombstone. True while there is more to do.
   */
  expireStep(nowMs: number, budget: number): boolean {
    assert(this.#scans === 0, 'a table must not change while it is scanned')
    return this.#expiries.step(nowMs, budget)
  }

  /** The cell of `key`, or -1. `willCopy`: all of the record will be read; touching it early saved get 10 % at 1 M records. */
  #find(index: SlotIndex, tag: number, key: Uint8Array, willCopy = false): number {
    const cells = index.length >>> 1
    for (let cell = homeOf(tag, cells); index[2 * cell + 1] !== 0; cell = cell + 1 === cells ? 0 : cell + 1) {
      if (tagAt(index, cell) !== tag) continue
      const chunk = chunkAt(index, cell)
      const words = this.#arena.words[chunk]!
      const at = wordAt(index, cell)
      if (willCopy) this.#slab.touch(words, at)
      if (hasKey(words, this.#arena.bytes[chunk]!, at, key)) return cell
    }
    return -1
  }

  /** Drops the record of a cell; the index is not made smaller. */
  #removeCell(slot: Slot, index: SlotIndex, cell: number): void {
    const chunk = chunkAt(index, cell)
    const at = wordAt(index, cell)
    const tag = tagAt(index, cell)
    const words = this.#arena.words[chunk]!
    this.#digests.toggleAt(slot, words, this.#arena.bytes[chunk]!, at)
    this.#records--
    this.#counts[slot]!--
    if (isTombstoneAt(words, at)) this.#countTombstones(slot, -1)
    const beforeMs = valueExpiryAt(words, at)
    clearCell(index, cell)
    buryRecord(this.#arena, chunk, at)
    if (beforeMs !== 0) this.#expiries.changed(slot, tag, beforeMs, 0)
  }

  #countTombstones(slot: number, more: number): void {
    this.#tombstones += more
    this.#tombstonesIn[slot]! += more
  }

  #insert(slot: Slot, tag: number, record: StoredRecord): void {
    const index = this.#setIndex(slot, grownFor(this.#indexes[slot]!, ++this.#counts[slot]!))
    this.#append(index, freeCellFor(index, tag), tag, record)
    this.#digests.toggle(slot, record.key, record.hi, record.lo, record.node)
    this.#records++
    if (record.tombstone) this.#countTombstones(slot, 1)
    if (record.expiresAtMs !== 0) this.#expiries.changed(slot, tag, 0, valueExpiryOf(record))
  }

  #replace(slot: Slot, cell: number, record: StoredRecord, chunk: number, at: number): void {
    const words = this.#arena.words[chunk]!
    this.#digests.toggleAt(slot, words, this.#arena.bytes[chunk]!, at)
    this.#digests.toggle(slot, record.key, record.hi, record.lo, record.node)
    if (isTombstoneAt(words, at)) this.#countTombstones(slot, -1)
    if (record.tombstone) this.#countTombstones(slot, 1)
    const beforeMs = valueExpiryAt(words, at)
    const index = this.#indexes[slot]!
    const tag = tagAt(index, cell)
    if (recordWords(record) === recordWordsAt(words, at)) {
      writeRecord(words, this.#arena.bytes[chunk]!, at, record)
    } else {
      buryRecord(this.#arena, chunk, at)
      this.#append(index, cell, tag, record)
    }
    if (beforeMs !== 0 || record.expiresAtMs !== 0) {
      this.#expiries.changed(slot, tag, beforeMs, valueExpiryOf(record))
    }
  }

  #append(index: SlotIndex, cell: number, tag: number, record: StoredRecord): void {
    const arena = this.#arena
    const at = arena.allocate(recordWords(record))
    const chunk = arena.allocatedChunk
    writeRecord(arena.words[chunk]!, arena.bytes[chunk]!, at, record)
    setCell(index, cell, tag, chunk, at)
  }

  #setIndex(slot: Slot, index: SlotIndex): SlotIndex {
    const before = this.#indexes[slot]!
    if (index !== before) {
      this.#indexes[slot] = index
      this.#indexBytes += indexBytes(index) - indexBytes(before)
    }
    return index
  }

  #copy(chunk: number, at: number, key: Uint8Array): StoredRecord {
    return copyRecord(this.#arena.words[chunk]!, at, key, this.#slab)
  }
}

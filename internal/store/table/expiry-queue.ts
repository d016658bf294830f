import { assert } from '../../base/index.js'
import { slotCount } from '../../slots/index.js'
import { tagBits } from './table-index.js'

/*
 * An entry of the queue is one number: tick * 2^20 + tag. The slot is the upper 12 bits of a key's hash and the tag the
 * lower 20, so slot and entry name the hash; comparing entries compares ticks first.
 *
 * A tick is a moment, rounded up so that nothing comes up early: whole seconds of Unix time up to 2^32 (the year 2106),
 * from there on steps of 128 s. So every expiry that a record can have, up to 2^48 ms, has a tick below 2^33, and an
 * entry fits the 53 bits that a double holds exactly.
 */
const tagRange: number = 2 ** tagBits
const fineTicks: number = 2 ** 32
const coarseSeconds = 128

/** The first tick at which a record with this expiry (Unix milliseconds, above 0) is certainly expired. */
export function expiryTick(expiresAtMs: number): number {
  const seconds = Math.ceil(expiresAtMs / 1000)
  return seconds <= fineTicks ? seconds : fineTicks + Math.ceil((seconds - fineTicks) / coarseSeconds)
}

/** The last tick that has passed at this Unix time in milliseconds. */
export function passedTick(nowMs: number): number {
  const seconds = Math.floor(nowMs / 1000)
  return seconds <= fineTicks ? seconds : fineTicks + Math.floor((seconds - fineTicks) / coarseSeconds)
}

/** Entries that a slot may have beyond twice its perishable records before it is cleared of stale ones. */
export const staleEntriesMax = 32

/** What V8 and the allocator add to the numbers of a heap, as for the indexes beside it (`table-index.ts`). */
const heapOverheadBytes = 550
const capacityMin = 8
const emptyHeap: Float64Array = new Float64Array(0)

/** The records that the queue is about. A perishable one has a value and an expiry. */
export interface PerishableRecords {
  /** Whether the slot has a perishable record with this tag and tick. */
  holds(slot: number, tag: number, tick: number): boolean
  /** Takes the values of all of those away, and returns how many there were. */
  purge(slot: number, tag: number, tick: number): number
}

/**
 * When which value expires: a binary min-heap per slot, all in typed arrays, 8 B per entry. It holds hashes, not
 * records, and is lazy: an entry stays when its record is overwritten or deleted, and is found stale when it comes up.
 * So a change costs a push at most, and deleting costs nothing. Every perishable record has an entry with its tag
 * and tick; two may share one.
 *
 * Stale entries are bounded: a slot with more entries than twice its perishable records and `staleEntriesMax` is
 * cleared of them, which looks up each different entry once and touches no other record of the slot. As at least as
 * many changes lie between two clearings, that is two lookups a change at most; and in one go it is the records of
 * one slot, as when its index grows.
 */
export class ExpiryQueue {
  readonly #records: PerishableRecords
  readonly #heaps: Float64Array[] = []
  readonly #lengths: Uint32Array = new Uint32Array(slotCount)
  readonly #perishable: Uint32Array = new Uint32Array(slotCount)
  /** The least entry of each slot, Infinity where there is none: all that a look at what is due has to read. */
  readonly #least: Float64Array = new Float64Array(slotCount).fill(Number.POSITIVE_INFINITY)
  /** The slot at which the next look begins. */
  #cursor = 0
  #entries = 0
  #heapBytes = 0

  constructor(records: PerishableRecords) {
    this.#records = records
    for (let slot = 0; slot < slotCount; slot++) this.#heaps.push(emptyHeap)
  }

  /** Entries of all slots, stale ones included. */
  get entries(): number {
    return this.#entries
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.#heapBytes + this.#lengths.byteLength + this.#perishable.byteLength + this.#least.byteLength
  }

  /**
   * A record of this tag has changed, and the table already shows it: a value that would have expired at `beforeMs` has
   * gone, and one that will expire at `afterMs` has come (0: there was or is none, or it never expires).
   */
  changed(slot: number, tag: number, beforeMs: number, afterMs: number): void {
    if (beforeMs !== 0) {
      assert(this.#perishable[slot]! > 0, 'more perishable records went than came')
      this.#perishable[slot]!--
    }
    if (afterMs !== 0) {
      const tick = expiryTick(afterMs)
      this.#perishable[slot]!++
      // Overwritten within one tick, as a busy key is: its entry serves on.
      if (beforeMs === 0 || expiryTick(beforeMs) !== tick) this.#push(slot, tick * tagRange + tag)
    }
    this.#boundStale(slot)
  }

  /** The slot holds nothing any more. */
  clear(slot: number): void {
    this.#entries -= this.#lengths[slot]!
    this.#lengths[slot] = 0
    this.#perishable[slot] = 0
    this.#least[slot] = Number.POSITIVE_INFINITY
    this.#recapacitate(slot, 0)
  }

  /**
   * Purges what has expired by `nowMs`, until about `budget` records have been looked up. True while there is more to
   * do. It goes over when the last slot has to be cleared of stale entries, by the records of that one slot.
   */
  step(nowMs: number, budget: number): boolean {
    assert(budget > 0, 'a step without a budget never ends')
    const tick = passedTick(nowMs)
    for (let left = budget; ; ) {
      const slot = this.#dueSlot(tick)
      if (slot < 0) return false
      if (left <= 0) return true
      const entry = this.#take(slot)
      const purged = this.#records.purge(slot, tagOf(entry), tickOf(entry))
      assert(purged <= this.#perishable[slot]!, 'more perishable records went than came')
      this.#perishable[slot]! -= purged
      left -= Math.max(1, purged) + this.#boundStale(slot)
    }
  }

  /** A slot with an entry whose tick has passed, or -1. A slot is emptied of those before the next one follows. */
  #dueSlot(tick: number): number {
    const bound = (tick + 1) * tagRange
    for (let i = 0; i < slotCount; i++) {
      if (this.#least[this.#cursor]! < bound) return this.#cursor
      this.#cursor = this.#cursor + 1 === slotCount ? 0 : this.#cursor + 1
    }
    return -1
  }

  /** Takes the least entry of a slot that has one. */
  #take(slot: number): number {
    const heap = this.#heaps[slot]!
    const length = this.#lengths[slot]! - 1
    const least = heap[0]!
    this.#entries--
    this.#lengths[slot] = length
    if (length > 0) siftDown(heap, length, heap[length]!)
    this.#least[slot] = length > 0 ? heap[0]! : Number.POSITIVE_INFINITY
    if (length * 4 <= heap.length) this.#recapacitate(slot, length * 2)
    return least
  }

  #push(slot: number, entry: number): void {
    const length = this.#lengths[slot]!
    if (length === this.#heaps[slot]!.length) {
      // One more than the bound, which is seen to after the push: it never needs more room than that.
      const most = 2 * this.#perishable[slot]! + staleEntriesMax + 1
      this.#recapacitate(slot, Math.min(Math.ceil(length * 1.5) + 1, most))
    }
    const heap = this.#heaps[slot]!
    this.#lengths[slot] = length + 1
    this.#entries++
    let at = length
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (heap[parent]! <= entry) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
    this.#least[slot] = heap[0]!
  }

  /** Returns how many records it looked up: 0 unless the slot had too many stale entries. */
  #boundStale(slot: number): number {
    return this.#lengths[slot]! <= 2 * this.#perishable[slot]! + staleEntriesMax ? 0 : this.#clearStale(slot)
  }

  /** Keeps one entry for each tag and tick that a perishable record has. What is sorted is a heap. */
  #clearStale(slot: number): number {
    const heap = this.#heaps[slot]!
    const length = this.#lengths[slot]!
    heap.subarray(0, length).sort()
    let kept = 0
    let lookups = 0
    let before = -1
    for (let i = 0; i < length; i++) {
      const entry = heap[i]!
      if (entry === before) continue
      before = entry
      lookups++
      if (this.#records.holds(slot, tagOf(entry), tickOf(entry))) heap[kept++] = entry
    }
    this.#entries -= length - kept
    this.#lengths[slot] = kept
    this.#least[slot] = kept > 0 ? heap[0]! : Number.POSITIVE_INFINITY
    if (kept * 4 <= heap.length) this.#recapacitate(slot, kept * 2)
    return lookups
  }

  #recapacitate(slot: number, wanted: number): void {
    const heap = this.#heaps[slot]!
    const length = this.#lengths[slot]!
    const capacity = length === 0 && wanted === 0 ? 0 : Math.max(capacityMin, wanted)
    if (capacity === heap.length) return
    const moved = capacity === 0 ? emptyHeap : new Float64Array(capacity)
    moved.set(heap.subarray(0, length))
    this.#heaps[slot] = moved
    this.#heapBytes += heapBytes(moved) - heapBytes(heap)
  }
}

function tickOf(entry: number): number {
  return Math.floor(entry / tagRange)
}

function tagOf(entry: number): number {
  return entry % tagRange
}

function heapBytes(heap: Float64Array): number {
  return heap === emptyHeap ? 0 : heap.byteLength + heapOverheadBytes
}

/** Puts `entry` in the place of the root of a heap of `length` entries. */
function siftDown(heap: Float64Array, length: number, entry: number): void {
  let at = 0
  for (let child = 1; child < length; child = 2 * at + 1) {
    if (child + 1 < length && heap[child + 1]! < heap[child]!) child++
    if (heap[child]! >= entry) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = entry
}

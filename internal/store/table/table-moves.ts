import { assert } from '../../base/index.js'
import { murmur3_32 } from '../../hash/index.js'
import { slotOfHash } from '../../slots/index.js'
import type { Arena } from './arena.js'
import { expiryTick, type PerishableRecords } from './expiry-queue.js'
import { chunkAt, findLocation, homeOf, type SlotIndex, setCell, tagAt, tagMask, wordAt } from './table-index.js'
import {
  headerWords,
  isDeadAt,
  keyLengthAt,
  keyWordAt,
  makeTombstone,
  markDead,
  recordWordsAt,
  tombstoneWordsAt,
  valueExpiryAt,
} from './table-layout.js'

/**
 * What finding a record's cell adds to the cost of moving it, in bytes that could have been copied meanwhile: without
 * it, a step of compaction over records of a few bytes took three times as long as one over records of a hundred.
 */
export const moveOverheadBytes = 32

/** Declares the record at (chunk, at) dead: its words are for compaction to win back. */
export function buryRecord(arena: Arena, chunk: number, at: number): void {
  const words = arena.words[chunk]!
  markDead(words, at)
  arena.release(chunk, recordWordsAt(words, at))
}

/** Copies the first `span` words of a cell's record to the open chunk, points the cell there, and buries the old one. */
export function moveRecord(arena: Arena, index: SlotIndex, cell: number, span: number): void {
  const chunk = chunkAt(index, cell)
  const at = wordAt(index, cell)
  const words = arena.words[chunk]!
  // The copy comes before the burial: what is buried last in a chunk frees it for the next span.
  const to = arena.allocate(span)
  arena.words[arena.allocatedChunk]!.set(words.subarray(at, at + span), to)
  setCell(index, cell, tagAt(index, cell), arena.allocatedChunk, to)
  buryRecord(arena, chunk, at)
}

/** Moves the next record of the sparse chunk, or steps over it if it is dead. Returns the bytes this took. */
export function compactNext(arena: Arena, indexes: readonly SlotIndex[]): number {
  const chunk = arena.sparse
  const at = arena.sparseAt
  const words = arena.words[chunk]!
  const span = recordWordsAt(words, at)
  arena.sparseAt = at + span
  if (isDeadAt(words, at)) return headerWords * 4
  const keyByte = keyWordAt(words, at) * 4
  const hash = murmur3_32(arena.bytes[chunk]!, 0, keyByte, keyByte + keyLengthAt(words, at))
  const index = indexes[slotOfHash(hash)]!
  const cell = findLocation(index, hash & tagMask, chunk, at)
  assert(cell >= 0, 'a record that is alive has a cell')
  moveRecord(arena, index, cell, span)
  return span * 4 + moveOverheadBytes
}

/** A cell with this tag whose record has a value that expires at this tick (`expiryTick`), or -1. */
function findPerishable(arena: Arena, index: SlotIndex, tag: number, tick: number): number {
  const cells = index.length >>> 1
  for (let cell = homeOf(tag, cells); index[2 * cell + 1] !== 0; cell = cell + 1 === cells ? 0 : cell + 1) {
    if (tagAt(index, cell) !== tag) continue
    const expiresAtMs = valueExpiryAt(arena.words[chunkAt(index, cell)]!, wordAt(index, cell))
    if (expiresAtMs !== 0 && expiryTick(expiresAtMs) === tick) return cell
  }
  return -1
}

/**
 * Makes tombstones of all records with this tag whose values expire at this tick, and returns how many. What is left
 * of a record moves, as in compaction, rather than shrinks where it lies: so a chunk whose values have all gone is
 * free at once, and so is the chunk of its own that a large value has.
 */
function purgePerishable(arena: Arena, index: SlotIndex, tag: number, tick: number): number {
  for (let purged = 0; ; purged++) {
    const cell = findPerishable(arena, index, tag, tick)
    if (cell < 0) return purged
    const words = arena.words[chunkAt(index, cell)]!
    const span = tombstoneWordsAt(words, wordAt(index, cell))
    if (span < recordWordsAt(words, wordAt(index, cell))) moveRecord(arena, index, cell, span)
    makeTombstone(arena.words[chunkAt(index, cell)]!, wordAt(index, cell))
  }
}

/** What an expiry queue has to know of the records of all slots; `purged` is told how many tombstones it makes. */
export function perishableRecords(
  arena: Arena,
  indexes: readonly SlotIndex[],
  purged: (slot: number, records: number) => void,
): PerishableRecords {
  return {
    holds: (slot, tag, tick) => findPerishable(arena, indexes[slot]!, tag, tick) >= 0,
    purge: (slot, tag, tick) => {
      const records = purgePerishable(arena, indexes[slot]!, tag, tick)
      purged(slot, records)
      return records
    },
  }
}

import { compareRecords, type StoredRecord } from '../../record/index.js'
import type { Met } from '../met.js'
import type { Arena } from './arena.js'
import { chunkAt, type SlotIndex, wordAt } from './table-index.js'
import { expiryAt, isTombstoneAt, viewRecord } from './table-layout.js'

/** `compareRecords(record, stored)`, without making the stored record where the versions differ; tells `met`. */
export function compareWithStored(record: StoredRecord, arena: Arena, chunk: number, at: number, met: Met): number {
  const words = arena.words[chunk]!
  met.found = true
  met.hi = words[at + 2]!
  met.lo = words[at + 3]!
  met.node = words[at + 4]!
  met.tombstone = isTombstoneAt(words, at)
  met.expiresAtMs = expiryAt(words, at)
  met.previous = undefined
  const byVersion = record.hi - met.hi || record.lo - met.lo || record.node - met.node
  return byVersion !== 0 ? byVersion : compareRecords(record, viewRecord(words, arena.bytes[chunk]!, at))
}

/** Calls `visit` with every record of an index, in no particular order; key and value are views. */
export function visitRecords(arena: Arena, index: SlotIndex, visit: (record: StoredRecord) => void): void {
  const cells = index.length >>> 1
  for (let cell = 0; cell < cells; cell++) {
    const chunk = chunkAt(index, cell)
    if (chunk === 0) continue
    visit(viewRecord(arena.words[chunk]!, arena.bytes[chunk]!, wordAt(index, cell)))
  }
}

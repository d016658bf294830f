import { compareBytes, equalBytes } from '../../base/index.js'
import { compareVersions, hlcMs } from '../../hlc/index.js'
import { compareRecords, floorTombstone, type StoredRecord } from '../../record/index.js'
import { keyName } from '../repair/adopt-floor.js'
import type { PageReply } from '../replicas/replica.js'

/** What one owner of a slot holds of a stretch of it. */
export interface OwnerPage {
  readonly page: PageReply
  /** The owner's bit in quorums. */
  readonly bit: number
}

export interface NewestRecord {
  readonly record: StoredRecord
  /** A bit for each owner whose page shows that it holds this or something newer. */
  readonly holders: number
}

export interface MergedPages {
  /** By key, in byte order. */
  readonly records: readonly NewestRecord[]
  /** There may be more behind the last record. */
  readonly more: boolean
}

/**
 * The newest record of each key that the pages of `reading` owners show, tombstones included, as far as all of those reach.
 * Pages of others only tell whether they hold what was found: what they have beyond it counts for nothing, and where
 * they are cut short they are taken to lack the rest.
 */
export function mergePages(all: readonly OwnerPage[], reading: number): MergedPages {
  const pages = all.filter(({ bit }) => (bit & reading) !== 0)
  const others = all.filter(({ bit }) => (bit & reading) === 0)
  const bound = stretchEnd(pages)
  const newest = new Map<string, { record: StoredRecord; holders: number }>()
  for (const { page, bit } of pages) {
    for (const record of page.records) {
      if (bound !== undefined && compareBytes(record.key, bound) > 0) break
      const name = keyName(record.key)
      const known = newest.get(name)
      const order = known === undefined ? 1 : compareVersions(record, known.record)
      if (order > 0) newest.set(name, { record, holders: bit })
      else if (order === 0) {
        known!.holders |= bit
        // One replica may have purged the expired value and another not yet: the same write all the same.
        if (compareRecords(record, known!.record) > 0) known!.record = record
      }
    }
  }
  const readers = pages.reduce((sum, { bit }) => sum | bit, 0)
  for (const item of newest.values()) if (item.holders !== readers) buryUnderFloors(item, pages)
  for (const { page, bit } of others) {
    const held = new Map(page.records.map((record) => [keyName(record.key), record]))
    for (const [name, item] of newest) {
      const record = held.get(name)
      const has = record === undefined ? isUnderFloor(item.record, page) : compareVersions(record, item.record) >= 0
      if (has) item.holders |= bit
    }
  }
  const records = [...newest.values()].sort((a, b) => compareBytes(a.record.key, b.record.key))
  return { records, more: bound !== undefined }
}

function isUnderFloor(record: StoredRecord, { floorMs }: PageReply): boolean {
  return floorMs > 0 && hlcMs(record) <= floorMs
}

/**
 * Those that lack a key under a floor that covers its newest record hold a tombstone of it, and that is newer. A floor
 * covers all of a page: what was cut off is behind the stretch.
 */
function buryUnderFloors(item: { record: StoredRecord; holders: number }, pages: readonly OwnerPage[]): void {
  const { key } = item.record
  const over = pages.filter(
    ({ page }) => isUnderFloor(item.record, page) && !page.records.some((held) => equalBytes(held.key, key)),
  )
  if (over.length === 0) return
  item.record = floorTombstone(key, Math.max(...over.map(({ page }) => page.floorMs)))
  item.holders = over.reduce((sum, { bit }) => sum | bit, 0)
}

/** Pages that were cut short are known only up to their last key: the stretch ends at the lowest of those. */
function stretchEnd(pages: readonly OwnerPage[]): Uint8Array | undefined {
  let end: Uint8Array | undefined
  for (const { page } of pages) {
    if (!page.more) continue
    const last = page.records.at(-1)?.key
    if (last !== undefined && (end === undefined || compareBytes(last, end) < 0)) end = last
  }
  return end
}

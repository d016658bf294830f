import { compareBytes, type Slot } from '../../base/index.js'
import { BucketDigests, bucketOf, type Entry } from '../../merkle/index.js'
import { encodedRecordBytes } from '../../record/index.js'
import type { Store } from '../../store/index.js'
import type { EntryAsk } from '../repair/compared-replica.js'

/** What an entry takes on the wire beside its key. */
const entryOverheadBytes = 24

/** The packed digests of a slot's buckets, from a scan of the slot. */
export function bucketDigests(store: Store, slot: Slot): Uint8Array {
  const buckets = new BucketDigests()
  store.scanSlot(slot, (record) => buckets.add(record.key, record))
  return buckets.packed()
}

/**
 * The entries of some buckets of a slot behind `after` and up to `through` (undefined: to the end), in the byte order of
 * keys, from a scan of the slot. Their keys are copies.
 */
export function entriesBetween(
  store: Store,
  slot: Slot,
  buckets: readonly number[],
  after: Uint8Array,
  through?: Uint8Array,
): Entry[] {
  const wanted = new Set(buckets)
  const entries: Entry[] = []
  store.scanSlot(slot, (record) => {
    const { key, hi, lo, node } = record
    if (!wanted.has(bucketOf(key))) return
    if (after.length > 0 && compareBytes(key, after) <= 0) return
    if (through !== undefined && compareBytes(key, through) > 0) return
    entries.push({ key: key.slice(), version: { hi, lo, node }, bytes: encodedRecordBytes(record) })
  })
  return entries.sort((a, b) => compareBytes(a.key, b.key))
}

/** The first of the entries that are asked for, as many as may go on one page. */
export function entryPage(store: Store, ask: EntryAsk): { entries: Entry[]; more: boolean } {
  const entries = entriesBetween(store, ask.slot, ask.buckets, ask.after)
  let count = 0
  for (let bytes = 0; count < entries.length && count < ask.entriesMax; count++) {
    bytes += entryOverheadBytes + entries[count]!.key.length
    if (bytes > ask.bytesMax && count > 0) break
  }
  return { entries: entries.slice(0, count), more: count < entries.length }
}

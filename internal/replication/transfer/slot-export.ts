import { emptyBytes, limits, type Slot } from '../../base/index.js'
import { type Hash64, hash64 } from '../../hash/index.js'
import { encodedRecordBytes, isFloorVersion, type StoredRecord } from '../../record/index.js'
import { slotCount } from '../../slots/index.js'
import type { Digest } from '../../store/index.js'
import type { OperationOptions } from '../operations/operations.js'
import type { OperationContext, Routing } from '../operations/routing.js'
import { readStretch, type SlotStretch } from './slot-read.js'

/** Which slots are wanted as they are. */
export interface SlotExport {
  /** From this one on. */
  readonly slot: Slot
  /** Of the first slot only keys behind this one; empty: from its start. */
  readonly after: Uint8Array
  /** What the caller has of a slot: where the digest is the same, nothing is told of it. Undefined: nothing. */
  readonly known: (slot: Slot) => Digest | undefined
  /** Of records on one page; one slot comes in any case, of which one record may be larger. */
  readonly bytesMax: number
}

/** What a read quorum of its owners holds of a slot. */
export interface ExportedSlot {
  readonly slot: Slot
  /** With their versions, in the byte order of keys, tombstones and what has expired included; none where it is unchanged. */
  readonly records: readonly StoredRecord[]
  /** There may be more behind the last record. True of the last slot of a page only. */
  readonly more: boolean
  /** The highest floor that an owner told: what is absent and was stamped up to it has been deleted. Unix milliseconds; 0: none. */
  readonly floorMs: number
  /** The caller has the same. */
  readonly unchanged: boolean
}

/** One page of an export: slots in their order. */
export interface ExportedPage {
  readonly slots: readonly ExportedSlot[]
  /** Where the next page begins; `slot` = `slotCount`: this was the last. */
  readonly next: { readonly slot: number; readonly after: Uint8Array }
}

/**
 * Reads some slots from read quorums of their owners, each by one `SlotRead` or, where it is large, by one for each
 * stretch. So a slot holds every write that was acknowledged before it was begun, and of those that come meanwhile what
 * they find: each key as it was at some moment while the slot was read. `bytesPerSlot` is a guess, for reading ahead.
 */
export async function exportPage(
  context: OperationContext,
  routing: () => Routing,
  request: SlotExport,
  options: OperationOptions,
  bytesPerSlot: number,
): Promise<ExportedPage> {
  const { slot: first, after, bytesMax } = request
  const fitting = Math.floor(bytesMax / Math.max(1, 2 * bytesPerSlot))
  const count = Math.max(1, Math.min(fitting, limits.backupSlotsMax, slotCount - first))
  const share = Math.max(1, Math.floor(bytesMax / count))
  const stretches = await Promise.all(
    Array.from({ length: count }, (_, i) => {
      const from = i === 0 ? after : emptyBytes
      const wanted = { slot: first + i, prefix: emptyBytes, after: from }
      const page = { ...wanted, recordsMax: limits.scanPageEntriesMax, bytesMax: share }
      return readStretch(context, routing(), page, options)
    }),
  )
  const slots: ExportedSlot[] = []
  let bytes = 0
  for (const [i, stretch] of stretches.entries()) {
    const slot = (first + i) as Slot
    const records = stretch.records.filter((record) => !isFloorVersion(record))
    const { more, floorMs } = stretch
    const whole = !more && (i > 0 || after.length === 0)
    const unchanged = whole && isSame(records, request.known(slot))
    const kept = unchanged ? [] : records
    bytes += kept.reduce((sum, record) => sum + encodedRecordBytes(record), 0)
    // Each slot has told one record at least, however large: together they may be too much for one message.
    if (bytes > bytesMax && i > 0) return { slots, next: { slot, after: emptyBytes } }
    slots.push({ slot, records: kept, more, floorMs, unchanged })
    // What was read of the slots behind this one is read again.
    if (more) return { slots, next: { slot, after: lastKeyOf(stretch, i === 0 ? after : emptyBytes) } }
  }
  return { slots, next: { slot: first + count, after: emptyBytes } }
}

/** What was dropped for being absent under a floor counts as well: behind it the slot goes on. */
function lastKeyOf({ records }: SlotStretch, before: Uint8Array): Uint8Array {
  return records.at(-1)?.key ?? before
}

function isSame(records: readonly StoredRecord[], known: Digest | undefined): boolean {
  if (known === undefined) return false
  const { hi, lo } = digestOfRecords(records)
  return hi === known.hi && lo === known.lo
}

/** The digest that a slot with these records has: see `Store.digest`. */
function digestOfRecords(records: readonly StoredRecord[]): Digest {
  const sum = { hi: 0, lo: 0 }
  const hash: Hash64 = { hi: 0, lo: 0 }
  for (const { key, hi, lo, node } of records) {
    hash64(key, hi, lo, node, hash)
    sum.hi = (sum.hi ^ hash.hi) >>> 0
    sum.lo = (sum.lo ^ hash.lo) >>> 0
  }
  return sum
}

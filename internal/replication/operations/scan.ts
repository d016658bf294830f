import { emptyBytes, invalidArgument, limits } from '../../base/index.js'
import { murmur3_32 } from '../../hash/index.js'
import { encodedRecordBytes, isLive, type StoredRecord } from '../../record/index.js'
import { slotCount } from '../../slots/index.js'
import { readStretch } from '../transfer/slot-read.js'
import type { ScanOptions, ScanPage } from './operations.js'
import type { OperationContext, Routing } from './routing.js'

/** Where a scan goes on: in a slot, behind a key (empty: from its start). */
export interface Position {
  readonly slot: number
  readonly after: Uint8Array
}

/** The first byte of a cursor. A client may hold one from before an upgrade: a change needs a new number. */
export const cursorVersion = 2
const cursorHeaderBytes = 7

/** version u8, slot u16 LE, murmur3_32 of the scan's prefix u32 LE, key. Opaque to users; checked all the same. */
export function encodeCursor({ slot, after }: Position, prefix: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(cursorHeaderBytes + after.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, cursorVersion)
  view.setUint16(1, slot, true)
  view.setUint32(3, murmur3_32(prefix), true)
  bytes.set(after, cursorHeaderBytes)
  return bytes
}

/** Throws `invalid-argument` for `cursor`. A scan with another prefix has passed over what this one wants. */
export function decodeCursor(bytes: Uint8Array, prefix: Uint8Array): Position {
  if (bytes.length === 0) return { slot: 0, after: emptyBytes }
  const fits = bytes.length >= cursorHeaderBytes && bytes.length <= cursorHeaderBytes + limits.keyBytesMax
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const slot = fits ? view.getUint16(1, true) : slotCount
  if (slot >= slotCount || bytes[0] !== cursorVersion) {
    throw invalidArgument('cursor', 'was not made by a scan of this cluster')
  }
  if (view.getUint32(3, true) !== murmur3_32(prefix)) {
    throw invalidArgument('cursor', 'was made by a scan with another prefix')
  }
  return { slot, after: bytes.subarray(cursorHeaderBytes) }
}

/**
 * One page of a scan: slots in their order, keys in byte order within a slot. A key's slot never changes, so no key
 * comes twice, whatever is written meanwhile. `routing` is asked for each slot: each is read under one epoch, but not all
 * under the same. `density` is a guess of live keys to a slot, for reading ahead.
 */
export async function scanPage(
  context: OperationContext,
  routing: () => Routing,
  options: ScanOptions,
  density: number,
): Promise<ScanPage> {
  const records: StoredRecord[] = []
  let bytes = 0
  let { slot, after } = decodeCursor(options.cursor, options.prefix)
  const startMs = context.clock.monotonicMs()
  // A scan that finds little, or is slow, gives back how far it has come, so that the next request does not start over.
  const enoughMs = startMs + Math.min(limits.scanPageMs, (options.deadlineMs - startMs) / 2)
  let atOnce: number = limits.scanSlotsAtFirst
  let ahead = Math.ceil(options.pageSize / Math.max(density, 0.25))
  while (slot < slotCount) {
    if (records.length >= options.pageSize || context.clock.monotonicMs() >= enoughMs)
      return { records, cursor: encodeCursor({ slot, after }, options.prefix) }
    // Not before that: a page that has waited for long brings something all the same.
    while (context.active.overdue) await new Promise<void>((resolve) => context.clock.defer(resolve))
    const nowMs = context.clock.monotonicMs()
    const before = records.length
    const missing = options.pageSize - before
    const count = Math.max(1, Math.min(ahead, atOnce, slotCount - slot))
    const recordsMax = Math.min(missing + 1, limits.scanPageEntriesMax)
    const bytesMax = Math.max(1, Math.floor(limits.scanPageBytesMax / count))
    const stretches = await Promise.all(
      Array.from({ length: count }, (_, i) => {
        const request = { slot: slot + i, prefix: options.prefix, after: i === 0 ? after : emptyBytes }
        return readStretch(context, routing(), { ...request, recordsMax, bytesMax }, options)
      }),
    )
    const isFast = context.clock.monotonicMs() - nowMs < limits.scanSlotsMs
    atOnce = isFast ? Math.min(2 * atOnce, limits.scanSlotsMax) : Math.max(1, atOnce >>> 1)
    const wallMs = context.clock.wallMs()
    for (const stretch of stretches) {
      for (const record of stretch.records) {
        if (records.length >= options.pageSize || bytes >= limits.scanPageBytesMax) {
          return { records, cursor: encodeCursor({ slot, after }, options.prefix) }
        }
        after = record.key
        if (!isLive(record, wallMs)) continue
        records.push(record)
        bytes += encodedRecordBytes(record)
      }
      if (stretch.more) break // what was read of the slots behind this one is read again
      slot++
      after = emptyBytes
    }
    // Few keys have this prefix: look further at a time.
    if (records.length === before) ahead *= 2
  }
  return { records, cursor: emptyBytes }
}

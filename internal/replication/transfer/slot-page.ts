import { compareBytes, type Slot, startsWith } from '../../base/index.js'
import { encodedRecordBytes, type StoredRecord } from '../../record/index.js'
import type { Store } from '../../store/index.js'
import { type PageReply, type PageRequest, refillingPage } from '../replicas/replica.js'

/**
 * Reads a page of a slot from the store: the records behind `after` with `prefix`, in byte order. A lost slot has none:
 * what is left of it must not be taken for the whole.
 */
export function readSlotPage(store: Store, request: PageRequest): PageReply {
  const { prefix, after } = request
  if (store.isLost(request.slot as Slot)) return refillingPage
  const floorMs = store.floorMs(request.slot as Slot)
  const keys: Uint8Array[] = []
  store.scanSlot(request.slot as Slot, (record) => {
    if (!startsWith(record.key, prefix)) return
    if (after.length > 0 && compareBytes(record.key, after) <= 0) return
    keys.push(record.key.slice())
  })
  keys.sort(compareBytes)
  const records: StoredRecord[] = []
  let bytes = 0
  for (const key of keys) {
    if (records.length >= request.recordsMax || (bytes >= request.bytesMax && records.length > 0)) {
      return { kind: 'held', records, more: true, floorMs }
    }
    const record = store.get(key)
    if (record === undefined) continue
    records.push(record)
    bytes += encodedRecordBytes(record)
  }
  return { kind: 'held', records, more: false, floorMs }
}

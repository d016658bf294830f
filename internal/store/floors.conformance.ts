import type { Slot } from '../base/index.js'
import { hlcMs, hlcOf } from '../hlc/index.js'
import { compareRecords, floorTombstone, isDeadAtFloor, isLive, type StoredRecord } from '../record/index.js'
import { slotOf } from '../slots/index.js'

const text = new TextEncoder()
const decoder = new TextDecoder()

/** The slot that all of `keysOf` fall into. */
export const floorSlot: Slot = slotOf(text.encode('key-0'))

/** So many keys of one slot. */
export function keysOfOneSlot(count: number): Uint8Array[] {
  const keys: Uint8Array[] = []
  for (let i = 0; keys.length < count; i++) {
    const key = text.encode(`key-${i}`)
    if (slotOf(key) === floorSlot) keys.push(key)
  }
  return keys
}

export function write(key: Uint8Array, ms: number, change: Partial<StoredRecord> = {}): StoredRecord {
  const value = change.tombstone === true ? new Uint8Array(0) : text.encode(`${decoder.decode(key)}@${ms}`)
  return { ...hlcOf(ms, 1), node: 1, key, tombstone: false, expiresAtMs: 0, value, ...change }
}

/** One slot of a store with floors, and beside it what a store would hold that never collected anything. */
export class FloorModel {
  readonly stored: Map<string, StoredRecord> = new Map()
  readonly everything: Map<string, StoredRecord> = new Map()
  floorMs = 0

  commit(record: StoredRecord): void {
    const name = decoder.decode(record.key)
    const known = this.everything.get(name)
    if (known === undefined || compareRecords(record, known) > 0) this.everything.set(name, record)
    const held = this.stored.get(name)
    if (held === undefined && this.floorMs > 0 && hlcMs(record) <= this.floorMs) return
    if (held !== undefined && compareRecords(record, held) <= 0) return
    if (isDeadAtFloor(record, this.floorMs)) this.stored.delete(name)
    else this.stored.set(name, record)
  }

  raise(floorMs: number): void {
    if (floorMs <= this.floorMs) return
    this.floorMs = floorMs
    for (const [name, record] of this.stored) if (isDeadAtFloor(record, floorMs)) this.stored.delete(name)
  }

  /** What `Store.get` answers. */
  get(key: Uint8Array): StoredRecord | undefined {
    const held = this.stored.get(decoder.decode(key))
    return held ?? (this.floorMs > 0 ? floorTombstone(key, this.floorMs) : undefined)
  }

  /** What a reader sees at `nowMs`, who knows nothing of floors. */
  seen(key: Uint8Array, nowMs: number): string | undefined {
    const record = this.everything.get(decoder.decode(key))
    return record !== undefined && isLive(record, nowMs) ? decoder.decode(record.value) : undefined
  }
}

import { hlcMs, type Version } from '../../hlc/index.js'
import { type Floor, floorTombstone, floorVersion, type StoredRecord } from '../../record/index.js'
import { slotCount } from '../../slots/index.js'
import type { Met } from '../met.js'
import type { Table } from './table.js'

/** The slots' floors, and what an absent key is under them (docs/adr/0023-tombstone-floors.md). */
export class Floors {
  readonly #ms: Float64Array = new Float64Array(slotCount)
  #changes = 0

  /** Rises with every change of a floor. */
  get changes(): number {
    return this.#changes
  }

  get bytes(): number {
    return this.#ms.byteLength
  }

  /** Unix milliseconds; 0: the slot has none. */
  of(slot: number): number {
    return this.#ms[slot]!
  }

  set(slot: number, floorMs: number): void {
    this.#ms[slot] = floorMs
    this.#changes++
  }

  /** What an absent key of the slot holds; undefined: nothing is known of it. */
  absent(slot: number, key: Uint8Array): StoredRecord | undefined {
    return this.#ms[slot] === 0 ? undefined : floorTombstone(key, this.#ms[slot]!)
  }

  absentVersion(slot: number): Version | undefined {
    return this.#ms[slot] === 0 ? undefined : floorVersion(this.#ms[slot]!)
  }

  /** Whether a record of a key that is absent must not be stored, and what it has met: a tombstone, or nothing. */
  refuses(slot: number, record: StoredRecord, met: Met): boolean {
    const floorMs = this.#ms[slot]!
    met.previous = undefined
    met.found = floorMs !== 0 && hlcMs(record) <= floorMs
    if (!met.found) return false
    const { hi, lo, node } = floorVersion(floorMs)
    met.hi = hi
    met.lo = lo
    met.node = node
    met.tombstone = true
    met.expiresAtMs = 0
    return true
  }
}

/** Does what a floor says that stands in the log or in a snapshot. */
export function applyFloor(table: Table, { slot, floorMs, empties }: Floor): void {
  if (empties === true) table.emptySlot(slot)
  else table.setFloor(slot, floorMs)
}

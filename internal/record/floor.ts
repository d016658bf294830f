import type { Slot } from '../base/index.js'
import { hlcMs, hlcOf, type Version, zeroVersion } from '../hlc/index.js'
import { decodeRecord, RecordFormatError, recordLengthAt } from './codec.js'
import type { StoredRecord } from './record.js'

/*
 * FORMAT.md, "Floor". Do not change: it is on disks.
 *
 *   0  1  flags: bit 2 floor; bit 3: the slot is emptied as well; no other
 *   1  1  0
 *   2  2  key length     2
 *   4  4  value length   0
 *   8  4  hlc hi    12  4  hlc lo    16  4  node     as in `floorVersion`, or all 0: the slot has no floor any more
 *  20  2  slot           u16 LE, 0..4095
 */
const flagFloor = 4
const flagEmpties = 8
const slotMask = 0xfff
export const encodedFloorBytes = 22

/** No node has this number: what carries it was stamped by none, but stands for something absent. */
const floorNode = 0xffffffff

/**
 * A moment in the history of a slot: everything of it that was stamped in this millisecond or before, and that is not
 * there, has been deleted. (Design of docs/adr/0023-tombstone-floors.md.)
 */
export interface Floor {
  readonly slot: Slot
  /** Unix milliseconds of the hybrid clock; 0: nothing is known. */
  readonly floorMs: number
  /**
   * Everything that the slot held before is dropped, and its floor with it (`floorMs` is 0): this node does not own the
   * slot any more. In the log only; snapshots hold what is left.
   */
  readonly empties?: true
}

/** That a slot is emptied. */
export function emptiedSlot(slot: Slot): Floor {
  return { slot, floorMs: 0, empties: true }
}

/** What the log and snapshots are made of. */
export type Entry = StoredRecord | Floor

export function isFloor(entry: Entry): entry is Floor {
  return 'floorMs' in entry
}

/** The version of what is absent under a floor: above every stamp up to it, and below every later one. */
export function floorVersion(floorMs: number): Version {
  if (floorMs === 0) return zeroVersion
  const { hi, lo } = hlcOf(floorMs, 0xffff)
  return { hi, lo, node: floorNode }
}

/** Whether a version is one of `floorVersion`: whoever holds it holds a tombstone, or nothing. */
export function isFloorVersion(version: Version): boolean {
  return version.node === floorNode
}

/** What an absent key is under a floor. */
export function floorTombstone(key: Uint8Array, floorMs: number): StoredRecord {
  const { hi, lo, node } = floorVersion(floorMs)
  return { hi, lo, node, key, tombstone: true, expiresAtMs: 0, value: new Uint8Array(0) }
}

/**
 * Whether a record is deleted for everybody at a floor not below its stamp, so that its absence says the same. It is
 * the same on all replicas, whether or not one has thrown away an expired value already: those keep their expiry.
 */
export function isDeadAtFloor(record: Omit<StoredRecord, 'key' | 'value'>, floorMs: number): boolean {
  if (floorMs === 0 || hlcMs(record) > floorMs) return false
  return record.expiresAtMs === 0 ? record.tombstone : record.expiresAtMs <= floorMs
}

/** Writes a floor at `at`; returns the offset behind it. */
export function encodeFloor({ slot, floorMs, empties }: Floor, into: Uint8Array, at: number): number {
  const { hi, lo, node } = floorVersion(floorMs)
  const view = new DataView(into.buffer, into.byteOffset + at, encodedFloorBytes)
  view.setUint32(0, flagFloor | (empties === true ? flagEmpties : 0) | (2 << 16), true)
  view.setUint32(4, 0, true)
  view.setUint32(8, hi, true)
  view.setUint32(12, lo, true)
  view.setUint32(16, node, true)
  view.setUint16(20, slot, true)
  return at + encodedFloorBytes
}

/** Whether a floor starts at `at`, rather than a record. */
export function isFloorAt(from: Uint8Array, at: number): boolean {
  return from[at] === flagFloor || from[at] === (flagFloor | flagEmpties)
}

/** Reads the floor at `at`. Throws RecordFormatError. */
export function decodeFloor(from: Uint8Array, at: number): Floor {
  if (at + encodedFloorBytes > from.length) throw new RecordFormatError(at, 'a floor that is cut short')
  const view = new DataView(from.buffer, from.byteOffset + at, encodedFloorBytes)
  const empties = (from[at]! & flagEmpties) !== 0
  const header = flagFloor | (empties ? flagEmpties : 0) | (2 << 16)
  if (view.getUint32(0, true) !== header || view.getUint32(4, true) !== 0) {
    throw new RecordFormatError(at, 'a floor with a wrong header')
  }
  const slot = view.getUint16(20, true)
  if ((slot & ~slotMask) !== 0) throw new RecordFormatError(at, `a floor of slot ${slot}`)
  const version = { hi: view.getUint32(8, true), lo: view.getUint32(12, true), node: view.getUint32(16, true) }
  const floorMs = hlcMs(version)
  const expected = floorVersion(floorMs)
  if (version.hi !== expected.hi || version.lo !== expected.lo || version.node !== expected.node) {
    throw new RecordFormatError(at, 'a floor that is no whole millisecond')
  }
  if (empties && floorMs !== 0) throw new RecordFormatError(at, 'an emptied slot with a floor')
  return empties ? emptiedSlot(slot as Slot) : { slot: slot as Slot, floorMs }
}

/** The length of the record or floor at `at`. Throws RecordFormatError. */
export function entryLengthAt(from: Uint8Array, at: number): number {
  if (!isFloorAt(from, at)) return recordLengthAt(from, at)
  decodeFloor(from, at)
  return encodedFloorBytes
}

/**
 * Reads records and floors up to the end of `from`, of which there must be just as many as `expected`. Keys and values
 * are views. Throws RecordFormatError.
 */
export function decodeEntries(from: Uint8Array, expected: number): Entry[] {
  const entries: Entry[] = []
  for (let at = 0; at < from.length; at += entryLengthAt(from, at)) {
    entries.push(isFloorAt(from, at) ? decodeFloor(from, at) : decodeRecord(from, at))
  }
  if (entries.length !== expected) {
    throw new RecordFormatError(from.length, `${entries.length} records where ${expected} were promised`)
  }
  return entries
}

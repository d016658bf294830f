import { limits } from '../base/index.js'
import type { StoredRecord } from './record.js'

/*
 * FORMAT.md, "Record". Do not change: it is on disks and on the wire.
 *
 *   0  1  flags: bit 0 tombstone, bit 1 has expiry; the rest 0
 *   1  1  0
 *   2  2  key length     u16 LE, 1..1024
 *   4  4  value length   u32 LE, 0..2^20; 0 for a tombstone
 *   8  4  hlc hi         u32 LE
 *  12  4  hlc lo         u32 LE
 *  16  4  node           u32 LE
 *  20  8  expiry         u64 LE, Unix ms, only if flag bit 1
 *      k  key
 *      v  value
 */
const headerBytes = 20
const flagTombstone = 1
const flagExpiry = 2

/** The bytes were not written by our encoder: damaged, foreign, or cut short. */
export class RecordFormatError extends Error {
  override readonly name = 'RecordFormatError'
  /** Where in the buffer the bad record starts. */
  readonly offset: number

  constructor(offset: number, message: string) {
    super(`record at byte ${offset}: ${message}`)
    this.offset = offset
  }
}

export function encodedRecordBytes(record: StoredRecord): number {
  return headerBytes + (record.expiresAtMs === 0 ? 0 : 8) + record.key.length + record.value.length
}

function writeU32(into: Uint8Array, at: number, value: number): void {
  into[at] = value
  into[at + 1] = value >>> 8
  into[at + 2] = value >>> 16
  into[at + 3] = value >>> 24
}

function readU32(from: Uint8Array, at: number): number {
  return (from[at]! | (from[at + 1]! << 8) | (from[at + 2]! << 16) | (from[at + 3]! << 24)) >>> 0
}

/** Writes `record` at `at`; `into` must have `encodedRecordBytes` of room. Returns the offset behind it. */
export function encodeRecord(record: StoredRecord, into: Uint8Array, at: number): number {
  const { key, value, expiresAtMs } = record
  into[at] = (record.tombstone ? flagTombstone : 0) | (expiresAtMs === 0 ? 0 : flagExpiry)
  into[at + 1] = 0
  into[at + 2] = key.length
  into[at + 3] = key.length >>> 8
  writeU32(into, at + 4, value.length)
  writeU32(into, at + 8, record.hi)
  writeU32(into, at + 12, record.lo)
  writeU32(into, at + 16, record.node)
  let end = at + headerBytes
  if (expiresAtMs !== 0) {
    writeU32(into, end, expiresAtMs % 2 ** 32)
    writeU32(into, end + 4, Math.floor(expiresAtMs / 2 ** 32))
    end += 8
  }
  into.set(key, end)
  end += key.length
  into.set(value, end)
  return end + value.length
}

export function encodeRecords(records: readonly StoredRecord[]): Uint8Array {
  let size = 0
  for (const record of records) size += encodedRecordBytes(record)
  const bytes = new Uint8Array(size)
  let at = 0
  for (const record of records) at = encodeRecord(record, bytes, at)
  return bytes
}

/** The length of the record that starts at `at`, from its checked header. Throws RecordFormatError. */
export function recordLengthAt(from: Uint8Array, at: number): number {
  if (at + headerBytes > from.length) throw new RecordFormatError(at, 'cut short in its header')
  const flags = from[at]!
  if ((flags & ~(flagTombstone | flagExpiry)) !== 0 || from[at + 1] !== 0) {
    throw new RecordFormatError(at, `unknown flags 0x${flags.toString(16)}`)
  }
  const keyLength = from[at + 2]! | (from[at + 3]! << 8)
  const valueLength = readU32(from, at + 4)
  if (keyLength === 0 || keyLength > limits.keyBytesMax) throw new RecordFormatError(at, `key length ${keyLength}`)
  if (valueLength > limits.valueBytesMax) throw new RecordFormatError(at, `value length ${valueLength}`)
  if ((flags & flagTombstone) !== 0 && valueLength !== 0) throw new RecordFormatError(at, 'a tombstone with a value')
  const length = headerBytes + ((flags & flagExpiry) === 0 ? 0 : 8) + keyLength + valueLength
  if (at + length > from.length) throw new RecordFormatError(at, 'cut short')
  return length
}

/**
 * Reads the record at `at`. Its key and value are views into `from`: whoever keeps them longer than `from` copies.
 * Throws RecordFormatError.
 */
export function decodeRecord(from: Uint8Array, at: number): StoredRecord {
  const end = at + recordLengthAt(from, at)
  const flags = from[at]!
  const keyLength = from[at + 2]! | (from[at + 3]! << 8)
  let start = at + headerBytes
  let expiresAtMs = 0
  if ((flags & flagExpiry) !== 0) {
    expiresAtMs = readU32(from, start) + readU32(from, start + 4) * 2 ** 32
    if (expiresAtMs === 0 || expiresAtMs > 2 ** 48) throw new RecordFormatError(at, `expiry ${expiresAtMs}`)
    start += 8
  }
  return {
    hi: readU32(from, at + 8),
    lo: readU32(from, at + 12),
    node: readU32(from, at + 16),
    key: from.subarray(start, start + keyLength),
    tombstone: (flags & flagTombstone) !== 0,
    expiresAtMs,
    value: from.subarray(start + keyLength, end),
  }
}

/** Reads all of `from`. Throws RecordFormatError, also when `expected` is given and the count differs. */
export function decodeRecords(from: Uint8Array, expected?: number): StoredRecord[] {
  const records: StoredRecord[] = []
  for (let at = 0; at < from.length; ) {
    records.push(decodeRecord(from, at))
    at += recordLengthAt(from, at)
  }
  if (expected !== undefined && records.length !== expected) {
    throw new RecordFormatError(from.length, `${records.length} records where ${expected} were promised`)
  }
  return records
}

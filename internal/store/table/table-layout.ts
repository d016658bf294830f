import type { Version } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'
import type { CopySlab } from './arena-slab.js'

/*
 * A record in a chunk, in words of 4 bytes. Memory only: it never reaches a disk or a wire, so the machine's byte
 * order does.
 *
 *   0  key length (bits 0-15), flags (bits 16-18: tombstone, has expiry, dead)
 *   1  value length
 *   2  hlc hi    3  hlc lo    4  node
 *   5  expiry: low, then high 32 bits of the Unix milliseconds, only if flagged
 *   …  key, value, then up to 3 bytes that fill the last word
 *
 * A dead record keeps its first two words, so that its chunk can still be walked.
 */
export const headerWords = 5
/** Of every record: what is neither its key nor its value nor its expiry. */
export const headerBytes = 20
const expiryWords = 2
const flagTombstone = 1 << 16
const flagExpiry = 1 << 17
const flagDead = 1 << 18
const keyLengthMask = 0xffff

export function recordWords(record: StoredRecord): number {
  const words = headerWords + (record.expiresAtMs === 0 ? 0 : expiryWords)
  return words + ((record.key.length + record.value.length + 3) >>> 2)
}

export function recordWordsAt(words: Uint32Array, at: number): number {
  return keyWordAt(words, at) - at + ((keyLengthAt(words, at) + words[at + 1]! + 3) >>> 2)
}

export function keyLengthAt(words: Uint32Array, at: number): number {
  return words[at]! & keyLengthMask
}

/** The word at which the key starts. */
export function keyWordAt(words: Uint32Array, at: number): number {
  return at + ((words[at]! & flagExpiry) === 0 ? headerWords : headerWords + expiryWords)
}

export function isTombstoneAt(words: Uint32Array, at: number): boolean {
  return (words[at]! & flagTombstone) !== 0
}

export function isDeadAt(words: Uint32Array, at: number): boolean {
  return (words[at]! & flagDead) !== 0
}

export function markDead(words: Uint32Array, at: number): void {
  words[at] = words[at]! | flagDead
}

export function expiryAt(words: Uint32Array, at: number): number {
  return (words[at]! & flagExpiry) === 0 ? 0 : words[at + headerWords]! + words[at + headerWords + 1]! * 2 ** 32
}

export function versionAt(words: Uint32Array, at: number): Version {
  return { hi: words[at + 2]!, lo: words[at + 3]!, node: words[at + 4]! }
}

/** When the value at `at` expires, in Unix milliseconds; 0: never, or there is none. */
export function valueExpiryAt(words: Uint32Array, at: number): number {
  return isTombstoneAt(words, at) ? 0 : expiryAt(words, at)
}

/** When the record's value expires, in Unix milliseconds; 0: never, or there is none. */
export function valueExpiryOf(record: StoredRecord): number {
  return record.tombstone ? 0 : record.expiresAtMs
}

/** `isDeadAtFloor` for the record at `at`, without making it. */
export function isDeadRecordAt(words: Uint32Array, at: number, floorMs: number): boolean {
  if (words[at + 2]! * 65_536 + (words[at + 3]! >>> 16) > floorMs) return false
  const expiresAtMs = expiryAt(words, at)
  return expiresAtMs === 0 ? isTombstoneAt(words, at) : expiresAtMs <= floorMs
}

/** The words that are left of the record at `at` without its value. */
export function tombstoneWordsAt(words: Uint32Array, at: number): number {
  return keyWordAt(words, at) - at + ((keyLengthAt(words, at) + 3) >>> 2)
}

/** Makes a tombstone of the same version and expiry of the record at `at`, which has room for no more than that. */
export function makeTombstone(words: Uint32Array, at: number): void {
  words[at] = words[at]! | flagTombstone
  words[at + 1] = 0
}

export function writeRecord(words: Uint32Array, bytes: Uint8Array, at: number, record: StoredRecord): void {
  const { key, value, expiresAtMs } = record
  words[at] = key.length | (record.tombstone ? flagTombstone : 0) | (expiresAtMs === 0 ? 0 : flagExpiry)
  words[at + 1] = value.length
  words[at + 2] = record.hi
  words[at + 3] = record.lo
  words[at + 4] = record.node
  if (expiresAtMs !== 0) {
    words[at + headerWords] = expiresAtMs % 2 ** 32
    words[at + headerWords + 1] = Math.floor(expiresAtMs / 2 ** 32)
  }
  const keyByte = keyWordAt(words, at) * 4
  bytes.set(key, keyByte)
  bytes.set(value, keyByte + key.length)
}

/** Whether the record's key is `key`. A loop over the bytes in place: a view per lookup cost more than the lookup. */
export function hasKey(words: Uint32Array, bytes: Uint8Array, at: number, key: Uint8Array): boolean {
  const length = key.length
  if (keyLengthAt(words, at) !== length) return false
  const start = keyWordAt(words, at) * 4
  for (let i = 0; i < length; i++) if (bytes[start + i] !== key[i]) return false
  return true
}

/** The record at `at` with views of its key and value: right only until the table changes. */
export function viewRecord(words: Uint32Array, bytes: Uint8Array, at: number): StoredRecord {
  const keyByte = keyWordAt(words, at) * 4
  const valueByte = keyByte + keyLengthAt(words, at)
  return {
    hi: words[at + 2]!,
    lo: words[at + 3]!,
    node: words[at + 4]!,
    key: bytes.subarray(keyByte, valueByte),
    tombstone: isTombstoneAt(words, at),
    expiresAtMs: expiryAt(words, at),
    value: bytes.subarray(valueByte, valueByte + words[at + 1]!),
  }
}

/** The record at `at`, whose key is `key`, with that as its key and a copy of its value. */
export function copyRecord(words: Uint32Array<ArrayBuffer>, at: number, key: Uint8Array, slab: CopySlab): StoredRecord {
  const valueLength = words[at + 1]!
  const start = slab.put(words, keyWordAt(words, at) * 4 + key.length, valueLength)
  return {
    hi: words[at + 2]!,
    lo: words[at + 3]!,
    node: words[at + 4]!,
    key,
    tombstone: isTombstoneAt(words, at),
    expiresAtMs: expiryAt(words, at),
    value: new Uint8Array(slab.buffer, start, valueLength),
  }
}

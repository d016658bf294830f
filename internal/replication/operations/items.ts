import { ReadStatus } from '@quorumkv/proto/kv/peer/v1/messages'
import { assert, emptyBytes, limits } from '../../base/index.js'
import type { Version } from '../../hlc/index.js'
import {
  decodeRecord,
  encodedRecordBytes,
  encodeRecord,
  RecordFormatError,
  recordLengthAt,
  type StoredRecord,
} from '../../record/index.js'

/*
 * The items of a message between nodes: proto/kv/peer/v1/messages.proto, "Items", draws them. Each goes from where it
 * lies straight into the bytes of the message, and is read where it lies there: with the generated codec, which made
 * arrays, copies and an object for each level, a write and its reply cost two to four times as much (docs/adr/0034).
 */

/** What an item is: its first byte. */
export const itemKind = { write: 1, read: 2, writeReply: 3, readReply: 4 } as const

/** Of each item, before what depends on its kind. */
export const itemHeaderBytes = 8
const versionBytes = 12

/** Flags of a write. */
export const writeFlags = { wantPrevious: 1, isRepair: 2 } as const
const replyFlags = { existed: 1, seen: 2, previous: 4 } as const
const allReplyFlags = 7

const bufferBytesMin = 4_096
/** A larger one is not kept for the next message. */
const bufferBytesKept = 65_536

function writeU32(into: Uint8Array, at: number, value: number): void {
  into[at] = value
  into[at + 1] = value >>> 8
  into[at + 2] = value >>> 16
  into[at + 3] = value >>> 24
}

function readU32(from: Uint8Array, at: number): number {
  return (from[at]! | (from[at + 1]! << 8) | (from[at + 2]! << 16) | (from[at + 3]! << 24)) >>> 0
}

/** Items on their way into a message. Its buffer serves one message after another. */
export class ItemWriter {
  #buffer: Uint8Array = new Uint8Array(bufferBytesMin)
  #length = 0

  /** Bytes of all items. */
  get length(): number {
    return this.#length
  }

  /** The items, until the next one is added or they are cleared. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Copies the items to `at`, where there must be room. */
  copyTo(into: Uint8Array, at: number): void {
    into.set(this.view(), at)
  }

  clear(): void {
    this.#length = 0
    if (this.#buffer.length > bufferBytesKept) this.#buffer = new Uint8Array(bufferBytesMin)
  }

  /** `flags`: some of `writeFlags`. */
  addWrite(id: number, flags: number, record: StoredRecord): void {
    const at = this.#begin(itemKind.write, flags, 0, id, encodedRecordBytes(record))
    encodeRecord(record, this.#buffer, at)
  }

  addRead(id: number, mode: number, key: Uint8Array): void {
    const at = this.#begin(itemKind.read, mode, key.length, id, key.length)
    this.#buffer.set(key, at)
  }

  addWriteReply(
    id: number,
    verdict: number,
    seen: Version | undefined,
    existed: boolean,
    previous: StoredRecord | undefined,
  ): void {
    let flags: number = existed ? replyFlags.existed : 0
    let bytes = 0
    if (seen !== undefined) {
      flags |= replyFlags.seen
      bytes += versionBytes
    }
    if (previous !== undefined) {
      flags |= replyFlags.previous
      bytes += encodedRecordBytes(previous)
    }
    let at = this.#begin(itemKind.writeReply, verdict, flags, id, bytes)
    if (seen !== undefined) at = this.#writeVersion(seen, at)
    if (previous !== undefined) encodeRecord(previous, this.#buffer, at)
  }

  /** What was read goes along as far as `status` says so: RECORD needs `record`. */
  addReadReply(id: number, status: number, version: Version, record: StoredRecord | undefined): void {
    if (status === ReadStatus.RECORD) {
      assert(record !== undefined, 'a reply with a record that is not there')
      const at = this.#begin(itemKind.readReply, status, 0, id, encodedRecordBytes(record))
      encodeRecord(record, this.#buffer, at)
    } else if (status === ReadStatus.VERSION) {
      this.#writeVersion(version, this.#begin(itemKind.readReply, status, 0, id, versionBytes))
    } else this.#begin(itemKind.readReply, status, 0, id, 0)
  }

  /** Makes room for an item and writes its header. Returns where the rest of it goes. */
  #begin(kind: number, code: number, extra: number, id: number, bytes: number): number {
    const start = this.#length
    const end = start + itemHeaderBytes + bytes
    if (end > this.#buffer.length) this.#grow(end)
    this.#length = end
    const buffer = this.#buffer
    buffer[start] = kind
    buffer[start + 1] = code
    buffer[start + 2] = extra
    buffer[start + 3] = extra >>> 8
    writeU32(buffer, start + 4, id)
    return start + itemHeaderBytes
  }

  #writeVersion({ hi, lo, node }: Version, at: number): number {
    const buffer = this.#buffer
    writeU32(buffer, at, hi)
    writeU32(buffer, at + 4, lo)
    writeU32(buffer, at + 8, node)
    return at + versionBytes
  }

  #grow(bytes: number): void {
    const larger = new Uint8Array(Math.max(2 * this.#buffer.length, bytes))
    larger.set(this.view())
    this.#buffer = larger
  }
}

/**
 * Reads items one after the other, each into its own fields: an item costs no object. Keys and records are views into
 * the message.
 */
export class ItemReader {
  readonly #items: Uint8Array
  #at = 0
  /** One of `itemKind`. */
  kind = 0
  id = 0
  /** What the second byte says: the flags of a write, the mode of a read, the verdict or status of a reply. */
  code = 0
  /** Of a write reply. */
  existed = false
  /** Of a read. */
  key: Uint8Array = emptyBytes
  /** What a write reply has seen, or the version of a read reply without a record. */
  version: Version | undefined
  /** What is written, was read, or was replaced. */
  record: StoredRecord | undefined

  constructor(items: Uint8Array) {
    this.#items = items
  }

  /** Goes on to the next item; false: there is none. Throws RecordFormatError when it is malformed. */
  next(): boolean {
    const items = this.#items
    const start = this.#at
    if (start === items.length) return false
    if (start + itemHeaderBytes > items.length) throw new RecordFormatError(start, 'an item cut short in its header')
    this.#at = start + itemHeaderBytes
    this.kind = items[start]!
    this.code = items[start + 1]!
    this.id = readU32(items, start + 4)
    const extra = items[start + 2]! | (items[start + 3]! << 8)
    switch (this.kind) {
      case itemKind.write:
        this.#readRecord()
        break
      case itemKind.read:
        this.#readKey(extra)
        return true
      case itemKind.writeReply:
        this.#readWriteReply(extra)
        return true
      case itemKind.readReply:
        this.#readReadReply()
        break
      default:
        throw new RecordFormatError(start, `an item of unknown kind ${this.kind}`)
    }
    if (extra !== 0) throw new RecordFormatError(start, `${extra} where an item has nothing`)
    return true
  }

  #readKey(length: number): void {
    const at = this.#at
    if (length === 0 || length > limits.keyBytesMax) throw new RecordFormatError(at, `a key of ${length} bytes`)
    this.#at = this.#endOf(length)
    this.key = this.#items.subarray(at, this.#at)
  }

  #readWriteReply(flags: number): void {
    if ((flags & ~allReplyFlags) !== 0) throw new RecordFormatError(this.#at, `unknown flags 0x${flags.toString(16)}`)
    this.existed = (flags & replyFlags.existed) !== 0
    if ((flags & replyFlags.seen) !== 0) this.#readVersion()
    else this.version = undefined
    if ((flags & replyFlags.previous) !== 0) this.#readRecord()
    else this.record = undefined
  }

  #readReadReply(): void {
    this.version = undefined
    this.record = undefined
    if (this.code === ReadStatus.RECORD) this.#readRecord()
    else if (this.code === ReadStatus.VERSION) this.#readVersion()
  }

  #readVersion(): void {
    const at = this.#at
    this.#at = this.#endOf(versionBytes)
    const items = this.#items
    this.version = { hi: readU32(items, at), lo: readU32(items, at + 4), node: readU32(items, at + 8) }
  }

  #readRecord(): void {
    this.record = decodeRecord(this.#items, this.#at)
    this.#at += recordLengthAt(this.#items, this.#at)
  }

  #endOf(bytes: number): number {
    const end = this.#at + bytes
    if (end > this.#items.length) throw new RecordFormatError(this.#at, 'an item cut short')
    return end
  }
}

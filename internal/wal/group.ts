import type { KvError } from '../base/index.js'
import { limits } from '../base/index.js'
import { crc32 } from '../hash/index.js'
import {
  encodedFloorBytes,
  encodedRecordBytes,
  encodeFloor,
  encodeRecord,
  type Floor,
  type StoredRecord,
} from '../record/index.js'
import { encodeFrameHeader, type FrameKind, frameHeaderBytes } from './frame.js'

/** Told, in the order of the log, what became of what it had added to a group. Exactly one of the two is called. */
export interface Appended {
  /** Its records are durable, as far as the fsync policy promises. */
  durable(sequence: number): void
  failed(error: KvError): void
}

const firstCapacity = 65_536

/**
 * The commits that one frame will make durable. Records are encoded straight into the buffer that is written, behind
 * the room for the frame's header; buffers are used again, so a record costs no allocation here.
 */
export class Group {
  #buffer = new Uint8Array(firstCapacity)
  #length = frameHeaderBytes
  #records = 0
  #sequence = 0
  readonly #waiters: Appended[] = []

  get payloadBytes(): number {
    return this.#length - frameHeaderBytes
  }

  /** Of the frame. */
  get frameBytes(): number {
    return this.#length
  }

  get records(): number {
    return this.#records
  }

  /** How many have joined it. */
  get commits(): number {
    return this.#waiters.length
  }

  /** Memory that it holds while it waits to be used again. */
  get capacity(): number {
    return this.#buffer.length
  }

  fits(bytes: number): boolean {
    return this.payloadBytes + bytes <= limits.logFrameBytesMax
  }

  /** `fits` has been asked for it. */
  add(record: StoredRecord): void {
    this.#makeRoom(encodedRecordBytes(record))
    this.#length = encodeRecord(record, this.#buffer, this.#length)
    this.#records++
  }

  /** `fits` has been asked for it. A floor counts as a record. */
  addFloor(floor: Floor): void {
    this.#makeRoom(encodedFloorBytes)
    this.#length = encodeFloor(floor, this.#buffer, this.#length)
    this.#records++
  }

  join(waiter: Appended): void {
    this.#waiters.push(waiter)
  }

  /** Puts the header before the records and returns the frame, which the group owns, and its header's CRC. */
  frame(sequence: number, segmentTag: number, unsynced: number): { bytes: Uint8Array; headerCrc: number } {
    const header = {
      kind: 'group' as FrameKind,
      payloadBytes: this.payloadBytes,
      sequence,
      segmentTag,
      records: this.#records,
      unsynced,
      payloadCrc: crc32(this.#buffer, frameHeaderBytes, this.#length),
    }
    this.#sequence = sequence
    const headerCrc = encodeFrameHeader(header, this.#buffer, 0)
    return { bytes: this.#buffer.subarray(0, this.#length), headerCrc }
  }

  durable(): void {
    for (const waiter of this.#waiters) waiter.durable(this.#sequence)
    this.#reset()
  }

  failed(error: KvError): void {
    for (const waiter of this.#waiters) waiter.failed(error)
    this.#reset()
  }

  #makeRoom(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    const most = limits.logFrameBytesMax + frameHeaderBytes
    const bigger = new Uint8Array(Math.min(most, Math.max(needed, this.#buffer.length * 2)))
    bigger.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = bigger
  }

  #reset(): void {
    this.#waiters.length = 0
    this.#length = frameHeaderBytes
    this.#records = 0
  }
}

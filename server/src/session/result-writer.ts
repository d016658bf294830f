import type { Hlc, Version } from '@quorumkv/internal/hlc'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { WriteResult } from '@quorumkv/internal/replication'
import { Error as ErrorMessage, type Error as WireError } from '@quorumkv/proto/kv/v1/kv'
import { tagOf, wireType } from './wire-reader.js'

const { varint, fixed64, delimited } = wireType

const responseTags = {
  hlc: tagOf(1, fixed64),
  epoch: tagOf(2, varint),
  result: tagOf(3, delimited),
  draining: tagOf(4, varint),
}
const resultTags = {
  id: tagOf(1, varint),
  get: tagOf(2, delimited),
  put: tagOf(3, delimited),
  delete: tagOf(4, delimited),
  error: tagOf(5, delimited),
}
const getTags = {
  found: tagOf(1, varint),
  value: tagOf(2, delimited),
  version: tagOf(3, delimited),
  expiresAtMs: tagOf(4, varint),
}
/** Of PutResponse and DeleteResponse, as far as they are alike. */
const writeTags = { version: tagOf(1, delimited), acks: tagOf(2, varint), existed: tagOf(3, varint) }
const putTags = { previousValue: tagOf(4, delimited), previousUnknown: tagOf(5, varint) }
const deleteTags = { existedUnknown: tagOf(4, varint) }
const versionTags = { hlc: tagOf(1, fixed64), node: tagOf(2, varint) }

const bufferBytesMin = 1024
/** The clock, the epoch and whether the node drains, which are written last. */
const trailerBytesMax = 9 + 11 + 2

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++
  return bytes
}

/** A field that is left out when it is 0. */
function fieldBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value)
}

function lengthBytes(length: number): number {
  return 1 + varintBytes(length) + length
}

function versionBytes(version: Version): number {
  return 9 + fieldBytes(version.node)
}

function getBytes(record: StoredRecord): number {
  const value = record.value.length === 0 ? 0 : lengthBytes(record.value.length)
  return 2 + value + lengthBytes(versionBytes(record)) + fieldBytes(record.expiresAtMs)
}

function writeBytes(result: WriteResult, previousBytes: number): number {
  const previous = previousBytes === 0 ? 0 : lengthBytes(previousBytes)
  const flags = (result.existed ? 2 : 0) + (result.replacedKnown ? 0 : 2)
  return lengthBytes(versionBytes(result.version)) + fieldBytes(result.acks) + flags + previous
}

/**
 * Gathers results as the bytes of one kv.v1.SessionResponse. By hand, because the generated code makes five objects and
 * a bigint for each result, which wait in memory until the message is written. The test holds it against the generated
 * code.
 */
export class ResultWriter {
  #bytes: Buffer = Buffer.allocUnsafe(bufferBytesMin)
  #at = 0

  /** The bytes of the results so far. */
  get length(): number {
    return this.#at
  }

  get(id: number, record: StoredRecord | undefined): void {
    if (record === undefined) {
      this.#begin(id, resultTags.get, 0)
      return
    }
    this.#begin(id, resultTags.get, getBytes(record))
    this.#field(getTags.found, 1)
    this.#delimited(getTags.value, record.value)
    this.#version(getTags.version, record)
    this.#field(getTags.expiresAtMs, record.expiresAtMs)
  }

  put(id: number, result: WriteResult): void {
    const previous = result.previous?.value
    this.#write(id, resultTags.put, result, previous?.length ?? 0)
    if (previous !== undefined) this.#delimited(putTags.previousValue, previous)
    this.#field(putTags.previousUnknown, result.replacedKnown ? 0 : 1)
  }

  delete(id: number, result: WriteResult): void {
    this.#write(id, resultTags.delete, result, 0)
    this.#field(deleteTags.existedUnknown, result.replacedKnown ? 0 : 1)
  }

  error(id: number, error: WireError): void {
    const bytes = ErrorMessage.encode(error).finish()
    this.#begin(id, resultTags.error, bytes.length)
    this.#raw(bytes)
  }

  /** The message, which is the caller's; the writer begins a new one. */
  take(hlc: Hlc, epoch: number, draining: boolean): Buffer {
    this.#reserve(trailerBytesMax)
    this.#hlc(responseTags.hlc, hlc)
    this.#field(responseTags.epoch, epoch)
    this.#field(responseTags.draining, draining ? 1 : 0)
    const message = this.#bytes.subarray(0, this.#at)
    // The next message will be about as large as this one.
    this.#bytes = Buffer.allocUnsafe(Math.max(bufferBytesMin, this.#at))
    this.#at = 0
    return message
  }

  /** Forgets what has gathered; returns how many bytes that was. */
  clear(): number {
    const dropped = this.#at
    if (this.#bytes.length > bufferBytesMin) this.#bytes = Buffer.allocUnsafe(bufferBytesMin)
    this.#at = 0
    return dropped
  }

  /** What the outcomes of puts and deletes have in common, with room for the rest. */
  #write(id: number, tag: number, result: WriteResult, previousBytes: number): void {
    this.#begin(id, tag, writeBytes(result, previousBytes))
    this.#version(writeTags.version, result.version)
    this.#field(writeTags.acks, result.acks)
    this.#field(writeTags.existed, result.existed ? 1 : 0)
  }

  /** A result up to and with the length of its outcome, with room for the outcome itself. */
  #begin(id: number, tag: number, outcomeBytes: number): void {
    const resultBytes = fieldBytes(id) + lengthBytes(outcomeBytes)
    this.#reserve(lengthBytes(resultBytes))
    this.#length(responseTags.result, resultBytes)
    this.#field(resultTags.id, id)
    this.#length(tag, outcomeBytes)
  }

  #version(tag: number, version: Version): void {
    this.#length(tag, versionBytes(version))
    this.#hlc(versionTags.hlc, version)
    this.#field(versionTags.node, version.node)
  }

  #hlc(tag: number, hlc: Hlc): void {
    this.#bytes[this.#at++] = tag
    this.#bytes.writeUInt32LE(hlc.lo, this.#at)
    this.#bytes.writeUInt32LE(hlc.hi, this.#at + 4)
    this.#at += 8
  }

  #field(tag: number, value: number): void {
    if (value === 0) return
    this.#length(tag, value)
  }

  #delimited(tag: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#length(tag, bytes.length)
    this.#raw(bytes)
  }

  #raw(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  #length(tag: number, value: number): void {
    this.#bytes[this.#at++] = tag
    let rest = value
    // Numbers of up to 53 bits, for which shifts are too short.
    while (rest >= 0x80) {
      this.#bytes[this.#at++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#at++] = rest
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length))
    grown.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = grown
  }
}

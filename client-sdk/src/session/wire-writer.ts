import { frameHeaderBytes, writeFrameHeader } from '@quorumkv/proto/framing'
import type { Operation } from './operation.js'
import { delimited, fixed64, tagOf, varint } from './wire-tags.js'

/** A 64-bit clock reading in two unsigned halves. */
export interface ClockReading {
  hi: number
  lo: number
}

const headerBytes = 16
const cancelBytes = 5
const noBytes = Buffer.alloc(0)

/** Writes one SessionRequest as a frame of gRPC; see ResponseReader for why by hand. */
export class RequestWriter {
  private bytes: Buffer = noBytes
  private position = 0

  /** `bytesMax`: what the operations may take in all. */
  begin(observed: ClockReading, cancelled: readonly number[], bytesMax: number): void {
    this.bytes = Buffer.allocUnsafe(frameHeaderBytes + headerBytes + cancelled.length * cancelBytes + bytesMax)
    this.position = frameHeaderBytes
    this.bytes[this.position++] = tagOf(1, fixed64)
    this.fixed32(observed.lo)
    this.fixed32(observed.hi)
    if (cancelled.length > 0) this.cancelled(cancelled)
  }

  operation(id: number, timeoutMs: number, operation: Operation): void {
    const requestLength = requestLengthOf(operation)
    const { stampAboveMs, stampLimitMs, traceparent } = operation
    const length =
      1 +
      varintLength(id) +
      1 +
      varintLength(timeoutMs) +
      1 +
      varintLength(requestLength) +
      requestLength +
      optionalLength(stampAboveMs) +
      optionalLength(stampLimitMs) +
      (traceparent === '' ? 0 : 2 + traceparent.length)
    this.bytes[this.position++] = tagOf(2, delimited)
    this.varint(length)
    this.bytes[this.position++] = tagOf(1, varint)
    this.varint(id)
    this.bytes[this.position++] = tagOf(2, varint)
    this.varint(timeoutMs)
    this.bytes[this.position++] = tagOf(fieldOf(operation), delimited)
    this.varint(requestLength)
    if (operation.kind === 'put') this.put(operation)
    else this.keyed(operation)
    this.optional(6, stampAboveMs)
    this.optional(7, stampLimitMs)
    if (traceparent !== '') this.ascii(8, traceparent)
  }

  /** The frame, which is the caller's. */
  end(): Buffer {
    const frame = this.bytes.subarray(0, this.position)
    this.bytes = noBytes
    writeFrameHeader(frame, this.position - frameHeaderBytes)
    return frame
  }

  /** GetRequest and DeleteRequest look alike. */
  private keyed({ key, consistency }: Operation): void {
    this.part(1, key)
    if (consistency !== 0) this.small(2, consistency)
  }

  private put({ key, value, ttlMs, consistency, returnPrevious }: Operation): void {
    this.part(1, key)
    if (value.length > 0) this.part(2, value)
    if (ttlMs !== 0) {
      this.bytes[this.position++] = tagOf(3, varint)
      this.varint(ttlMs)
    }
    if (consistency !== 0) this.small(4, consistency)
    if (returnPrevious) this.small(5, 1)
  }

  private cancelled(ids: readonly number[]): void {
    let length = 0
    for (const id of ids) length += varintLength(id)
    this.bytes[this.position++] = tagOf(3, delimited)
    this.varint(length)
    for (const id of ids) this.varint(id)
  }

  private part(field: number, part: Buffer): void {
    this.bytes[this.position++] = tagOf(field, delimited)
    this.varint(part.length)
    this.bytes.set(part, this.position)
    this.position += part.length
  }

  /** Of less than 128 characters. */
  private ascii(field: number, text: string): void {
    this.bytes[this.position++] = tagOf(field, delimited)
    this.bytes[this.position++] = text.length
    this.position += this.bytes.write(text, this.position, 'latin1')
  }

  private optional(field: number, value: number): void {
    if (value === 0) return
    this.bytes[this.position++] = tagOf(field, varint)
    this.varint(value)
  }

  private small(field: number, value: number): void {
    this.bytes[this.position++] = tagOf(field, varint)
    this.bytes[this.position++] = value
  }

  private varint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.bytes[this.position++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.bytes[this.position++] = rest
  }

  private fixed32(value: number): void {
    this.position = this.bytes.writeUInt32LE(value, this.position)
  }
}

function fieldOf({ kind }: Operation): number {
  switch (kind) {
    case 'get':
      return 3
    case 'put':
      return 4
    case 'delete':
      return 5
    default:
      return kind satisfies never
  }
}

function requestLengthOf({ kind, key, value, ttlMs, consistency, returnPrevious }: Operation): number {
  let length = partLength(key) + (consistency === 0 ? 0 : 2)
  if (kind !== 'put') return length
  if (value.length > 0) length += partLength(value)
  if (ttlMs !== 0) length += 1 + varintLength(ttlMs)
  return returnPrevious ? length + 2 : length
}

function optionalLength(value: number): number {
  return value === 0 ? 0 : 1 + varintLength(value)
}

function partLength(part: Buffer): number {
  return 1 + varintLength(part.length) + part.length
}

function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++
  return length
}

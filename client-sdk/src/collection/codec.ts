import { isUtf8 } from 'node:buffer'
import { types } from 'node:util'
import { Consistency as WireConsistency } from '@quorumkv/proto/kv/v1/kv'
import { invalidArgument, KvError } from '../errors.js'
import { limits } from '../limits.js'
import type { Consistency, ValueView } from '../types.js'

/** String.prototype.isWellFormed is in every Node that we run on, but not in the library that we compile against. */
interface WellFormedText {
  isWellFormed(): boolean
}

/**
 * The bytes of a key, value or prefix. Strings become UTF-8; one with a lone surrogate is refused, because all lone
 * surrogates encode alike and two keys would fall together. Bytes are copied: they leave only when the event loop
 * turns, or again when an attempt is repeated, and the caller may reuse its array meanwhile.
 */
function toBytes(input: unknown, field: string, bytesMin: number, bytesMax: number): Buffer {
  let bytes: Buffer
  if (typeof input === 'string') {
    // No text has fewer UTF-8 bytes than UTF-16 units: what is far too long is refused without being encoded.
    if (input.length > bytesMax) throw tooLong(field, bytesMax, `more than ${input.length}`)
    if (!(input as unknown as WellFormedText).isWellFormed()) {
      throw invalidArgument(field, 'holds a lone surrogate, which has no UTF-8 encoding; use bytes instead')
    }
    bytes = Buffer.from(input, 'utf8')
  } else if (types.isUint8Array(input)) {
    if (input.length > bytesMax) throw tooLong(field, bytesMax, String(input.length))
    bytes = Buffer.from(input)
  } else {
    throw invalidArgument(field, `must be a string or a Uint8Array, got ${input === null ? 'null' : typeof input}`)
  }
  if (bytes.length > bytesMax) throw tooLong(field, bytesMax, String(bytes.length))
  if (bytes.length < bytesMin) throw invalidArgument(field, 'must not be empty')
  return bytes
}

function tooLong(field: string, bytesMax: number, got: string): KvError {
  return invalidArgument(field, `must be at most ${bytesMax} bytes, got ${got}`)
}

export function keyBytes(key: unknown): Buffer {
  return toBytes(key, 'key', 1, limits.keyBytesMax)
}

export function valueBytes(value: unknown): Buffer {
  return toBytes(value, 'value', 0, limits.valueBytesMax)
}

/** A part of a key, which may be empty. Throws naming `field`. */
export function prefixBytes(prefix: unknown, field: string = 'prefix'): Buffer {
  return toBytes(prefix, field, 0, limits.keyBytesMax)
}

/** Undefined, the cluster's default, stays unspecified on the wire. */
export function wireConsistency(consistency: Consistency | undefined): WireConsistency {
  switch (consistency) {
    case undefined:
      return WireConsistency.UNSPECIFIED
    case 'one':
      return WireConsistency.ONE
    case 'quorum':
      return WireConsistency.QUORUM
    case 'all':
      return WireConsistency.ALL
    default:
      return consistency satisfies never
  }
}

/**
 * Text from a stretch of UTF-8 bytes; throws `not-text` for others. A byte order mark is kept: it is part of what was
 * stored. Decoding puts U+FFFD for what is wrong, so only texts that hold it need to be looked at twice.
 */
export function textOf(bytes: Buffer, what: 'key' | 'value', start: number = 0, end: number = bytes.length): string {
  const text = bytes.toString('utf8', start, end)
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, end))) {
    const message = `the ${what} is not valid UTF-8: use getBytes, getEntry or the bytes of the scan's entry`
    throw new KvError('not-text', message, { field: what })
  }
  return text
}

/** A plain Uint8Array of its own: a Buffer may share its memory with others, and its slice() does not copy. */
export function ownBytes(bytes: Buffer, start: number = 0, end: number = bytes.length): Uint8Array {
  const copy = new Uint8Array(end - start)
  copy.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end))
  return copy
}

/** Unix milliseconds of the wire; 0: never. */
export function expiryOf(expiresAtMs: number): Date | undefined {
  return expiresAtMs === 0 ? undefined : new Date(expiresAtMs)
}

export class StoredValue implements ValueView {
  readonly value: Uint8Array

  constructor(value: Uint8Array) {
    this.value = value
  }

  text(): string {
    return textOf(Buffer.from(this.value.buffer, this.value.byteOffset, this.value.length), 'value')
  }
}

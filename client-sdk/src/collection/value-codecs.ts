import { invalidArgument, KvError, messageOf } from '../errors.js'
import type { Value } from '../types.js'
import { textOf } from './codec.js'
import {
  isStandardSchema,
  pathOf,
  type SchemaInput,
  type SchemaOutput,
  type StandardSchemaIssue,
  type StandardSchemaResult,
  type StandardSchemaV1,
} from './standard-schema.js'

/**
 * How a collection's values become what is stored, and come back. `Input` is what is written and `Output` what is read:
 * one type, unless reading adds something (defaults of a schema for instance).
 *
 * Either function may throw, or reject, where a value does not fit: the collection reports that as a `KvError`,
 * `invalid-argument` when writing and `not-valid` when reading, with what was thrown as its cause.
 */
export interface Codec<Input, Output = Input> {
  /** What is to be stored. */
  encode(value: Input): Value | Promise<Value>
  /** The bytes are the codec's to keep. */
  decode(bytes: Uint8Array): Output | Promise<Output>
}

/** What a schema found wrong with a value: the `cause` of the `KvError` that says so. */
export class SchemaError extends Error {
  /** The same for all of them. */
  override readonly name = 'SchemaError'
  /** All of them, in the schema's order; at least one. */
  readonly issues: readonly StandardSchemaIssue[]

  constructor(issues: readonly StandardSchemaIssue[]) {
    super(issues[0]?.message ?? 'the schema refused the value without a reason')
    this.issues = issues
  }
}

/** Values are strings, stored as UTF-8. Reading rejects with `not-text` where bytes are stored that are none. */
export const text: Codec<string> = {
  encode: (value) => {
    if (typeof value !== 'string') throw invalidArgument('value', `must be a string, got ${kindOf(value)}`)
    return value
  },
  decode: (stored) => textOf(bufferOf(stored), 'value'),
}

/** Values are bytes, stored as they are. */
export const bytes: Codec<Uint8Array> = {
  encode: (value) => {
    if (typeof value === 'string') throw invalidArgument('value', 'must be a Uint8Array, got string')
    return value
  },
  decode: (stored) => stored,
}

/**
 * Values are stored as JSON. The type is taken on trust: nothing checks what is read against it; a schema does.
 *
 * What JSON cannot hold does not come back as it was. A `Date` comes back as its ISO string, `undefined` properties are
 * left out, `NaN` and infinities come back as null, a `Map` as `{}`, and an object with `toJSON` as what that gives. A
 * bigint, a cycle, and a value that has no JSON at all (`undefined`, a function) are refused as `invalid-argument`. A whole
 * number above 2^53 that some other program has written is rounded as it is read: keep such numbers as strings.
 */
export function json<T>(): Codec<T> {
  return { encode: toJson, decode: (stored) => fromJson(textOf(bufferOf(stored), 'value')) as T }
}

/**
 * Values are stored as JSON and checked by a schema. A value is written only if what will be read, its JSON read
 * back, passes the schema; it is stored as it was given. Reading gives what the schema makes of it, defaults and
 * conversions included: with zod's `z.coerce.date()` a `Date` goes in as an ISO string and comes out as a `Date`, whereas
 * `z.date()` refuses every write, because no JSON will ever pass it.
 */
export function schema<S extends StandardSchemaV1>(validator: S): Codec<SchemaInput<S>, SchemaOutput<S>> {
  const { '~standard': standard } = validator
  return {
    encode: (value) => {
      const stored = toJson(value)
      return whenDone(standard.validate(fromJson(stored)), (result) => {
        const refusal = refusalOf(result)
        if (refusal !== undefined) throw invalidArgument(refusal.field, refusal.message, refusal.cause)
        return stored
      })
    },
    decode: (stored) =>
      whenDone(standard.validate(fromJson(textOf(bufferOf(stored), 'value'))), (result): SchemaOutput<S> => {
        const refusal = refusalOf(result)
        if (refusal !== undefined) throw notValid(refusal.message, refusal.cause, refusal.field)
        return (result as { readonly value: SchemaOutput<S> }).value
      }),
  }
}

/** The codec that was given, or one made of a schema. Throws `invalid-argument` for anything else. */
export function codecOf(given: unknown): Codec<unknown> {
  if (isStandardSchema(given)) return schema(given)
  if (typeof given === 'object' && given !== null && 'encode' in given && 'decode' in given) {
    if (typeof given.encode === 'function' && typeof given.decode === 'function') return given as Codec<unknown>
  }
  const got = typeof given === 'function' && given === json ? 'json itself: call it, json<T>()' : kindOf(given)
  throw invalidArgument('codec', `must be text, bytes, json<T>(), a Standard Schema or a codec, got ${got}`)
}

/** Something stored does not fit the codec. */
export function notValid(message: string, cause: unknown, field: string = 'value'): KvError {
  return new KvError('not-valid', `${field}: ${message}`, { field, cause })
}

/** Goes on with a value that is there or will be. What is there costs no promise. */
export function whenDone<T, U>(value: T | Promise<T>, then: (value: T) => U): U | Promise<U> {
  return isPromise(value) ? value.then(then) : then(value)
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

interface Refusal {
  readonly field: string
  readonly message: string
  readonly cause: SchemaError
}

function refusalOf(result: StandardSchemaResult<unknown>): Refusal | undefined {
  if (result.issues === undefined) return undefined
  const cause = new SchemaError(result.issues)
  const more = result.issues.length > 1 ? ` (and ${result.issues.length - 1} more)` : ''
  const field = `value${result.issues[0] === undefined ? '' : pathOf(result.issues[0])}`
  return { field, message: cause.message + more, cause }
}

function toJson(value: unknown): string {
  let stored: string | undefined
  try {
    stored = JSON.stringify(value)
  } catch (cause) {
    throw invalidArgument('value', `has no JSON: ${messageOf(cause)}`, cause)
  }
  if (stored === undefined) throw invalidArgument('value', `has no JSON: it is ${kindOf(value)}`)
  return stored
}

function fromJson(stored: string): unknown {
  try {
    return JSON.parse(stored)
  } catch (cause) {
    throw notValid('is not JSON', cause)
  }
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : typeof value
}

function bufferOf(stored: Uint8Array): Buffer {
  return Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
}

import { isUtf8 } from 'node:buffer'

/** One key and value as JSON lines carry them. */
export interface JsonlRecord {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** Unix time in milliseconds at which the entry ends; undefined: never. */
  readonly expiresAtMs: number | undefined
}

/** Why a line is no record. */
export class BadLineError extends Error {
  override readonly name = 'BadLineError'
}

/**
 * Text where the bytes are UTF-8, base64 where they are not: `{ key: 'a' }` or `{ keyBase64: '/w==' }`. Decoding gives
 * the same bytes back for every input.
 */
export function jsonField<Name extends 'key' | 'value'>(
  name: Name,
  bytes: Uint8Array,
): Partial<Record<Name | `${Name}Base64`, string>> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  // Buffer's decoder keeps a byte order mark, which TextDecoder by default would drop.
  const field = isUtf8(buffer) ? { [name]: buffer.toString('utf8') } : { [`${name}Base64`]: buffer.toString('base64') }
  return field as Partial<Record<Name | `${Name}Base64`, string>>
}

/** One line, newline included: `{"key","value"}` or `{"keyBase64","valueBase64"}`, with `expiresAt` where it is set. */
export function encodeLine(record: JsonlRecord): string {
  const expiry = record.expiresAtMs === undefined ? {} : { expiresAt: record.expiresAtMs }
  return `${JSON.stringify({ ...jsonField('key', record.key), ...jsonField('value', record.value), ...expiry })}\n`
}

// `version` and `found` are what `kv --json scan` and `get` add; an import has no use for them.
const fields = new Set(['key', 'keyBase64', 'value', 'valueBase64', 'expiresAt', 'version', 'found'])

/**
 * The record of a line, or undefined for a blank one. Throws BadLineError. Unknown fields are refused: a misspelt
 * `expiresAt` would otherwise make an entry live for ever.
 */
export function decodeLine(line: Buffer, first: boolean): JsonlRecord | undefined {
  if (!isUtf8(line)) throw new BadLineError('is not UTF-8')
  let text = line.toString('utf8')
  if (first && text.startsWith('\ufeff')) text = text.slice(1)
  if (text.trim() === '') return undefined
  const object = parseObject(text)
  for (const name of Object.keys(object)) {
    if (!fields.has(name)) throw new BadLineError(`has the unknown field ${JSON.stringify(name)}`)
  }
  const key = decodeBytes(object, 'key')
  if (key.length === 0) throw new BadLineError('has an empty key')
  return { key, value: decodeBytes(object, 'value'), expiresAtMs: decodeExpiry(object['expiresAt']) }
}

function parseObject(text: string): Record<string, unknown> {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw new BadLineError(`is not JSON: ${(error as Error).message}`)
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new BadLineError('is not a JSON object {"key": …, "value": …}')
  }
  return parsed as Record<string, unknown>
}

function decodeBytes(object: Record<string, unknown>, name: 'key' | 'value'): Buffer {
  const text = own(object, name)
  const base64 = own(object, `${name}Base64`)
  if (text !== undefined && base64 !== undefined) throw new BadLineError(`has both "${name}" and "${name}Base64"`)
  if (text === undefined && base64 === undefined) throw new BadLineError(`has neither "${name}" nor "${name}Base64"`)
  if (text !== undefined) {
    if (typeof text !== 'string') throw new BadLineError(`"${name}" must be a string`)
    // Encoding would silently replace a lone surrogate, and two different keys would become one.
    if (/\p{Surrogate}/u.test(text))
      throw new BadLineError(`"${name}" has a lone surrogate; give the bytes as "${name}Base64"`)
    return Buffer.from(text, 'utf8')
  }
  const bytes = typeof base64 === 'string' ? decodeBase64(base64) : undefined
  if (bytes === undefined) throw new BadLineError(`"${name}Base64" must be base64 with its padding`)
  return bytes
}

function own(object: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

/** Strict standard base64; undefined for anything else, which Buffer would decode to something all the same. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}

function decodeExpiry(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
    throw new BadLineError('"expiresAt" must be Unix time in whole milliseconds')
  }
  return value
}

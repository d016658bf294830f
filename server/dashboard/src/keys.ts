import { compactJson, layOutJson } from './json-layout.js'

/** Keys and values as people write them, and the bytes that they are. */

export type Notation = 'text' | 'json' | 'hex'

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** What cannot be read in a notation, in words. */
export class NotationError extends Error {
  override readonly name = 'NotationError'
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Hex with or without white space between bytes. Throws NotationError. */
export function bytesOfHex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, '').replace(/^0x/i, '')
  const wrong = /[^0-9a-f]/i.exec(digits)
  if (wrong !== null) throw new NotationError(`“${wrong[0]}” is no hexadecimal digit`)
  if (digits.length % 2 === 1) throw new NotationError('a byte has two hexadecimal digits: one is missing')
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

/** The text that bytes are in UTF-8, or undefined where they are none. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes)
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}

/** The bytes of what somebody has typed. JSON is checked, and stored without its layout. Throws NotationError. */
export function bytesOf(typed: string, notation: Notation): Uint8Array {
  if (notation === 'hex') return bytesOfHex(typed)
  if (!typed.isWellFormed()) throw new NotationError('half of a surrogate pair is no text')
  if (notation === 'text') return encoder.encode(typed)
  checkJson(typed)
  return encoder.encode(compactJson(typed))
}

function checkJson(typed: string): void {
  try {
    JSON.parse(typed)
  } catch (error) {
    if (error instanceof SyntaxError) throw new NotationError(`this is no JSON: ${error.message}`)
    throw error
  }
}

/** Bytes in a notation; undefined: they cannot be shown in it. JSON is laid out for reading. */
export function shown(bytes: Uint8Array, notation: Notation): string | undefined {
  if (notation === 'hex') return hexOf(bytes).replace(/(.{2})(?!$)/g, '$1 ')
  const text = textOf(bytes)
  if (text === undefined || notation === 'text') return text
  try {
    checkJson(text)
    return layOutJson(text)
  } catch (error) {
    if (error instanceof NotationError) return undefined
    throw error
  }
}

/** The notation in which bytes are read best. */
export function bestNotation(bytes: Uint8Array): Notation {
  const text = textOf(bytes)
  // Control characters cannot be seen; hex shows them.
  if (text === undefined || /[\p{Cc}]/u.test(text.replace(/[\n\t]/g, ''))) return 'hex'
  return /^\s*[[{]/.test(text) && shown(bytes, 'json') !== undefined ? 'json' : 'text'
}

/** A key for a path, where any byte comes through: with `keyEncoding=base64url`. */
export function pathSegment(key: Uint8Array): string {
  return base64Of(key).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

export function base64Of(bytes: Uint8Array): string {
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return btoa(binary)
}

export function bytesOfBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0))
}

/** One line that shows a key: as text where it is some, else as hex. */
export function keyText(key: Uint8Array): string {
  return bestNotation(key) === 'hex' ? `0x${hexOf(key)}` : (textOf(key) ?? '')
}

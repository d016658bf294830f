import { Option } from 'commander'
import { UsageError } from './exit.js'
import { decodeBase64, jsonField } from './jsonl.js'
import { escapedBytes } from './shell/words.js'

export interface KeyOptions {
  readonly keyBase64?: true
}

export function keyBase64Option(): Option {
  return new Option('--key-base64', 'keys are given as base64: for keys that are not text')
}

/**
 * A key as given on the command line. What is not UTF-8 there has become U+FFFD before a program sees it, and would
 * name another key: so that character is refused.
 */
export function keyOf(text: string, options: KeyOptions, field = 'key'): string | Uint8Array {
  if (options.keyBase64 === true) {
    const bytes = decodeBase64(text)
    if (bytes === undefined) throw new UsageError(field, `${field} is not base64: ${JSON.stringify(text)}`)
    return bytes
  }
  return textArgument(text, field, 'give it in base64, with --key-base64')
}

/** A key or value as given: text, or in the shell bytes by their escapes. */
export function textArgument(text: string, field: string, instead: string): string | Uint8Array {
  const bytes = escapedBytes(text)
  if (bytes !== undefined) return bytes
  if (text.includes('\ufffd')) {
    throw new UsageError(field, `${field} is not UTF-8, or holds the character U+FFFD: ${instead}`)
  }
  return text
}

export function keyBytes(key: string | Uint8Array): Uint8Array {
  return typeof key === 'string' ? Buffer.from(key) : key
}

/** `{ key }` or `{ keyBase64 }`. */
export function keyJson(key: string | Uint8Array): { key?: string; keyBase64?: string } {
  return jsonField('key', keyBytes(key))
}

/** A whole number from `min` to `max`. Throws a UsageError. */
export function wholeNumber(field: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max)) {
      const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
      throw new UsageError(field, `${field} must be a whole number ${range}, got ${JSON.stringify(text)}`)
    }
    return value
  }
}

/** The part of a command's help that teaches. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => (line === '' ? '' : `  ${line}`)).join('\n')}\n`
}

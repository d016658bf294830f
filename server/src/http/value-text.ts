import { isUtf8 } from 'node:buffer'
import type { Version } from '@quorumkv/internal/hlc'
import { asBuffer } from '../calls/messages.js'

/*
 * Keys, values and prefixes in JSON: as text where they are UTF-8, else in base64 under a name that says so. Either way the bytes can
 * be had back exactly.
 */

/** A key in an answer. */
export type KeyText = { readonly key: string } | { readonly keyBase64: string }

/** A value in an answer. */
export type ValueText = { readonly value: string } | { readonly valueBase64: string }

export function keyText(key: Uint8Array): KeyText {
  return isUtf8(key) ? { key: asBuffer(key).toString() } : { keyBase64: asBuffer(key).toString('base64') }
}

export function valueText(value: Uint8Array): ValueText {
  return isUtf8(value) ? { value: asBuffer(value).toString() } : { valueBase64: asBuffer(value).toString('base64') }
}

export function prefixText(prefix: Uint8Array): { readonly prefix: string } | { readonly prefixBase64: string } {
  const bytes = asBuffer(prefix)
  return isUtf8(prefix) ? { prefix: bytes.toString() } : { prefixBase64: bytes.toString('base64') }
}

const hex = (half: number): string => half.toString(16).padStart(8, '0')

/** A version as text of a fixed width, which sorts as versions do; the client's `Version` writes and reads the same. */
export function versionText({ hi, lo, node }: Version): string {
  return hex(hi) + hex(lo) + hex(node)
}

/** When a record ends, as text; absent: never. */
export function expiryText(expiresAtMs: number): { readonly expiresAt?: string } {
  return expiresAtMs === 0 ? {} : { expiresAt: new Date(expiresAtMs).toISOString() }
}

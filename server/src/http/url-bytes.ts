import { invalidArgument } from '@quorumkv/internal/base'

/*
 * Keys are bytes, and a URL can hold any bytes: three characters stand for one. The strings that libraries make of a URL
 * cannot, because they take the bytes for UTF-8 and put something else in the place of what is none. So keys are taken
 * from the URL itself, decoded exactly once.
 */

/** Throws `invalid-argument` naming `field`, for a `%` without two hex digits. */
function percentDecoded(text: string, field: string): Buffer {
  // Decoding only makes it shorter. What is not ASCII has been encoded before a URL comes here.
  const bytes = Buffer.allocUnsafe(text.length)
  let length = 0
  for (let i = 0; i < text.length; i++) {
    let byte = text.charCodeAt(i)
    if (byte === 0x25) {
      const digits = text.slice(i + 1, i + 3)
      if (!/^[0-9a-fA-F]{2}$/.test(digits))
        throw invalidArgument(field, 'has a "%" that is not followed by two hex digits')
      byte = Number.parseInt(digits, 16)
      i += 2
    }
    bytes[length++] = byte
  }
  return bytes.subarray(0, length)
}

/** Undefined: not what that alphabet would encode anything as. Padding may be left out. */
export function base64Decoded(text: string, alphabet: 'base64' | 'base64url'): Buffer | undefined {
  const bytes = Buffer.from(text, alphabet)
  const withoutPadding = (encoded: string): string => encoded.replace(/={1,2}$/, '')
  return bytes.toString(alphabet).replace(/=+$/, '') === withoutPadding(text) ? bytes : undefined
}

/** The last part of a URL's path, as bytes. With `base64url` it is that of them. Throws `invalid-argument`. */
export function keyOfPath(url: string, encoding: 'base64url' | undefined): Buffer {
  const path = /^[^?#]*/.exec(url)![0]
  const key = percentDecoded(path.slice(path.lastIndexOf('/') + 1), 'key')
  if (encoding === undefined) return key
  const decoded = base64Decoded(key.toString('latin1'), encoding)
  if (decoded === undefined) throw invalidArgument('key', 'must be base64url, as keyEncoding says')
  return decoded
}

/** A parameter of a URL's query, as bytes; undefined: there is none. Throws `invalid-argument` naming it. */
export function queryBytes(url: string, name: string): Buffer | undefined {
  const query = /^[^?#]*\?([^#]*)/.exec(url)?.[1] ?? ''
  for (const pair of query.split('&')) {
    const at = pair.indexOf('=')
    if ((at < 0 ? pair : pair.slice(0, at)) !== name) continue
    // As HTML forms and URLSearchParams write a space.
    return percentDecoded(at < 0 ? '' : pair.slice(at + 1).replaceAll('+', ' '), name)
  }
  return undefined
}

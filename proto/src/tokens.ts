import { createHash, randomBytes } from 'node:crypto'

/*
 * Tokens of principals: `qkv_<name>_<43 characters of base64url>`, of which the last part is 256 bits of chance. Nobody can
 * guess that, so a fast hash keeps it as safe as a slow one would: docs/adr/0048.
 */

const pattern = /^qkv_([a-z0-9-]{1,63})_[A-Za-z0-9_-]{43}$/
const secretBytes = 32

/** A new token for a principal of this name. */
export function newToken(name: string): string {
  return `qkv_${name}_${randomBytes(secretBytes).toString('base64url')}`
}

/** Whose token it says it is. Undefined: it is none. */
export function nameInToken(token: string): string | undefined {
  return pattern.exec(token)?.[1]
}

/** What is kept of a token: SHA-256 of all of it. */
export function tokenHash(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

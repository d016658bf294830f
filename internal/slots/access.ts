import { compareBytes, invalidArgument, limits, startsWith } from '../base/index.js'

/** What a principal may do; each includes the one before. */
export type Role = 'read' | 'write' | 'admin'

/** From the least to the most. */
export const roles: readonly Role[] = ['read', 'write', 'admin']

/** From this feature level on the topology may say who calls, and who has to say so: docs/adr/0048. */
export const accessLevel: number = 2

/** Somebody whom the members have agreed to let in. What they know of the token is its hash. */
export interface Grant {
  /** 1 to 63 characters of a-z, 0-9 and "-". */
  readonly name: string
  readonly role: Role
  /** Keys that it may use begin with one of these; none: all keys. Ascending, and none begins with another. */
  readonly prefixes: readonly Uint8Array[]
  /** SHA-256 of its token. */
  readonly tokenHash: Uint8Array
  /** Unix milliseconds. */
  readonly createdAtMs: number
  /** Unix milliseconds from which on it is nobody any more. Undefined: never. */
  readonly expiresAtMs: number | undefined
}

/** Who may call, as the members have agreed. */
export interface AccessList {
  /** One more with each change of what follows; 0: nothing was ever agreed. */
  readonly revision: number
  /** Ordered by name; at most `limits.principalsMax`. */
  readonly grants: readonly Grant[]
}

export const nobodyGranted: AccessList = { revision: 0, grants: [] }

const tokenHashBytes = 32
const timeMsMax = 2 ** 48 - 1

/** Throws KvError `invalid-argument` naming `field`; without the text, which may be a token in the wrong place. */
export function parsePrincipalName(text: string, field: string = 'name'): string {
  if (/^[a-z0-9-]{1,63}$/.test(text)) return text
  throw invalidArgument(field, 'must be 1 to 63 characters of a-z, 0-9 and "-"')
}

/**
 * The prefixes that allow the same keys, as a grant has them: without those that begin with another. An empty one, which would
 * allow every key, is refused: it is what is left of a variable that was not set, and all keys are given by no prefix at all.
 * Throws KvError `invalid-argument` naming `field`.
 */
export function canonicalPrefixes(prefixes: readonly Uint8Array[], field: string = 'prefixes'): Uint8Array[] {
  for (const prefix of prefixes) {
    if (prefix.length === 0) throw invalidArgument(field, 'must not be empty; whoever may use all keys has none')
    if (prefix.length > limits.keyBytesMax) {
      throw invalidArgument(field, `must be at most ${limits.keyBytesMax} bytes each, got ${prefix.length}`)
    }
  }
  const kept: Uint8Array[] = []
  for (const prefix of [...prefixes].sort(compareBytes)) {
    const last = kept.at(-1)
    if (last === undefined || !startsWith(prefix, last)) kept.push(prefix)
  }
  if (kept.length > limits.principalPrefixesMax) {
    throw invalidArgument(field, `must be at most ${limits.principalPrefixesMax}, got ${kept.length}`)
  }
  return kept
}

/** Throws KvError `invalid-argument` naming the field, behind `path`. */
export function checkGrant(grant: Grant, path: string = ''): void {
  parsePrincipalName(grant.name, `${path}name`)
  const { prefixes, tokenHash, createdAtMs, expiresAtMs } = grant
  const canonical = canonicalPrefixes(prefixes, `${path}prefixes`)
  if (canonical.length !== prefixes.length || canonical.some((prefix, i) => compareBytes(prefix, prefixes[i]!) !== 0)) {
    throw invalidArgument(`${path}prefixes`, 'must be in ascending order, not empty, and none begin with another')
  }
  if (tokenHash.length !== tokenHashBytes) {
    throw invalidArgument(`${path}token_sha256`, `must be ${tokenHashBytes} bytes, got ${tokenHash.length}`)
  }
  for (const [name, ms] of Object.entries({ created_at_ms: createdAtMs, expires_at_ms: expiresAtMs ?? 1 })) {
    if (!Number.isInteger(ms) || ms < 1 || ms > timeMsMax) {
      throw invalidArgument(path + name, `must be Unix milliseconds from 1 to ${timeMsMax}, got ${ms}`)
    }
  }
}

/** About what a list takes in a document; what it may take is `limits.accessListBytesMax`. */
function bytesOf({ grants }: AccessList): number {
  let bytes = 0
  for (const { name, prefixes } of grants) {
    bytes += 2 * tokenHashBytes + name.length
    for (const prefix of prefixes) bytes += prefix.length + 4
  }
  return bytes
}

/** Throws KvError `invalid-argument` naming the field. */
export function checkAccessList(access: AccessList): void {
  const { revision, grants } = access
  if (!Number.isSafeInteger(revision) || revision < 0) {
    throw invalidArgument('access.revision', `must be a whole number, got ${revision}`)
  }
  if (grants.length > limits.principalsMax) {
    throw invalidArgument('access.grants', `must be at most ${limits.principalsMax}, got ${grants.length}`)
  }
  const bytes = bytesOf(access)
  if (bytes > limits.accessListBytesMax) {
    throw invalidArgument('access.grants', `must be at most ${limits.accessListBytesMax} bytes, got ${bytes}`)
  }
  if (revision === 0 && grants.length > 0) throw invalidArgument('access.revision', 'must count the grants')
  let last = ''
  for (const grant of grants) {
    checkGrant(grant, 'access.grants.')
    if (grant.name <= last) {
      throw invalidArgument('access.grants.name', `must be distinct and ascending, got ${grant.name} behind ${last}`)
    }
    last = grant.name
  }
}

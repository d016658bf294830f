import type { Role } from '@quorumkv/internal/slots'
import type { Rates } from '../limits/rate-limit.js'

/** A principal that stands in a node's own file. */
export interface FilePrincipal {
  readonly name: string
  readonly role: Role
  /** As in `Grant`. */
  readonly prefixes: readonly Uint8Array[]
  /** SHA-256 of its token. */
  readonly tokenHash: Uint8Array
  /** Unix milliseconds. Undefined: never. */
  readonly expiresAtMs: number | undefined
  /** How fast it may go, where that is not as for all others. */
  readonly rates?: Partial<Rates>
}

/** Who can still administer the cluster at `nowMs`, by what stands in the file. */
export function hasAdmin(principals: readonly FilePrincipal[], nowMs: number): boolean {
  return principals.some(({ role, prefixes, expiresAtMs = Number.POSITIVE_INFINITY }) => {
    return role === 'admin' && prefixes.length === 0 && expiresAtMs > nowMs
  })
}

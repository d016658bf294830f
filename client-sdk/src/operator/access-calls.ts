import { type AuthPrincipal, AuthRole, ClusterService } from '@quorumkv/proto/kv/v1/cluster'
import { newToken, tokenHash } from '@quorumkv/proto/tokens'
import { prefixBytes } from '../collection/codec.js'
import { asKvError, invalidArgument, KvError } from '../errors.js'
import { limits } from '../limits.js'
import type { CallOptions } from '../types.js'
import type { AccessOverview, CreatedPrincipal, NewPrincipal, PrincipalInfo, Role } from './access-types.js'
import type { ClusterCalls } from './cluster.js'

const wireRoles: Readonly<Record<Role, AuthRole>> = {
  read: AuthRole.READ,
  write: AuthRole.WRITE,
  admin: AuthRole.ADMIN,
}

export async function listPrincipals(cluster: ClusterCalls, options: CallOptions): Promise<AccessOverview> {
  const { revision, principals, openMembers } = await cluster.anyOf(ClusterService.authList, {}, options)
  return { revision: Number(revision), principals: principals.map(principalOf), openMembers }
}

function principalOf({ name, role, prefixes, createdAtMs, expiresAtMs, inFile }: AuthPrincipal): PrincipalInfo {
  const named = (Object.keys(wireRoles) as Role[]).find((each) => wireRoles[each] === role)
  if (named === undefined) throw new KvError('internal', `${name} has a role that this client does not know: ${role}`)
  return {
    name,
    role: named,
    prefixes: prefixes.map((prefix) => Uint8Array.from(prefix)),
    createdAt: createdAtMs === 0n ? undefined : new Date(Number(createdAtMs)),
    expiresAt: expiresAtMs === 0n ? undefined : new Date(Number(expiresAtMs)),
    inFile,
  }
}

/** The token is made here, and stays here: nodes get its hash. So the call may be repeated at another node. */
export async function createPrincipal(
  cluster: ClusterCalls,
  name: string,
  options: NewPrincipal,
): Promise<CreatedPrincipal> {
  const { role, prefixes = [], expiresAt } = options
  if (!Object.hasOwn(wireRoles, role)) throw invalidArgument('role', "must be 'read', 'write' or 'admin'")
  if (expiresAt !== undefined && !(expiresAt instanceof Date && expiresAt.getTime() > Date.now())) {
    throw invalidArgument('expiresAt', 'must be a Date in the future')
  }
  const token = newToken(checkName(name))
  const request = {
    name,
    role: wireRoles[role],
    prefixes: prefixes.map((prefix) => prefixBytes(prefix)),
    tokenSha256: tokenHash(token),
    expiresAtMs: BigInt(expiresAt?.getTime() ?? 0),
  }
  const revision = Number((await cluster.anyOf(ClusterService.authCreate, request, options)).revision)
  await knownEverywhere(cluster, revision, options)
  return { name, token, revision }
}

export async function revokePrincipal(cluster: ClusterCalls, name: string, options: CallOptions): Promise<number> {
  const request = { name: checkName(name) }
  const revision = Number((await cluster.anyOf(ClusterService.authRevoke, request, options)).revision)
  await knownEverywhere(cluster, revision, options)
  return revision
}

/**
 * Resolves when every member that answers goes by this revision, so that a token that was made is taken wherever it is shown
 * first, and one that was revoked nowhere. A majority has agreed on it by now: it comes to all others by itself, and is not
 * waited for beyond `limits.accessSpreadMs`.
 */
async function knownEverywhere(cluster: ClusterCalls, revision: number, options: CallOptions): Promise<void> {
  const endAt = performance.now() + limits.accessSpreadMs
  const { members } = await cluster.topology(options)
  const knownAt = async (address: string): Promise<void> => {
    for (;;) {
      const timeoutMs = Math.max(1, endAt - performance.now())
      let seen: number
      try {
        const asked = { ...options, timeoutMs }
        seen = Number((await cluster.at(address, ClusterService.authList, {}, asked)).revision)
      } catch (error) {
        // It is down, asks nobody who they are, or does not know us: what was asked for has been done all the same.
        const { code } = asKvError(error)
        if (code === 'cancelled' || code === 'closed') throw error
        return
      }
      if (seen >= revision || performance.now() >= endAt) return
      await cluster.pause(limits.accessPollMs, options)
    }
  }
  await Promise.all(members.map(({ address }) => knownAt(address)))
}

/** Without the text, which may be a token in the wrong place. */
function checkName(name: unknown): string {
  if (typeof name === 'string' && /^[a-z0-9-]{1,63}$/.test(name)) return name
  throw invalidArgument('name', 'must be 1 to 63 characters of a-z, 0-9 and "-"')
}

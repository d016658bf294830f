import { type AuthPrincipal, AuthRole, ClusterService } from '@quorumkv/proto/kv/v1/cluster'
import { newToken, tokenHash } from '@quorumkv/proto/tokens'
import type { AccessOverview, CreatedPrincipal, NewPrincipal, PrincipalInfo, Role } from './access-types.js'
import type { ClusterCalls } from './cluster.js'
import { prefixBytes } from './codec.js'
import { invalidArgument, KvError } from './errors.js'
import type { CallOptions } from './types.js'

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
  const { revision } = await cluster.anyOf(ClusterService.authCreate, request, options)
  return { name, token, revision: Number(revision) }
}

export async function revokePrincipal(cluster: ClusterCalls, name: string, options: CallOptions): Promise<number> {
  return Number((await cluster.anyOf(ClusterService.authRevoke, { name: checkName(name) }, options)).revision)
}

/** Without the text, which may be a token in the wrong place. */
function checkName(name: unknown): string {
  if (typeof name === 'string' && /^[a-z0-9-]{1,63}$/.test(name)) return name
  throw invalidArgument('name', 'must be 1 to 63 characters of a-z, 0-9 and "-"')
}

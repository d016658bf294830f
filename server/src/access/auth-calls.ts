import { invalidArgument, KvError } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import { canonicalPrefixes, type Grant, parsePrincipalName, type Role } from '@quorumkv/internal/slots'
import type {
  AuthCreateRequest,
  AuthCreateResponse,
  AuthListResponse,
  AuthPrincipal,
  AuthRevokeRequest,
  AuthRevokeResponse,
} from '@quorumkv/proto/kv/v1/cluster'
import { AuthRole as WireRole } from '@quorumkv/proto/kv/v1/cluster'
import type { TimeLeft } from '../calls/change-calls.js'
import type { AccessControl } from './access-control.js'
import type { FilePrincipal } from './file-principal.js'

/*
 * Who may call, as kv.v1.Cluster tells and changes it. All throw KvError: `invalid-argument` with the field,
 * `permission-denied` at a node that asks nobody who they are, `unavailable` where the node does not serve, or no majority
 * can be had.
 */

const wireRoles: Readonly<Record<Role, WireRole>> = {
  read: WireRole.READ,
  write: WireRole.WRITE,
  admin: WireRole.ADMIN,
}

/** Without `--auth-file` anybody could let themselves in at those that have one. */
function checkDemanded({ demanded }: AccessControl): void {
  if (demanded) return
  throw new KvError('permission-denied', 'this node was started without --auth-file: ask one that has it', {
    outcome: 'not-applied',
  })
}

export function answerAuthList(node: Node, access: AccessControl): AuthListResponse {
  checkDemanded(access)
  const { topology } = node
  if (topology === undefined) throw new KvError('unavailable', 'this node does not belong to a cluster yet')
  const { revision, grants } = topology.access
  const inFile = access.filePrincipals.map((principal) => toPrincipal(principal, 0, true))
  return {
    nodeId: node.id,
    revision: BigInt(revision),
    principals: [...inFile, ...grants.map((grant) => toPrincipal(grant, grant.createdAtMs, false))],
    openMembers: topology.members.filter(({ authenticates }) => !authenticates).map(({ id }) => id),
  }
}

function toPrincipal(principal: FilePrincipal, createdAtMs: number, inFile: boolean): AuthPrincipal {
  const { name, role, prefixes, expiresAtMs = 0 } = principal
  return {
    name,
    role: wireRoles[role],
    prefixes: prefixes.map((prefix) => Buffer.from(prefix)),
    createdAtMs: BigInt(createdAtMs),
    expiresAtMs: BigInt(expiresAtMs),
    inFile,
  }
}

/** The members agree on it before it is answered; members that have not heard of it yet take the token a moment later. */
export async function answerAuthCreate(
  node: Node,
  access: AccessControl,
  request: AuthCreateRequest,
  nowMs: number,
  timeLeft: TimeLeft,
): Promise<AuthCreateResponse> {
  checkDemanded(access)
  const grant = toGrant(request, nowMs)
  if (access.filePrincipals.some(({ name }) => name === grant.name)) {
    throw invalidArgument('name', `${grant.name} stands in the auth file of ${node.id}`)
  }
  await membersOf(node).changeAccess({ kind: 'grant', grant }, timeLeft())
  return { nodeId: node.id, revision: BigInt(node.topology?.access.revision ?? 0) }
}

function toGrant({ name, role, prefixes, tokenSha256, expiresAtMs }: AuthCreateRequest, nowMs: number): Grant {
  const named = (Object.keys(wireRoles) as Role[]).find((each) => wireRoles[each] === role)
  if (named === undefined) throw invalidArgument('role', 'must be READ, WRITE or ADMIN')
  const expires = expiresAtMs === 0n ? undefined : Number(expiresAtMs)
  if (expires !== undefined && expires <= nowMs) throw invalidArgument('expires_at_ms', 'must be in the future')
  return {
    name: parsePrincipalName(name),
    role: named,
    // Copies: the list is kept for long, and the message may lie in a larger buffer.
    prefixes: canonicalPrefixes(prefixes).map((prefix) => Uint8Array.from(prefix)),
    tokenHash: Uint8Array.from(tokenSha256),
    createdAtMs: nowMs,
    expiresAtMs: expires,
  }
}

export async function answerAuthRevoke(
  node: Node,
  access: AccessControl,
  request: AuthRevokeRequest,
  timeLeft: TimeLeft,
): Promise<AuthRevokeResponse> {
  checkDemanded(access)
  const name = parsePrincipalName(request.name)
  const members = membersOf(node)
  const isGranted = node.topology!.access.grants.some((grant) => grant.name === name)
  if (!isGranted && access.filePrincipals.some((principal) => principal.name === name)) {
    throw invalidArgument('name', `${name} stands in the auth file of ${node.id}: take it out there`)
  }
  await members.changeAccess({ kind: 'revoke', name }, timeLeft())
  return { nodeId: node.id, revision: BigInt(node.topology?.access.revision ?? 0) }
}

function membersOf({ members }: Node): NonNullable<Node['members']> {
  if (members === undefined) throw new KvError('unavailable', 'this node does not belong to a cluster yet')
  return members
}

import { equalBytes, invalidArgument, KvError, limits } from '../../base/index.js'
import { accessLevel, checkGrant, type Grant, type Topology, validateTopology } from '../../slots/index.js'
import { next } from './changes.js'

/** Somebody is let in, or not any more. */
export type AccessChange =
  | { readonly kind: 'grant'; readonly grant: Grant }
  | { readonly kind: 'revoke'; readonly name: string }

/**
 * The document that follows, pure like the other steps (`changes.ts`): nothing but the access list is touched, so that a
 * handover goes on as if nothing had happened. Undefined: it is so already, so that asking again changes nothing. Throws KvError:
 * `invalid-argument` where the feature level is too low, nobody of the name is there to revoke, or the name is taken;
 * `overloaded` where there is no room for one more.
 */
export function accessChanged(topology: Topology, change: AccessChange): Topology | undefined {
  const { access, featureLevel } = topology
  if (featureLevel < accessLevel) {
    throw invalidArgument('name', `the cluster goes by feature level ${featureLevel}: raise it to ${accessLevel} first`)
  }
  const name = change.kind === 'grant' ? change.grant.name : change.name
  const known = access.grants.find((grant) => grant.name === name)
  const others = access.grants.filter((grant) => grant !== known)
  if (change.kind === 'revoke') {
    if (known === undefined)
      throw invalidArgument('name', `there is no principal ${name} that the members have agreed on`)
    return withGrants(topology, others)
  }
  checkGrant(change.grant)
  if (known !== undefined) {
    if (isSame(known, change.grant)) return undefined
    throw invalidArgument('name', `${name} is there already: revoke it first, or take another name`)
  }
  if (others.length >= limits.principalsMax) throw new KvError('overloaded', fullBecause('of them'))
  const grants = [...others, change.grant].sort((a, b) => (a.name < b.name ? -1 : 1))
  try {
    return validateTopology(withGrants(topology, grants))
  } catch (error) {
    if (!(error instanceof KvError) || error.field !== 'access.grants') throw error
    throw new KvError('overloaded', fullBecause('bytes of names and prefixes'), { cause: error })
  }
}

/**
 * The same for the register, which asks again while other changes come first. A member that does not know somebody who is to be revoked
 * may only not have heard of them yet: so it has a document agreed on first that says nothing new. Where that is in force,
 * everything is known that had been agreed on before.
 */
export function accessAlteration(change: AccessChange): (now: Topology) => Topology | undefined {
  if (change.kind === 'grant') return (now) => accessChanged(now, change)
  let wasThere = false
  let fence: Topology | undefined
  return (now) => {
    if (now.access.grants.some(({ name }) => name === change.name)) {
      wasThere = true
      return accessChanged(now, change)
    }
    if (wasThere) return undefined
    if (now.featureLevel < accessLevel || isInForce(fence, now)) return accessChanged(now, change)
    fence = withGrants(now, now.access.grants)
    return fence
  }
}

/** Whether this document has become that of its epoch, or one that says the same of who may call. */
function isInForce(fence: Topology | undefined, { epoch, access }: Topology): boolean {
  if (fence?.epoch !== epoch || fence.access.grants.length !== access.grants.length) return false
  return fence.access.grants.every(({ name }, i) => name === access.grants[i]!.name)
}

function fullBecause(what: string): string {
  return `there is no room for one more principal, because of all that are there (${what}): revoke some`
}

function withGrants(topology: Topology, grants: readonly Grant[]): Topology {
  return next(topology, { access: { revision: topology.access.revision + 1, grants } })
}

/** But for when they were made: whoever asks again because no answer came has another clock reading. */
function isSame(a: Grant, b: Grant): boolean {
  return (
    a.role === b.role &&
    a.expiresAtMs === b.expiresAtMs &&
    equalBytes(a.tokenHash, b.tokenHash) &&
    a.prefixes.length === b.prefixes.length &&
    a.prefixes.every((prefix, i) => equalBytes(prefix, b.prefixes[i]!))
  )
}

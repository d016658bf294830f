import type { Address, Incarnation, NodeId } from '../../base/index.js'
import type { Topology } from '../../slots/index.js'
import { next, withMember } from './changes.js'

/** Where a member says that it is from now on. */
export interface Moved {
  readonly id: NodeId
  readonly incarnation: Incarnation
  readonly address: Address
}

/**
 * With a member at another address, by its own wish. Members may have changed places: where another one is said to be there, that
 * one goes where it wishes to be itself (`others`), and so on, all of them at once. Undefined: it is there, is no member, or somebody
 * stays where one of them wants to be.
 */
export function readdressed(
  topology: Topology,
  moved: Moved,
  others: ReadonlyMap<NodeId, Moved> = new Map(),
): Topology | undefined {
  let { members } = topology
  const placed = new Set<NodeId>()
  let wish: Moved | undefined = moved
  while (wish !== undefined && !placed.has(wish.id)) {
    const { id, incarnation, address }: Moved = wish
    const member = members.find((each) => each.id === id)
    if (member?.incarnation !== incarnation || member.address === address) return undefined
    const there = topology.members.find((each) => each.address === address)?.id
    members = withMember(members, id, { address })
    placed.add(id)
    if (there === undefined || there === moved.id) return next(topology, { members })
    wish = others.get(there)
  }
  // Somebody stays, or wants to be where another one of these does.
  return undefined
}

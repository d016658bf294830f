import { effectiveQuorums } from '@quorumkv/internal/slots'
import type { Observed } from './health.js'
import { decodeOwners } from './owners.js'
import type { NodeView } from './view.js'

/** How many copies of the slots can be reached. */
export interface CopyCount {
  readonly slots: number
  /** Slots of which fewer copies than a read or write quorum can be reached. */
  readonly unreadable: number
  readonly unwritable: number
  /** Copies of the slot that has the fewest. */
  readonly fewest: number
}

function isReachable(node: NodeView | undefined): boolean {
  return node?.member.liveness === 'alive' && node.member.linked
}

/**
 * Counts the copies on members that can be reached, and for writes those whose disk takes them. Slots that a member has lost are
 * not told apart by number, so its copies count; that some are lost is told beside.
 */
export function countCopies(view: Observed): CopyCount {
  const { members, ownersPerSlot } = view.ring
  const owners = decodeOwners(view.ring.owners)
  const slots = ownersPerSlot === 0 ? 0 : owners.length / ownersPerSlot
  const alive = members.map((id) => isReachable(view.nodes[id]))
  const writable = members.map((id, i) => alive[i] === true && view.nodes[id]?.storage?.readOnly !== true)
  const { readQuorum, writeQuorum } = effectiveQuorums(view.cluster, ownersPerSlot)
  const count = { slots, unreadable: 0, unwritable: 0, fewest: ownersPerSlot }
  for (let slot = 0; slot < slots; slot++) {
    let [reachable, taking] = [0, 0]
    for (let i = slot * ownersPerSlot; i < (slot + 1) * ownersPerSlot; i++) {
      if (alive[owners[i]!] === true) reachable++
      if (writable[owners[i]!] === true) taking++
    }
    if (reachable < readQuorum) count.unreadable++
    if (taking < writeQuorum) count.unwritable++
    count.fewest = Math.min(count.fewest, reachable)
  }
  return count
}

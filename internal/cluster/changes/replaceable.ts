import type { NodeId } from '../../base/index.js'
import { allSlots, effectiveQuorums, type Member, slotTables, type Topology } from '../../slots/index.js'

/** Whether a change of the ring that takes this member out is planned, or under way. */
export function isGoing({ handover, planned }: Topology, { id, state }: Member): boolean {
  if (state === 'leaving' || state === 'left') return true
  const changes = [...planned, ...(handover?.changes ?? [])]
  return changes.some((change) => change.id === id && change.kind !== 'reweight')
}

/**
 * Why a handover that takes a dead member's slots away could never end, in a sentence; undefined: it can. It ends when too few
 * of the owners from before are left that might still answer a read, and where one is enough, the dead one is too many.
 */
export function objectionToFencing(topology: Topology, dead: Member): string | undefined {
  const { current } = slotTables(topology)
  if (dead.state === 'joining' || effectiveQuorums(topology.replication, current.ownersPerSlot).readQuorum > 1) {
    return undefined
  }
  return (
    `where one copy answers a read, nobody can be sure that ${dead.id} does not: start it again, with an empty data ` +
    'directory if it has lost its own'
  )
}

/**
 * Why a dead member must not be taken out without a person's word, in a sentence; undefined: it may be. Enough members
 * have to be left for all copies of a key, and of every slot that it owns a read quorum: what it held is made whole from there.
 */
export function objectionToRemoval(
  topology: Topology,
  dead: Member,
  isAlive: (id: NodeId) => boolean,
): string | undefined {
  const { members, replication } = topology
  const staying = members.filter((member) => {
    const owns = member.state === 'serving' || member.state === 'arrived'
    return member.id !== dead.id && owns && !isGoing(topology, member) && isAlive(member.id)
  })
  if (staying.length < replication.replicationFactor) {
    return `${staying.length} members would be left alive, and every key is kept by ${replication.replicationFactor}`
  }
  const unfenced = objectionToFencing(topology, dead)
  if (unfenced !== undefined) return unfenced
  const { current } = slotTables(topology)
  const { readQuorum } = effectiveQuorums(replication, current.ownersPerSlot)
  const alive = current.members.map(({ id }) => id !== dead.id && isAlive(id))
  const place = current.members.findIndex(({ id }) => id === dead.id)
  const short = allSlots().filter((slot) => {
    const owners = current.owners(slot)
    return owners.includes(place) && owners.filter((owner) => alive[owner]).length < readQuorum
  })
  if (short.length === 0) return undefined
  return `of ${short.length} of its slots fewer than ${readQuorum} other owners are alive`
}

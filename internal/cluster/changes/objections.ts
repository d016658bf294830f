import { demandsAuthentication, goesBy, levelsText, type RemovedMember, type Topology } from '../../slots/index.js'
import type { Founder } from '../links/handshake.js'

/** Why this node cannot become a member as it is, in a sentence; undefined: it can. */
export function objectionToJoin(topology: Topology, founder: Founder): string | undefined {
  const { members, removed, featureLevel } = topology
  const { id, incarnation, address } = founder
  const former = removed.find((each) => each.incarnation === incarnation)
  if (former !== undefined) return farewell(former, topology)
  if (!goesBy(founder.levels, featureLevel)) {
    return `the software of ${id} goes by ${levelsText(founder.levels)}, and not by level ${featureLevel} of the cluster`
  }
  if (demandsAuthentication(topology) && !founder.authenticates) {
    return `${id} has no --auth-file, and every member of the cluster demands authentication`
  }
  const twin = members.find((member) => member.id !== id && member.incarnation === incarnation)
  if (twin !== undefined) return `the data directory of ${id} is a copy of that of ${twin.id}`
  const neighbour = members.find((member) => member.id !== id && member.address === address)
  if (neighbour !== undefined) {
    return (
      `${id} wants to be reached at ${address}, which is the address of the member ${neighbour.id}. If it is that node ` +
      `with a new data directory, start it with --id ${neighbour.id}`
    )
  }
  return undefined
}

const departures = { decommission: 'decommissioned', remove: 'removed', replace: 'replaced' } as const

/** What a node is told whose data directory is no member any more. */
export function farewell(
  { id, incarnation, epoch, by }: RemovedMember,
  { clusterId, forced }: Pick<Topology, 'clusterId' | 'forced'>,
): string {
  const what = `${id} (incarnation ${incarnation}) was ${departures[by]} at epoch ${epoch} of cluster ${clusterId}`
  if (forced?.at === epoch) {
    return (
      `${what}, by force: what only the removed members had is not in the cluster any more. Keep its data directory if that ` +
      'may be needed; an empty one can join'
    )
  }
  return `${what}. Nothing in its data directory is needed any more; an empty one can join`
}

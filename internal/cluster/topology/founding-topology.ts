import { type ClusterId, type Epoch, FatalError } from '../../base/index.js'
import { accessLevel, atRest, commonLevel, type Member, type Topology, validateTopology } from '../../slots/index.js'
import type { NodeOptions } from '../node-face.js'

/** The first topology of a cluster: the same at all founders that have met the same ones. */
export function foundingTopology(
  clusterId: ClusterId,
  { replication, virtualNodes }: Pick<NodeOptions, 'replication' | 'virtualNodes'>,
  founders: readonly Member[],
): Topology {
  const featureLevel = commonLevel(founders.map(({ levels }) => levels))
  // Each of them has refused those that it has nothing in common with; and ranges that meet in pairs all meet.
  if (featureLevel === undefined) throw new FatalError('refused', 'the founders have no feature level in common')
  const members = founders.map((member) => {
    return { ...member, authenticates: member.authenticates && featureLevel >= accessLevel }
  })
  const [epoch, nextNumber] = [1 as Epoch, members.length + 1]
  return validateTopology({ ...atRest, clusterId, epoch, replication, virtualNodes, featureLevel, members, nextNumber })
}

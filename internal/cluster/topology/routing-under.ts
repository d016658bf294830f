import { FatalError, type NodeId } from '../../base/index.js'
import { noOtherSide, type Replica, type Routing, routingOf } from '../../replication/index.js'
import { effectiveQuorums, slotTables, type Topology } from '../../slots/index.js'

/**
 * Where the data is under a topology, as `self` sees it: `replicaOf` gives the way to each member. Throws FatalError where
 * `self` is none.
 */
export function routingUnder(topology: Topology, self: NodeId, replicaOf: (id: NodeId) => Replica): Routing {
  const replicas = topology.members.map(({ id }) => replicaOf(id))
  const position = topology.members.findIndex(({ id }) => id === self)
  if (position < 0) throw new FatalError('refused', `${self} is no longer a member of the cluster`)
  const { current, next } = slotTables(topology)
  const step = topology.handover?.step
  const [table, other] = step === 'switch' ? [next!, current] : [current, next]
  const { readQuorum, writeQuorum } = effectiveQuorums(topology.replication, table.ownersPerSlot)
  const routing = { epoch: topology.epoch, table, self: position, replicas, readQuorum, writeQuorum }
  if (other === undefined) return routingOf({ ...routing, ...noOtherSide })
  const otherSide = effectiveQuorums(topology.replication, other.ownersPerSlot)
  const [otherReadQuorum, otherWriteQuorum] = [otherSide.readQuorum, otherSide.writeQuorum]
  return routingOf({ ...routing, other, otherReadQuorum, otherWriteQuorum, step })
}

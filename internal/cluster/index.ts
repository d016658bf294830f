export type { AccessChange } from './changes/access-changes.js'
export type { ChangePlan, WantedChange } from './changes/change-plan.js'
export type { ForcedPlan, ForcedRemoval } from './changes/forced-removal.js'
export { startCoreNode } from './node.js'
export type {
  Handovers,
  Liveness,
  Members,
  Node,
  NodeOptions,
  NodePhase,
  NodeStatus,
  PeerName,
  PlanWithEstimate,
  Repairs,
  StopVerdict,
} from './node-face.js'
export { notServing } from './not-serving.js'
export { decodeTopology, encodeTopology } from './topology/topology-codec.js'
export { decodeVotes } from './topology/votes-document.js'

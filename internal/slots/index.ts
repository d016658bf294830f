export { slotCount, slotOf, slotOfHash } from './slot.js'
export type { Member, ReplicationSettings, Topology } from './topology.js'

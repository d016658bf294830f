export { slotTable } from './layout.js'
export { allSlots, slotCount, slotOf, slotOfHash } from './slot.js'
export { SlotTable } from './slot-table.js'
export type { Member, ReplicationSettings, Topology } from './topology.js'
export {
  type EffectiveQuorums,
  effectiveQuorums,
  parseReplicationSettings,
  parseWeight,
  parseZone,
  validateTopology,
} from './validate.js'

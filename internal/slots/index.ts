export {
  type AccessList,
  accessLevel,
  canonicalPrefixes,
  checkGrant,
  type Grant,
  nobodyGranted,
  parsePrincipalName,
  type Role,
  roles,
} from './access.js'
export { incomingSlots, movedSlots, type SlotTables, slotTable, slotTables } from './layout.js'
export { commonLevel, goesBy, type LevelRange, levelsText, parseLevels, softwareLevels } from './levels.js'
export { type Move, type Movement, movementOf } from './movement.js'
export { allSlots, slotCount, slotOf, slotOfHash } from './slot.js'
export { SlotTable } from './slot-table.js'
export { type CopyCounts, type TightestSlot, tightestSlot } from './survival.js'
export {
  atRest,
  type Conduct,
  currentRing,
  demandsAuthentication,
  type Handover,
  type HandoverStep,
  type Member,
  type MemberState,
  type PlannedChange,
  type RemovedMember,
  type ReplicationSettings,
  type RingShare,
  type Topology,
  voters,
} from './topology.js'
export {
  type EffectiveQuorums,
  effectiveQuorums,
  parseReplicationSettings,
  parseWeight,
  parseZone,
  validateTopology,
} from './validate.js'

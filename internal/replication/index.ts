export { ActiveOperations } from './active-operations.js'
export { AntiEntropy, type ConvergenceStatus, type PeerConvergence } from './anti-entropy.js'
export { ByteRate } from './byte-rate.js'
export { Coordinator, type CoordinatorOptions } from './coordinator.js'
export { CopyServer } from './copy-server.js'
export { DigestServer } from './digest-server.js'
export { FloorRounds, type FloorStatus, type FloorTuning } from './floor-rounds.js'
export { FloorServer } from './floor-server.js'
export {
  Handover,
  type HandoverOptions,
  type IncomingProgress,
  type KeptProgress,
  noRoomForProgress,
  type ProgressKeeper,
} from './handover.js'
export { HintedHandoff, type HintedHandoffOptions } from './hinted-handoff.js'
export { Horizon, PacedReading } from './horizon.js'
export { ItemReader, itemKind } from './items.js'
export { LocalReplica } from './local-replica.js'
export type { KeyLocation, OwnerHolding } from './locate.js'
export { asksForData, decodeMessage } from './message-codec.js'
export type {
  Consistency,
  DirectOperations,
  GetCaller,
  OperationOptions,
  PutOptions,
  ScanOptions,
  ScanPage,
  SlotTransfers,
  WriteCaller,
  WriteResult,
} from './operations.js'
export { Outbox } from './outbox.js'
export { Pauses } from './pauses.js'
export { type Envelope, PeerLink, type PeerLinkHandlers } from './peer-link.js'
export { Refiller, type RefillerOptions } from './refill.js'
export { type ForgetWaiter, RemoteReplica } from './remote-replica.js'
export type { RepairProgress, RepairRequest } from './repair.js'
export type { Replica } from './replica.js'
export { ReplicaServer } from './replica-server.js'
export type { RestoreTally } from './restore-operation.js'
export { noOtherSide, type OperationContext, type Routing } from './routing.js'
export { ScanSlices } from './scan-slices.js'
export { SharedSlots } from './shared-slots.js'
export type { ExportedPage, ExportedSlot, SlotExport } from './slot-export.js'
export { ownersOf, routingOf } from './slot-quorums.js'

export { HintedHandoff, type HintedHandoffOptions } from './hinted-handoff.js'
export { ActiveOperations } from './operations/active-operations.js'
export { Coordinator, type CoordinatorOptions } from './operations/coordinator.js'
export { ItemReader, itemKind } from './operations/items.js'
export type { KeyLocation, OwnerHolding } from './operations/locate.js'
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
} from './operations/operations.js'
export type { RestoreTally } from './operations/restore-operation.js'
export { noOtherSide, type OperationContext, type Routing } from './operations/routing.js'
export { ScanSlices } from './operations/scan-slices.js'
export { AntiEntropy, type ConvergenceStatus, type PeerConvergence } from './repair/anti-entropy.js'
export { DigestServer } from './repair/digest-server.js'
export { FloorRounds, type FloorStatus, type FloorTuning } from './repair/floor-rounds.js'
export { FloorServer } from './repair/floor-server.js'
export { Horizon, PacedReading } from './repair/horizon.js'
export type { RepairProgress, RepairRequest } from './repair/repair.js'
export { LocalReplica } from './replicas/local-replica.js'
export { asksForData, decodeMessage } from './replicas/message-codec.js'
export { Outbox } from './replicas/outbox.js'
export { type Envelope, PeerLink, type PeerLinkHandlers } from './replicas/peer-link.js'
export { type ForgetWaiter, RemoteReplica } from './replicas/remote-replica.js'
export type { Replica } from './replicas/replica.js'
export { ReplicaServer } from './replicas/replica-server.js'
export { ByteRate } from './transfer/byte-rate.js'
export { CopyServer } from './transfer/copy-server.js'
export {
  Handover,
  type HandoverOptions,
  type IncomingProgress,
  type KeptProgress,
  noRoomForProgress,
  type ProgressKeeper,
} from './transfer/handover.js'
export { Pauses } from './transfer/pauses.js'
export { Refiller, type RefillerOptions } from './transfer/refill.js'
export { SharedSlots } from './transfer/shared-slots.js'
export type { ExportedPage, ExportedSlot, SlotExport } from './transfer/slot-export.js'
export { ownersOf, routingOf } from './transfer/slot-quorums.js'

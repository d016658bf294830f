export { AssertionError, assert, unreachable } from './assert.js'
export { compareBytes, emptyBytes, equalBytes, startsWith } from './bytes.js'
export { Cancellation } from './cancellation.js'
export {
  type ErrorCode,
  exitStatus,
  FatalError,
  type FatalReason,
  invalidArgument,
  KvError,
  type KvErrorOptions,
  stacklessError,
  type WriteOutcome,
} from './errors.js'
export {
  type Address,
  type ClusterId,
  type Epoch,
  type Incarnation,
  type NodeId,
  type ParseAddressOptions,
  parseAddress,
  parseClusterId,
  parseEpoch,
  parseIncarnation,
  parseNodeId,
  type Slot,
} from './ids.js'
export {
  Instruments,
  type MemberInstruments,
  OperationInstrument,
  type OperationKind,
  type OperationRole,
  operationKinds,
  operationRoles,
  type QuorumLevel,
} from './instruments.js'
export { LatencyHistogram, type LatencySummary, type LatencyTotals } from './latency-histogram.js'
export { limits } from './limits.js'
export { type NodeEvent, type NodeEventKind, NodeEvents } from './node-events.js'
export type { OperationTrace, PartTrace, TracedOperation, TracedPart, TraceWatch } from './operation-traces.js'
export type { RequestName, SlowOperation, SlowWatch } from './slow-operations.js'

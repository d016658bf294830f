/**
 * The client: `KvClient`, typed collections, errors, and what it tells of its work.
 *
 * @module @quorumkv/client
 */

export { KvClient } from './client.js'
export type { ClientEventMap, ClientEventName, ClientListener, NodeEvent } from './client-events.js'
export type { KvClientOptions, TlsOptions } from './client-options.js'
export type { ClientStats, NodeStats } from './client-stats.js'
export { type CollectionStore, collectionOn } from './collection/collection.js'
export type {
  Collection,
  CollectionEntry,
  CollectionPutEntry,
  CollectionPutOptions,
  CollectionScanEntry,
  CollectionScanOptions,
} from './collection/collection-types.js'
export type {
  SchemaInput,
  SchemaOutput,
  StandardSchemaIssue,
  StandardSchemaProps,
  StandardSchemaResult,
  StandardSchemaV1,
} from './collection/standard-schema.js'
export { bytes, type Codec, json, SchemaError, schema, text } from './collection/value-codecs.js'
export { KvError, type KvErrorCode, type KvErrorOptions, type WriteOutcome } from './errors.js'
export type { KvOperations } from './operations.js'
export type { AccessOverview, CreatedPrincipal, NewPrincipal, PrincipalInfo, Role } from './operator/access-types.js'
export type {
  BackupPage,
  BackupPosition,
  BackupRequest,
  RestoreOptions,
  RestoreTally,
  SlotContents,
} from './operator/backups.js'
export type {
  CancelOptions,
  ChangeOptions,
  ChangePlan,
  ForcedRemoval,
  HandoverReport,
  HandoverStatus,
  Move,
  Operator,
  PlannedChange,
  RaisedLevel,
  StopVerdict,
} from './operator/changes.js'
export type {
  ClusterStatus,
  ClusterTopology,
  Liveness,
  Member,
  MemberState,
  MemberStatus,
  Partition,
  RepairOptions,
  RepairProgress,
  ReplicationSettings,
  SnapshotTaken,
} from './operator/cluster-types.js'
export type { LatencyFigures, NodeFigures, OperationFigures } from './operator/node-figures.js'
export type {
  CertificateStatus,
  ConvergenceStatus,
  HintStatus,
  PeerConvergence,
  StorageStatus,
} from './operator/node-status.js'
export type { BatchTrace, CommandTrace, ConnectTrace, TraceOutcome } from './tracing.js'
export type {
  CallOptions,
  Consistency,
  DeleteOptions,
  DeleteResult,
  Entry,
  Key,
  PutEntry,
  PutOptions,
  PutOutcome,
  PutResult,
  PutResultWithPrevious,
  ReadOptions,
  ScanEntry,
  ScanOptions,
  Value,
  ValueView,
} from './types.js'
export { Version } from './version.js'

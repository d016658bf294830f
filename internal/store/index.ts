export {
  decodeDocument,
  documentHeaderBytes,
  encodeDocument,
  readDocument,
  readDocumentAs,
  writeDocument,
} from './durable-file.js'
export {
  forgetHandoverProgress,
  type HandoverProgress,
  readHandoverProgress,
  writeHandoverProgress,
} from './handover-progress.js'
export { type Identity, readIdentity, writeIdentity } from './identity.js'
export { readLostSlots, writeLostSlots } from './lost-slots.js'
export type { MergeOutcome } from './met.js'
export { openStore } from './open.js'
export {
  carryOutRepair,
  type DirectoryRepair,
  type Loss,
  planRepair,
  type RepairOptions,
  type RepairOutcome,
  type RepairPlan,
} from './repair/repair.js'
export type { DocumentRepair } from './repair/repair-documents.js'
export {
  type DirectorySurvey,
  type DocumentCheck,
  type FileKind,
  type FileReport,
  type Finding,
  surveyDirectory,
} from './repair/verify.js'
export {
  type BlockHeader,
  blockHeaderBytes,
  chainCrc,
  decodeBlockHeader,
  encodeBlockHeader,
} from './snapshot/snapshot-format.js'
export type {
  CommitOptions,
  CommitResult,
  CommitWaiter,
  Digest,
  FsyncPolicy,
  PastDigest,
  SnapshotInfo,
  Store,
  StoreOptions,
  StoreStatistics,
  StoreTuning,
} from './store.js'
export { Table } from './table/table.js'
export { prefetchKeysMax } from './table/table-prefetch.js'

export type {
  CommitOptions,
  CommitResult,
  Digest,
  FsyncPolicy,
  SnapshotInfo,
  Store,
  StoreOptions,
  StoreStatistics,
} from './store.js'
export { type MergeOutcome, Table } from './table.js'

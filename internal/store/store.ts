import type { ClusterId, Incarnation, Instruments, KvError, Slot } from '../base/index.js'
import type { Clock, Disk, Log } from '../env/index.js'
import type { Hash64 } from '../hash/index.js'
import type { Version } from '../hlc/index.js'
import type { Floor, StoredRecord } from '../record/index.js'
import type { FsyncPolicy } from '../wal/index.js'

export type { FsyncPolicy } from '../wal/index.js'

/** What became of one record of a commit. Settled only when the record, or what beat it, is durable. */
export interface CommitResult {
  /** false: refused as stale, because something not lower is durable here. (The very same write again is applied.) */
  readonly applied: boolean
  /** The version that it met: replaced when applied, superior when refused. Undefined: the key was absent. */
  readonly seen: Version | undefined
  /** It replaced a live value. */
  readonly existed: boolean
  /** The replaced record, live or not, where the commit asked for it. */
  readonly previous: StoredRecord | undefined
}

export interface CommitOptions {
  /** For each record, whether to hand back what it replaced. */
  readonly wantPrevious?: readonly boolean[]
  /**
   * All of them are expected to be newer than what is here, as writes are that have just been stamped. They are logged
   * without looking for what would make that needless: results are the same, but one that is not newer waits for the
   * log to say so.
   */
  readonly fresh?: boolean
}

/** Who is told what became of the record of a `commitOne`: exactly one of the two, once. Neither may throw. */
export interface CommitWaiter {
  committed(result: CommitResult): void
  /** As `commit` rejects. */
  commitFailed(error: KvError): void
}

/** 64 bits as two unsigned halves. */
export interface Digest {
  readonly hi: number
  readonly lo: number
}

/** The digest of a slot as far as a moment in the past. */
export interface PastDigest extends Digest {
  /** How many of the records are dead at that moment (`isDeadAtFloor`). */
  readonly dead: number
}

export interface SnapshotInfo {
  /** Everything up to this group of the log is in the snapshot. */
  readonly sequence: number
  /** Floors included. */
  readonly records: number
  readonly bytes: number
}

export interface StoreStatistics {
  readonly entries: number
  readonly tombstones: number
  readonly tableBytes: number
  /** Of keys and values in the table, up to the words that they fill. */
  readonly dataBytes: number
  readonly logBytes: number
  readonly logSegments: number
  /** Bytes of frames written to the log since it was opened. */
  readonly logAppendedBytes: number
  readonly lastSequence: number
  readonly snapshotSequence: number
  readonly readOnly: boolean
  /** Slots of which something may be missing: see `Store.isLost`. */
  readonly lostSlots: number
  /** Kept files (snapshots, closed segments of the log) that were found damaged since it was opened, and replaced. */
  readonly rottenFiles: number
  /** Bytes of kept files that were read back to see whether they are damaged, since it was opened. */
  readonly scrubbedBytes: number
}

/** Sizes that the simulator and tests make small; what is left out is as in `limits`. */
export interface StoreTuning {
  /** A segment of the log is closed when it has passed this size. */
  readonly logSegmentBytes?: number
  /** The log's file is extended by this much at a time. */
  readonly logPreallocateBytes?: number
  /** Kept files are read back so soon after a start or a snapshot, and so long after the last time. */
  readonly scrubDelayMs?: number
  readonly scrubIntervalMs?: number
}

export interface StoreOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
  readonly instruments: Instruments
  /** Written into every file; files of another cluster or incarnation are refused (FatalError `corrupt`). */
  readonly clusterId: ClusterId
  readonly incarnation: Incarnation
  readonly fsync: FsyncPolicy
  readonly fsyncIntervalMs: number
  /** A snapshot is taken after so much time, if anything has changed; 0: not by time. */
  readonly snapshotIntervalMs: number
  /** A snapshot is taken when the log has grown by so much since the last; 0: not by size. */
  readonly snapshotWalBytes: number
  readonly tuning?: StoreTuning
  /**
   * Unix milliseconds: values that have expired by then may be thrown away, since nobody shows them any more. Asked
   * whenever there may be some; 0 while nobody knows. Left out: expired values are kept.
   */
  readonly purgeTimeMs?: () => number
  /** The disk failed for good: nothing is acknowledged any more, and the process must end. Called at most once. */
  readonly onFatal: (error: Error) => void
}

/**
 * The durable table of one node. An expired record loses its value some time after `purgeTimeMs` has passed its expiry:
 * it is then a tombstone of the same version and expiry. That is not logged, because it follows from the record and
 * the time; after a restart it is done again. Merging is by `compareRecords`, so records may come in any order, any number of
 * times. Reads see exactly what is durable (with `fsync: always`).
 */
export interface Store {
  /** The highest version found on disk when it was opened, and since committed. */
  readonly highestVersion: Version
  /**
   * Logs and applies records. Resolves, with a result for each, once they are durable and visible. Rejects with
   * KvError: `overloaded` or `read-only` when certainly nothing was written; after a disk failure it never settles as
   * success again. The caller gives the records' bytes away until then; the store keeps copies, never views.
   */
  commit(records: readonly StoredRecord[], options?: CommitOptions): Promise<readonly CommitResult[]>
  /**
   * `commit` of one record, without the promises, arrays and closures of one: that costs a third less. The waiter is
   * told during the call where nothing has to be logged, or nothing can be. `fresh` as in `CommitOptions`.
   */
  commitOne(record: StoredRecord, wantPrevious: boolean, fresh: boolean, waiter: CommitWaiter): void
  /**
   * The record of a key, tombstones and expired ones included; of an absent key under a floor a tombstone of the floor's
   * version. Its key is the array that was given, its value a copy that is the caller's: whoever keeps the record for
   * long keeps what the key is a view of, and a slab of 8 KiB.
   */
  get(key: Uint8Array): StoredRecord | undefined
  /** The version of what `get` returns, without copying a value. */
  getVersion(key: Uint8Array): Version | undefined
  /**
   * A hint, without any effect on results: `keys[from, to)` will be asked for next. Called for each `prefetchKeysMax`
   * keys (more are left out) it lets their cache misses overlap, and makes reads of a large table twice as fast.
   */
  prefetch(keys: readonly Uint8Array[], from: number, to: number): void
  /** Visits every record of a slot, tombstones and expired ones included, in no particular order, in this call. */
  scanSlot(slot: Slot, visit: (record: StoredRecord) => void): void
  /**
   * XOR of 64-bit record hashes over key and version: equal for equal contents, whatever the order of writes. Of a slot
   * that `emptySlots` has been called for, and that is not empty yet, it is that of nothing. Returns `into` where that
   * is given.
   */
  digest(slot: Slot, into?: Hash64): Digest
  /** Rises with every change of a `digest` or of a `floorMs`: while it stays, so does what was made of them. */
  readonly changes: number
  /** The same over what was stamped at `upToMs` (Unix milliseconds) or before, by a scan of the slot. */
  digestUpTo(slot: Slot, upToMs: number): PastDigest
  /** How many tombstones the slot holds, those of expired values included whose memory has been won back. */
  tombstonesIn(slot: Slot): number
  /**
   * The slot's floor in Unix milliseconds; 0: it has none. A key that is absent was deleted at its floor: `get` says
   * so, and what was stamped at the floor or before is refused as stale for it, from wherever it comes.
   */
  floorMs(slot: Slot): number
  /**
   * Raises floors, and drops what is dead at them (`isDeadAtFloor`), one scan of each slot in one turn: give a few at a
   * time. A lower one than there is changes nothing. Resolves when that is durable. The caller knows that every record
   * of the slot up to the floor that any owner holds is held here. Rejects with KvError like `commit`.
   */
  raiseFloors(floors: readonly Floor[]): Promise<void>
  /**
   * Drops everything that these slots hold, and their floors: another node owns them now, and should this one own them again it
   * must begin with nothing. What is committed afterwards stays. Resolves when that is durable and visible; memory comes
   * back in small steps. Rejects with KvError like `commit`: then nothing was dropped, or nobody knows.
   */
  emptySlots(slots: readonly Slot[]): Promise<void>
  /** Whether a slot holds a record or has a floor. */
  holds(slot: Slot): boolean
  /**
   * Resolves when everything that was committed before is on the disk, whatever the fsync policy. Rejects with KvError
   * where the log can take no more.
   */
  synced(): Promise<void>
  /** Resolves when everything that was committed before is visible, or has failed. */
  settled(): Promise<void>
  /**
   * Whether records of this slot that were once acknowledged here may be missing, because the disk has lost them.
   * Reads and commits work as in any other slot; but what is absent here, or old, says nothing: who asks this store as
   * one of a key's replicas must not count it as a voter until the slot has been refilled.
   */
  isLost(slot: Slot): boolean
  /** How many slots are lost: a look before `isLost` that costs nothing. */
  readonly lostCount: number
  /** All slots that are lost, in order. */
  lostSlots(): readonly Slot[]
  /**
   * These slots are whole again: everything that this store may lack has been committed to it. Resolves when that is
   * durable, and only then `isLost` says so; slots that are not lost count as done. Rejects with KvError: `read-only`
   * where the disk has no room for it, `closed`, `unavailable`.
   */
  refilled(slots: readonly Slot[]): Promise<void>
  /**
   * These slots count as lost from now on: this store has never had what it is to have in them. Resolves when that is
   * durable. Rejects like `refilled`.
   */
  lose(slots: readonly Slot[]): Promise<void>
  snapshot(): Promise<SnapshotInfo>
  statistics(): StoreStatistics
  /** Waits for what was committed, then closes the files. Idempotent. */
  close(): Promise<void>
}

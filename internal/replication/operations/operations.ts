import type { Cancellation, KvError, RequestName } from '../../base/index.js'
import type { Version } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'
import type { ExportedPage, SlotExport } from '../transfer/slot-export.js'
import type { RestoreTally } from './restore-operation.js'

/** How many replicas take part before the reply: one, the topology's read or write quorum, or every owner. */
export type Consistency = 'one' | 'quorum' | 'all'

export interface OperationOptions {
  readonly consistency: Consistency
  /** When the caller stops waiting, in monotonic milliseconds of this node's clock. */
  readonly deadlineMs: number
  readonly cancellation?: Cancellation | undefined
  /**
   * For writes, Unix milliseconds: the stamp must be above the first and not above the second; a write that comes too
   * late for that is refused and not applied. They keep a stray first attempt older than its repetition. 0: no bound.
   */
  readonly stampAboveMs?: number | undefined
  readonly stampLimitMs?: number | undefined
  /** How its caller names it, for the log. */
  readonly request?: RequestName | undefined
}

export interface PutOptions extends OperationOptions {
  /** Milliseconds from now; undefined: never expires. */
  readonly ttlMs?: number | undefined
  readonly returnPrevious?: boolean | undefined
}

export interface WriteResult {
  readonly version: Version
  /** Replicas on which it was durable when the reply left. */
  readonly acks: number
  /**
   * Whether it is known what it replaced: as many owners as a read asks (one at level `one`) have said what they had
   * before. Otherwise too many had got the write by another way before its own message came (docs/adr/0026).
   */
  readonly replacedKnown: boolean
  /** It replaced a live value; false where that is not known. */
  readonly existed: boolean
  /** The live value that it replaced, where asked for and known. */
  readonly previous: StoredRecord | undefined
}

export interface ScanOptions extends OperationOptions {
  readonly prefix: Uint8Array
  /** Live entries to a page, 1 to `limits.scanPageEntriesMax`. */
  readonly pageSize: number
  /** Opaque, from an earlier page; empty: from the start. */
  readonly cursor: Uint8Array
}

export interface ScanPage {
  /** Live entries only. No key comes twice in one scan. */
  readonly records: readonly StoredRecord[]
  /** Where the next page starts; empty: this was the last. */
  readonly cursor: Uint8Array
}

/**
 * Who is told how an operation has ended: by one of its methods, once, perhaps during the call that began it. They must not
 * throw, nor end another operation before they return.
 */
export interface GetCaller {
  /** The live record, or undefined. */
  got(record: StoredRecord | undefined): void
  failed(error: KvError): void
}

/** The same of a put or a delete; the error carries `outcome`. */
export interface WriteCaller {
  wrote(result: WriteResult): void
  failed(error: KvError): void
}

/**
 * Operations without promises, for those who run very many: a promise, its two functions and the turn of the microtask
 * queue are a tenth of what an operation takes on its coordinator.
 */
export interface DirectOperations {
  startGet(key: Uint8Array, options: OperationOptions, caller: GetCaller): void
  /** The bytes are given away. */
  startPut(key: Uint8Array, value: Uint8Array, options: PutOptions, caller: WriteCaller): void
  startDelete(key: Uint8Array, options: OperationOptions, caller: WriteCaller): void
}

/** Slots as a whole, with versions and tombstones: for backups. Both reject with KvError. */
export interface SlotTransfers {
  /** One page of slots, each from a read quorum of its owners. */
  exportSlots(request: SlotExport, options: OperationOptions): Promise<ExportedPage>
  /**
   * Brings records to write quorums of their owners under the versions that they have. Rejects with `unavailable`, and
   * stores nothing, where one is stamped further ahead of the clock than the cluster allows, or nobody bears out this
   * node's clock. After another failure any of them may have been stored; it may be repeated.
   */
  restore(records: readonly StoredRecord[], options: OperationOptions): Promise<RestoreTally>
}

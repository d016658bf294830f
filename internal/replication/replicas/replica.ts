import type { ErrorCode, OperationTrace, Slot } from '../../base/index.js'
import { type Version, zeroVersion } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'

/**
 * What one replica says to one write.
 * - `applied`: durable there.
 * - `stale`: refused, something not lower is durable there; `seen` is its version.
 * - `refused`: certainly not applied there, and never will be by this request.
 * - `lost`: nobody knows: the link broke, or the replica's disk failed.
 * - `refilling`: durable there, or beaten by something newer, but the replica has lost part of the slot and cannot know
 *   what it would have had to refuse: it counts for nothing, and may come to light when the slot has been refilled.
 * - `wrong-epoch`: certainly not applied there by this request, because the replica goes by another epoch of the
 *   topology. Neither a success nor a failure: one of the two is behind, and learns that by this very exchange.
 */
export interface WriteReply {
  readonly kind: 'applied' | 'stale' | 'refused' | 'lost' | 'refilling' | 'wrong-epoch'
  /** What it replaced (applied) or lost against (stale). */
  readonly seen: Version | undefined
  readonly existed: boolean
  /** The replaced record, live or not, where asked for. */
  readonly previous: StoredRecord | undefined
  /** Why it was refused. */
  readonly code: ErrorCode | undefined
}

/** What one replica says to one read. */
export interface ReadReply {
  /**
   * `held`: it answered; `failed`: it cannot answer, or nobody knows; `refilling`: it has lost part of the slot, so
   * that what it holds says nothing; `wrong-epoch`: it goes by another epoch, and may answer soon.
   */
  readonly kind: 'held' | 'failed' | 'refilling' | 'wrong-epoch'
  /** What it holds; `zeroVersion` when it has never heard of the key. */
  readonly version: Version
  /** Present for a full read of a key that it holds. */
  readonly record: StoredRecord | undefined
}

/** One slot's records behind a key, in byte order, tombstones included. */
export interface PageReply {
  /** As in `ReadReply`. */
  readonly kind: 'held' | 'failed' | 'refilling' | 'wrong-epoch'
  readonly records: readonly StoredRecord[]
  /** There are more records behind the last one. */
  readonly more: boolean
  /** The slot's floor there when the page was read: what the page lacks was deleted at it (`Store.floorMs`). */
  readonly floorMs: number
}

export interface PageRequest {
  readonly slot: number
  readonly prefix: Uint8Array
  /** Only keys behind this one; empty: from the start. */
  readonly after: Uint8Array
  readonly recordsMax: number
  readonly bytesMax: number
}

/**
 * Who waits for replies. An interface with a position instead of a closure per request: an operation is its own
 * waiter, and `position` tells it which of its owners answered. A reply may come during the call that asked.
 */
export interface WriteWaiter {
  writeReplied(position: number, reply: WriteReply): void
}

export interface ReadWaiter {
  readReplied(position: number, reply: ReadReply): void
}

export interface PageWaiter {
  pageReplied(position: number, reply: PageReply): void
}

/** One copy of the data, here or on another node. Every request is answered exactly once. */
export interface Replica {
  /** Whether a request sent now has a chance. */
  readonly up: boolean
  /** It is not up, and may be so in a moment: its link has just broken, or is only being made. */
  readonly returning: boolean
  /** Failure detection does not hold it for alive: of those that are up it is asked last. */
  readonly doubted: boolean
  /** Whether it is known here that it has lost part of a slot and has no say in it. Others tell when they are asked. */
  lacks(slot: Slot): boolean
  /** Whether a write of so many bytes would be sent: its queue has room. */
  accepts(bytes: number): boolean
  /**
   * `isRepair`: some owner of the key holds this record, or held it when the repair began. Otherwise it is fresh, and
   * refused as stale when it is late (`Horizon`). `trace`: of the operation that it belongs to, where that is followed.
   */
  write(
    record: StoredRecord,
    wantPrevious: boolean,
    waiter: WriteWaiter,
    position: number,
    isRepair?: boolean,
    trace?: OperationTrace,
  ): void
  /** `full` asks for the record, otherwise its version is enough. */
  read(key: Uint8Array, full: boolean, waiter: ReadWaiter, position: number, trace?: OperationTrace): void
  page(request: PageRequest, waiter: PageWaiter, position: number): void
}

/** All replies have one shape, also those that are rare: of another one, the first has V8 throw away code of every operation. */
function writeReply(kind: WriteReply['kind'], code: ErrorCode | undefined): WriteReply {
  return { kind, seen: undefined, existed: false, previous: undefined, code }
}

export const lostWrite: WriteReply = writeReply('lost', undefined)
export const refillingWrite: WriteReply = writeReply('refilling', undefined)
export const wrongEpochWrite: WriteReply = writeReply('wrong-epoch', undefined)

export function refusedWrite(code: ErrorCode): WriteReply {
  return writeReply('refused', code)
}

export const failedRead: ReadReply = { kind: 'failed', version: zeroVersion, record: undefined }
export const refillingRead: ReadReply = { kind: 'refilling', version: zeroVersion, record: undefined }
export const wrongEpochRead: ReadReply = { kind: 'wrong-epoch', version: zeroVersion, record: undefined }
export const absentRead: ReadReply = { kind: 'held', version: zeroVersion, record: undefined }

export const failedPage: PageReply = { kind: 'failed', records: [], more: false, floorMs: 0 }
export const refillingPage: PageReply = { kind: 'refilling', records: [], more: false, floorMs: 0 }
export const wrongEpochPage: PageReply = { kind: 'wrong-epoch', records: [], more: false, floorMs: 0 }

/** For repairs that nobody waits for: a repair that fails is made again by the next read that sees the difference. */
export const nobody: WriteWaiter = { writeReplied() {} }

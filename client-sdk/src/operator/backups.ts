import type { BackupSlotsResponse } from '@quorumkv/proto/kv/v1/cluster'
import type { CallOptions } from '../types.js'

/** Where a page of a backup begins. */
export interface BackupPosition {
  /** A slot, or as many as there are: behind the last. */
  readonly slot: number
  /** In that slot, only keys behind this one; empty: from its start. */
  readonly after: Uint8Array
}

/** Which page of a backup is wanted. */
export interface BackupRequest extends BackupPosition {
  /**
   * What is known already of this slot and of those behind it: eight bytes for each, the digest of its contents, upper half
   * first, big-endian. Nothing is sent of a slot that is still the same.
   */
  readonly knownDigests?: Uint8Array | undefined
}

/** What a read quorum of its owners holds of one slot. */
export interface SlotContents {
  readonly slot: number
  /** It is the same as what is known: no records are here. */
  readonly unchanged: boolean
  /**
   * One behind the other as FORMAT.md draws them, in the byte order of keys: with their versions, tombstones and what has
   * expired included.
   */
  readonly records: Uint8Array
  readonly count: number
  /** There may be more behind the last record; the next page goes on there. True of the last slot of a page only. */
  readonly more: boolean
  /** What is absent, and was stamped up to this moment, has been deleted. Unix milliseconds; 0: no such moment. */
  readonly floorMs: number
}

/** One page of a backup. */
export interface BackupPage {
  readonly slots: readonly SlotContents[]
  readonly next: BackupPosition
  /** The clock of the node that answered, when it had read the page: a hybrid logical clock reading. */
  readonly hlc: bigint
  readonly clusterId: string
}

export interface RestoreOptions extends CallOptions {
  /**
   * The highest stamp of all that the backup holds, as a hybrid logical clock reading: where the cluster's clock cannot go along
   * with it, nothing is stored. Default: only the records are looked at.
   */
  readonly highestHlc?: bigint | undefined
  /** The cluster that they are meant for: members of any other refuse them. Default: whichever the endpoints lead to. */
  readonly clusterId?: string | undefined
}

/** What became of records of a backup. */
export interface RestoreTally {
  /** A write quorum holds them. */
  readonly stored: number
  /** Something newer is there, and stays. */
  readonly superseded: number
  /** They have been deleted since, and stay so. */
  readonly deleted: number
}

export function backupPageOf({ slots, nextSlot, nextAfter, hlc, clusterId }: BackupSlotsResponse): BackupPage {
  return {
    slots: slots.map(({ floorMs, ...slot }) => ({ ...slot, floorMs: Number(floorMs) })),
    next: { slot: nextSlot, after: nextAfter },
    hlc,
    clusterId,
  }
}

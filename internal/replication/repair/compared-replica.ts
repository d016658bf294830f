import type { DigestLevel } from '@quorumkv/proto/kv/peer/v1/messages'
import { emptyBytes, type Slot } from '../../base/index.js'
import type { Entry } from '../../merkle/index.js'
import type { Replica } from '../replicas/replica.js'

export interface DigestAsk {
  readonly level: DigestLevel
  /** The asking node's place among the members. */
  readonly member: number
  /** At the leaves groups, ascending; at the buckets one slot; else empty. */
  readonly places: readonly number[]
}

/** What another replica says of a level of the tree; `refilling`: it has lost the slot that was asked about. */
export interface DigestAnswer {
  readonly kind: 'held' | 'failed' | 'refilling'
  /** Packed, in the order of what was asked. */
  readonly digests: Uint8Array
  /** Of the slots asked about, those that are lost there: their digests say nothing. */
  readonly lost: readonly number[]
  /** At the buckets, the slot's floor there (`Store.floorMs`), of the same moment. */
  readonly floorMs: number
}

export interface EntryAsk {
  readonly slot: Slot
  readonly buckets: readonly number[]
  /** Only keys behind this one; empty: from the start. */
  readonly after: Uint8Array
  readonly entriesMax: number
  /** Of keys and versions; one entry comes in any case. */
  readonly bytesMax: number
}

/** The records that a replica holds in some buckets of a slot, without their values. */
export interface EntryAnswer {
  readonly kind: 'held' | 'failed' | 'refilling'
  /** In the byte order of keys, each key once. */
  readonly entries: readonly Entry[]
  /** There are more behind the last one. */
  readonly more: boolean
}

/** Another node's copy that can be compared with one's own. Every request is answered exactly once, perhaps at once. */
export interface ComparedReplica extends Replica {
  /** So much waits to be sent to it that what is not urgent should wait. */
  readonly busy: boolean
  digests(ask: DigestAsk, answered: (answer: DigestAnswer) => void): void
  entries(ask: EntryAsk, answered: (answer: EntryAnswer) => void): void
}

export const failedDigests: DigestAnswer = { kind: 'failed', digests: emptyBytes, lost: [], floorMs: 0 }
export const refillingDigests: DigestAnswer = { kind: 'refilling', digests: emptyBytes, lost: [], floorMs: 0 }
export const failedEntries: EntryAnswer = { kind: 'failed', entries: [], more: false }
export const refillingEntries: EntryAnswer = { kind: 'refilling', entries: [], more: false }

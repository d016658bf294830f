import type { KvError } from './errors.js'
import type { Version } from './version.js'

/** Keys are 1 to 1,024 bytes. A string stands for its UTF-8 bytes; one with a lone surrogate is refused. */
export type Key = string | Uint8Array

/** Values are 0 to 1 MiB (1,048,576 bytes). A string stands for its UTF-8 bytes; one with a lone surrogate is refused. */
export type Value = string | Uint8Array

/**
 * How many replicas must take part before the reply leaves: `one`, a `quorum` (the cluster's default; a quorum read
 * sees every quorum write that was acknowledged before), or `all`.
 */
export type Consistency = 'one' | 'quorum' | 'all'

/** What every call takes. */
export interface CallOptions {
  /** How long the call may take in all, repetitions included, in milliseconds: above 0, and up to 600,000. Default: the client's. */
  readonly timeoutMs?: number | undefined
  /** Ends the call with code `cancelled`; an operation that was not yet sent is never sent. */
  readonly signal?: AbortSignal | undefined
}

/** What reads take. */
export interface ReadOptions extends CallOptions {
  /** How many replicas must have said what they hold. Default: the client's. */
  readonly consistency?: Consistency | undefined
}

/** What puts take. */
export interface PutOptions extends CallOptions {
  /** How many replicas must have the value on disk. Default: the client's. */
  readonly consistency?: Consistency | undefined
  /**
   * The value expires this many milliseconds after the cluster accepts it: a whole number from 1 to 3,153,600,000,000.
   * Each node tells the time by its own clock: for as long as two clocks differ, one node may still show the value.
   */
  readonly ttlMs?: number | undefined
  /**
   * Asks for the value that was replaced. A put whose first attempt may have been applied is then not repeated,
   * because the repetition would report the put's own value as the previous one. What was replaced may turn out to be
   * unknown: see `previousKnown`.
   */
  readonly returnPrevious?: boolean | undefined
}

/** What deletes take. */
export interface DeleteOptions extends CallOptions {
  /** How many replicas must have the deletion on disk. Default: the client's. */
  readonly consistency?: Consistency | undefined
}

/** A value as stored. */
export interface ValueView {
  /** The bytes; the caller may keep them. */
  readonly value: Uint8Array
  /** The value as text. Throws `not-text` where it is not valid UTF-8. */
  text(): string
}

/** A value with what is known about it. `key` has the form in which it was asked for. */
export interface Entry<K extends Key = Key> extends ValueView {
  /** As it was given: the same object where it is a Uint8Array. */
  readonly key: K
  /** Of the write that stored the value. */
  readonly version: Version
  /** When the value expires, by the cluster's clock; undefined: never. */
  readonly expiresAt: Date | undefined
}

/** What came of a put. */
export interface PutResult {
  /** Of the value that was stored. */
  readonly version: Version
  /** How many replicas had the value on disk when the reply left. */
  readonly acks: number
}

/** What came of a put that was asked what it replaced. */
export interface PutResultWithPrevious extends PutResult {
  /**
   * Whether it is known what the put replaced. It rarely is not: where somebody reads the key while it is being put, or
   * nodes lose sight of each other, most replicas may get the put by another way before its own message comes, and
   * replicas do not remember what they have replaced. The put then waits a moment for the others, and says so if that
   * does not help. What is said to be known is the newest value that had been acknowledged or read at quorum before
   * the put, or one that was written while it ran; at level `one` it is what one replica had.
   */
  readonly previousKnown: boolean
  /** What the put replaced; undefined where there was nothing, or only an expired or deleted value, or it is not known. */
  readonly previous: ValueView | undefined
}

/** What came of a delete. */
export interface DeleteResult {
  /** Of the deletion: what is written with a lower one is deleted too. */
  readonly version: Version
  /**
   * Whether there was a value to delete. Undefined: it is not known, for the reason told at
   * `PutResultWithPrevious.previousKnown`, or because a connection broke, the delete was repeated, and the first attempt
   * may have removed what the last one did not find.
   */
  readonly existed: boolean | undefined
}

/** An entry for `putMany`: the key, the value, and optionally a time to live for this entry alone. */
export type PutEntry =
  | readonly [key: Key, value: Value]
  | {
      /** What it is stored under. */
      readonly key: Key
      /** What is stored. */
      readonly value: Value
      /** As `PutOptions.ttlMs`, which holds where this is absent. */
      readonly ttlMs?: number | undefined
    }

/** What became of one entry of `putMany`. */
export type PutOutcome =
  | {
      /** It is stored. */
      readonly ok: true
      /** As `PutResult.version`. */
      readonly version: Version
      /** As `PutResult.acks`. */
      readonly acks: number
    }
  | {
      /** It is not, or not for certain. */
      readonly ok: false
      /** With its `outcome`: whether the entry may have been stored all the same. */
      readonly error: KvError
    }

/** What a scan takes. */
export interface ScanOptions {
  /** Only keys that start with this; empty or absent: all keys. At most 1,024 bytes. */
  readonly prefix?: Key | undefined
  /** Leaves the values out: `value` is then '' and `valueBytes` empty. */
  readonly keysOnly?: boolean | undefined
  /** Entries that the cluster sends at a time: 1 to 4,096. A page may have fewer, or none. Default: the node's. */
  readonly pageSize?: number | undefined
  /**
   * Goes on behind the last entry of a page of an earlier scan with the same prefix: that entry's `cursor`. Who wants to be
   * able to stop anywhere takes a smaller `pageSize`, or keeps the last cursor and reads some entries again.
   */
  readonly cursor?: string | undefined
  /** How many replicas of each slot must have said what they hold. Default: the client's. */
  readonly consistency?: Consistency | undefined
  /** How long one page may take, repetitions included, in milliseconds. The time that the caller spends on a page does not count. */
  readonly timeoutMs?: number | undefined
  /** Ends the scan with code `cancelled`, between two entries as well. */
  readonly signal?: AbortSignal | undefined
}

/** One entry of a scan. The text forms are made when they are read, and throw `not-text` where the bytes are not valid UTF-8. */
export interface ScanEntry {
  /** As text. */
  readonly key: string
  /** A copy, for the caller to keep. */
  readonly keyBytes: Uint8Array
  /** As text; '' where values were not asked for. */
  readonly value: string
  /** A copy, for the caller to keep; empty where values were not asked for. */
  readonly valueBytes: Uint8Array
  /** Of the write that stored the value. */
  readonly version: Version
  /** When the value expires, by the cluster's clock; undefined: never. */
  readonly expiresAt: Date | undefined
  /**
   * On the last entry of a page: with this a later scan goes on behind this entry. Undefined on all others: a cursor says
   * how far the cluster has looked, which the page tells once. Undefined on the last entry of the scan, too.
   */
  readonly cursor: string | undefined
}

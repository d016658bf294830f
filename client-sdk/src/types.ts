import type { HandoverStatus, Operator, PlannedChange } from './changes.js'
import type { ClientStats } from './client-stats.js'
import type { Collection } from './collection-types.js'
import type { KvError } from './errors.js'
import type { ConvergenceStatus, HintStatus, StorageStatus } from './node-status.js'
import type { SchemaInput, SchemaOutput, StandardSchemaV1 } from './standard-schema.js'
import type { Codec } from './value-codecs.js'
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
  /** How long the call may take in all, repetitions included, in milliseconds; from 1 to 600,000. */
  readonly timeoutMs?: number | undefined
  /** Ends the call with code `cancelled`; an operation that was not yet sent is never sent. */
  readonly signal?: AbortSignal | undefined
}

export interface ReadOptions extends CallOptions {
  readonly consistency?: Consistency | undefined
}

export interface PutOptions extends CallOptions {
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

export interface DeleteOptions extends CallOptions {
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
  readonly key: K
  readonly version: Version
  /** Undefined: never. */
  readonly expiresAt: Date | undefined
}

export interface PutResult {
  readonly version: Version
  /** How many replicas had the value on disk when the reply left. */
  readonly acks: number
}

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

export interface DeleteResult {
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
  | { readonly key: Key; readonly value: Value; readonly ttlMs?: number | undefined }

/** What became of one entry of `putMany`. */
export type PutOutcome =
  | { readonly ok: true; readonly version: Version; readonly acks: number }
  | { readonly ok: false; readonly error: KvError }

export interface ScanOptions {
  /** Only keys that start with this; empty or absent: all keys. At most 1,024 bytes. */
  readonly prefix?: Key | undefined
  /** Leaves the values out: `value` is then '' and `valueBytes` empty. */
  readonly keysOnly?: boolean | undefined
  /** Entries that the cluster sends at a time; 1 to 4,096. */
  readonly pageSize?: number | undefined
  /** Goes on behind an entry of an earlier scan with the same prefix: that entry's `cursor`. */
  readonly cursor?: string | undefined
  readonly consistency?: Consistency | undefined
  /** How long one page may take, repetitions included, in milliseconds. The time that the caller spends on a page does not count. */
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** One entry of a scan. The text forms are made when they are read, and throw `not-text` where the bytes are not valid UTF-8. */
export interface ScanEntry {
  readonly key: string
  readonly keyBytes: Uint8Array
  readonly value: string
  readonly valueBytes: Uint8Array
  readonly version: Version
  readonly expiresAt: Date | undefined
  /** On the last entry of a page: with this a later scan goes on behind this entry. */
  readonly cursor: string | undefined
}

/** `suspect`: it does not answer, or is not known yet; `dead`: nor did it contradict in time; `left`: it said that it stops. */
export type Liveness = 'alive' | 'suspect' | 'dead' | 'left' | 'unknown'

/**
 * `joining`: owns nothing yet and has no vote; `arrived`: owns slots, and gets its vote next; `serving`: has both;
 * `leaving`: a handover takes its slots; `left`: owns nothing any more, and goes next.
 */
export type MemberState = 'joining' | 'arrived' | 'serving' | 'leaving' | 'left' | 'unknown'

export interface Member {
  readonly id: string
  /** The short number that versions carry; never reused within a cluster. */
  readonly number: number
  /** `host:port` */
  readonly address: string
  /** Empty: none. */
  readonly zone: string
  readonly weight: number
  /** Names one life of the member's data directory. */
  readonly incarnation: string
  readonly state: MemberState
  /** The oldest and the newest feature level that its software goes by. */
  readonly levels: { readonly min: number; readonly max: number }
  /** As the answering node saw it. */
  readonly liveness: Liveness
  /** For how long, as far back as that node has been running. */
  readonly livenessMs: number
}

export interface ReplicationSettings {
  readonly replicationFactor: number
  readonly readQuorum: number
  readonly writeQuorum: number
}

/** The cluster in the eyes of one node. */
export interface ClusterStatus {
  /** Who answered. */
  readonly nodeId: string
  readonly clusterId: string
  readonly epoch: number
  readonly members: readonly Member[]
  readonly replication: ReplicationSettings
  readonly serverVersion: string
  readonly uptimeMs: number
  readonly storage: StorageStatus
  /** Without peers while the node is forming. */
  readonly convergence: ConvergenceStatus
  /** For each member that has missed something since the answering node started, or before and has not got it yet. */
  readonly hints: readonly HintStatus[]
  /** The node waits for the nodes named to it, to found a cluster with them. */
  readonly forming: boolean
  /** How the handover stands that runs; undefined: none does. */
  readonly handover: HandoverStatus | undefined
  /** Changes that wait for the handover before them. */
  readonly planned: readonly PlannedChange[]
  /** The node takes no operations of clients, until it is started again. */
  readonly draining: boolean
  /** What all members go by: see `Operator.raiseLevel`. */
  readonly featureLevel: number
  /** Operations of clients that run at the node. */
  readonly operations: number
}

/** What one member said about itself, or why it did not. */
export type MemberStatus =
  | { readonly ok: true; readonly address: string; readonly id: string; readonly status: ClusterStatus }
  | { readonly ok: false; readonly address: string; readonly id: string; readonly error: KvError }

/** A snapshot of one node's store: what the node reads at its next start, before the rest of its log. */
export interface SnapshotTaken {
  /** Whose it is. */
  readonly nodeId: string
  /** Everything up to this position of the node's log is in it. */
  readonly sequence: number
  /** Tombstones and expired records included. */
  readonly records: number
  /** Size of the file. */
  readonly bytes: number
  /** How long the node took, in milliseconds; 0 where nothing had changed since its newest snapshot. */
  readonly durationMs: number
}

/** What a repair is to make equal; what is left out is all of it. */
export interface RepairOptions extends CallOptions {
  /** One slot, which the node must own. */
  readonly slot?: number | undefined
  /** Only with the member of this id. */
  readonly node?: string | undefined
}

/** How far a repair has come: one node's comparison of its copy with those of other members. */
export interface RepairProgress {
  /** Who compares. */
  readonly nodeId: string
  readonly done: boolean
  /** Members to be compared with, and those with which that is over, whether it got to its end or not. */
  readonly members: number
  readonly membersDone: number
  /** Slots that differed from those of some member, counted once for each, and those of them that have been made equal. */
  readonly slotsDiffering: number
  readonly slotsRepaired: number
  /** Slots that are lost on one side: they are refilled, and not compared. */
  readonly slotsSkipped: number
  /** Records that the node fetched and sent because they were missing or older here or there. */
  readonly recordsPulled: number
  readonly recordsPushed: number
  /** Of these records. */
  readonly bytes: number
  /** Members with which it did not get to its end, and why. */
  readonly obstacles: readonly { readonly nodeId: string; readonly reason: string }[]
}

/** Who belongs to the cluster and who owns which slot. */
export interface ClusterTopology {
  readonly clusterId: string
  readonly epoch: number
  readonly replication: ReplicationSettings
  readonly members: readonly Member[]
  /** How many slots the keys are spread over: a power of two. */
  readonly slots: number
  /** The owners of a slot, 0 to slots - 1, the preferred one first; while a handover runs, those that are read. */
  owners(slot: number): readonly Member[]
  /** How the handover stands that runs; undefined: none does. */
  readonly handover: HandoverStatus | undefined
  /** Changes that wait for the handover before them. */
  readonly planned: readonly PlannedChange[]
  /**
   * While a handover runs, the owners of a slot on its other side: until its step `switch` those to come, then those
   * from before. Nobody while none runs.
   */
  otherOwners(slot: number): readonly Member[]
}

/** Where a key lives. */
export interface Partition<K extends Key = Key> {
  readonly key: K
  /** murmur3_32 of the key's bytes, unsigned. */
  readonly hash: number
  readonly slot: number
  /** The preferred one first. */
  readonly owners: readonly Member[]
}

/**
 * What can be done with a cluster: the methods of `KvClient`. Take this as a parameter where a test will hand in
 * something else.
 *
 * Every method that returns a promise rejects with a `KvError`, never with anything else; and every call ends within its `timeoutMs`.
 */
export interface KvOperations {
  /**
   * Stores a value. Resolves when a quorum (or what `consistency` says) of the key's replicas has it on disk.
   * A put whose connection broke is repeated while its time lasts, so it may take effect twice within its own duration.
   */
  put(key: Key, value: Value, options: PutOptions & { readonly returnPrevious: true }): Promise<PutResultWithPrevious>
  put(key: Key, value: Value, options?: PutOptions): Promise<PutResult>
  /** The value as text; undefined where there is none. Rejects with `not-text` where the value is not valid UTF-8. */
  get(key: Key, options?: ReadOptions): Promise<string | undefined>
  getBytes(key: Key, options?: ReadOptions): Promise<Uint8Array | undefined>
  getEntry<K extends Key>(key: K, options?: ReadOptions): Promise<Entry<K> | undefined>
  delete(key: Key, options?: DeleteOptions): Promise<DeleteResult>
  /**
   * The values of many keys as text, by the key that was given (a Uint8Array is found by the same object). Keys without
   * a value are left out. Rejects when one of the keys cannot be read.
   */
  getMany<K extends Key>(keys: Iterable<K>, options?: ReadOptions): Promise<Map<K, string>>
  getManyEntries<K extends Key>(keys: Iterable<K>, options?: ReadOptions): Promise<Map<K, Entry<K>>>
  /**
   * Stores many entries, each for itself: the outcomes come in the order of the entries. Of two entries with the same
   * key the later one is sent after the earlier one has ended.
   */
  putMany(entries: Iterable<PutEntry>, options?: PutOptions): Promise<PutOutcome[]>
  /**
   * The entries whose keys start with a prefix, in no particular order between pages. Pages are fetched as they are
   * consumed; where a connection breaks, the scan goes on with another node. What is written meanwhile may or may not be seen.
   */
  scan(options?: ScanOptions): AsyncIterable<ScanEntry>
  /**
   * The keys that start with a prefix, with values of one type: `text`, `bytes`, `json<T>()`, any Standard Schema (zod,
   * valibot, arktype, …: JSON that is checked when it is written and when it is read), or a codec of your own. Asks the
   * cluster nothing. Throws `invalid-argument`, and does not reject.
   */
  collection<S extends StandardSchemaV1>(prefix: Key, schema: S): Collection<SchemaInput<S>, SchemaOutput<S>>
  collection<Input, Output>(prefix: Key, codec: Codec<Input, Output>): Collection<Input, Output>
  /** The cluster in the eyes of one node: of `endpoint`, or of any that answers. */
  status(endpoint?: string, options?: CallOptions): Promise<ClusterStatus>
  /** Asks every member. Rejects only where no topology can be had. */
  statusAll(options?: CallOptions): Promise<MemberStatus[]>
  /**
   * Lets one node take a snapshot: the one at `endpoint` (a member's address will do), or any that answers. Where the
   * node is taking one already, it is that one; where nothing has changed since its newest, that. It may take minutes:
   * allow for it with `timeoutMs`. A node goes on with its snapshot when the call is over. Rejects with `read-only`
   * where the node's disk has no room for it.
   */
  snapshot(endpoint?: string, options?: CallOptions): Promise<SnapshotTaken>
  /**
   * Lets one node compare its copy with those of the other members, and make them equal: the one at `endpoint` (a
   * member's address will do), or any that answers. Nodes do so every few seconds in any case; this begins at once, and
   * tells how far it has come until it is done. `timeoutMs` is for each answer and not for the whole. The node goes on
   * when nobody listens any more. Fails with `invalid-argument` where the node does not own the slot.
   */
  repair(endpoint?: string, options?: RepairOptions): AsyncIterable<RepairProgress>
  /** Changes of who owns what, and nodes that go down. */
  readonly operator: Operator
  /** The present topology, asked for anew. */
  topology(options?: CallOptions): Promise<ClusterTopology>
  /** Where a key lives, by the present topology. */
  partition<K extends Key>(key: K, options?: CallOptions): Promise<Partition<K>>
  /** Waits until the topology is known and a majority of the members answers. */
  ready(options?: CallOptions): Promise<void>
  /**
   * Ends all connections; what is still running is rejected with `closed`, and so is every later call.
   * Afterwards nothing of the client keeps the process alive. May be called again.
   */
  close(): Promise<void>
  stats(): ClientStats
}

import type { ClientStats } from './client-stats.js'
import type { Collection } from './collection/collection-types.js'
import type { SchemaInput, SchemaOutput, StandardSchemaV1 } from './collection/standard-schema.js'
import type { Codec } from './collection/value-codecs.js'
import type { Operator } from './operator/changes.js'
import type {
  ClusterStatus,
  ClusterTopology,
  MemberStatus,
  Partition,
  RepairOptions,
  RepairProgress,
  SnapshotTaken,
} from './operator/cluster-types.js'
import type {
  CallOptions,
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
} from './types.js'

/**
 * What can be done with a cluster: the methods of `KvClient`. Take this as a parameter where a test will hand in
 * something else.
 *
 * Every method that returns a promise rejects with a `KvError`, never with anything else; and every call ends within its
 * `timeoutMs`.
 */
export interface KvOperations {
  /** As the other one, and tells what the value has replaced. */
  put(key: Key, value: Value, options: PutOptions & { readonly returnPrevious: true }): Promise<PutResultWithPrevious>
  /**
   * Stores a value. Resolves when a quorum (or what `consistency` says) of the key's replicas has it on disk.
   * A put whose connection broke is repeated while its time lasts, so it may take effect twice within its own duration.
   */
  put(key: Key, value: Value, options?: PutOptions): Promise<PutResult>
  /** The value as text; undefined where there is none. Rejects with `not-text` where the value is not valid UTF-8. */
  get(key: Key, options?: ReadOptions): Promise<string | undefined>
  /** The value as bytes, for the caller to keep; undefined where there is none. */
  getBytes(key: Key, options?: ReadOptions): Promise<Uint8Array | undefined>
  /** The value with its version and the time at which it expires; undefined where there is none. */
  getEntry<K extends Key>(key: K, options?: ReadOptions): Promise<Entry<K> | undefined>
  /**
   * Removes a value. Resolves when a quorum (or what `consistency` says) of the key's replicas has the deletion on disk.
   * It is no error where there was none. A delete whose connection broke is repeated while its time lasts.
   */
  delete(key: Key, options?: DeleteOptions): Promise<DeleteResult>
  /**
   * The values of many keys as text, by the key that was given (a Uint8Array is found by the same object). Keys without
   * a value are left out. All leave in one round, straight to their owners, up to 1,024 at a time. Rejects when one of
   * the keys cannot be read: who wants the others nevertheless takes `Promise.allSettled` with a `get` for each, which
   * leave in the same messages.
   */
  getMany<K extends Key>(keys: Iterable<K>, options?: ReadOptions): Promise<Map<K, string>>
  /** As `getMany`, with the entries: for values that are bytes, and for versions. */
  getManyEntries<K extends Key>(keys: Iterable<K>, options?: ReadOptions): Promise<Map<K, Entry<K>>>
  /**
   * Stores many entries, each for itself: the outcomes come in the order of the entries. It rejects only where `entries`
   * is no list of any kind. Of two entries with the same
   * key the later one is sent after the earlier one has ended.
   */
  putMany(entries: Iterable<PutEntry>, options?: PutOptions): Promise<PutOutcome[]>
  /**
   * The entries whose keys start with a prefix, in no particular order between pages. Pages are fetched as they are
   * consumed; where a connection breaks, the scan goes on with another node. What is written meanwhile may or
   * may not be seen; no key comes twice, whatever moves meanwhile. Leaving the loop ends the call at the node.
   */
  scan(options?: ScanOptions): AsyncIterable<ScanEntry>
  /**
   * The keys that start with a prefix, with values of one type: `text`, `bytes`, `json<T>()`, any Standard Schema (zod,
   * valibot, arktype, …: JSON that is checked when it is written and when it is read), or a codec of your own. Asks the
   * cluster nothing. Throws `invalid-argument`, and does not reject.
   */
  collection<S extends StandardSchemaV1>(prefix: Key, schema: S): Collection<SchemaInput<S>, SchemaOutput<S>>
  /** As the other one, with a codec. */
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
  /** What the client has done and is doing, now. */
  stats(): ClientStats
}

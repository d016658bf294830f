import type { KvError } from '../errors.js'
import type {
  DeleteOptions,
  DeleteResult,
  Key,
  PutOptions,
  PutOutcome,
  PutResult,
  ReadOptions,
  ScanOptions,
} from '../types.js'
import type { Version } from '../version.js'
import type { SchemaInput, SchemaOutput, StandardSchemaV1 } from './standard-schema.js'
import type { Codec } from './value-codecs.js'

/** A value of a collection, with what is known about it. `key` is without the prefix, in the form in which it was asked for. */
export interface CollectionEntry<Output, K extends Key = Key> {
  /** As it was given. */
  readonly key: K
  /** As the codec has made it. */
  readonly value: Output
  /** Of the write that stored the value. */
  readonly version: Version
  /** When the value expires, by the cluster's clock; undefined: never. */
  readonly expiresAt: Date | undefined
}

/** An entry for a collection's `putMany`: the key without the prefix, the value, and optionally a time to live for it alone. */
export type CollectionPutEntry<Input> =
  | readonly [key: Key, value: Input]
  | {
      /** Without the prefix. */
      readonly key: Key
      /** What is stored, once the codec has taken it. */
      readonly value: Input
      /** As `PutOptions.ttlMs`, which holds where this is absent. */
      readonly ttlMs?: number | undefined
    }

/** What a put into a collection takes. What was replaced is told by the client's own `put` alone, as bytes. */
export type CollectionPutOptions = Omit<PutOptions, 'returnPrevious'>

/** What a scan of a collection takes. */
export interface CollectionScanOptions extends ScanOptions {
  /** Only keys that start with this behind the collection's own prefix. */
  readonly prefix?: Key | undefined
  /**
   * Called for each value that does not fit the codec (`not-valid`, `not-text`), whose entry is then left out. Absent:
   * the first such value ends the scan with its error. An entry that is left out takes the cursor of its page with it,
   * where it had one: the next one comes with a later page.
   */
  readonly onMisfit?: ((error: KvError, keyBytes: Uint8Array) => void) | undefined
}

/** One entry of a scan of a collection. */
export interface CollectionScanEntry<Output> {
  /** Without the prefix. Made when it is read; throws `not-text` where the bytes are not valid UTF-8. */
  readonly key: string
  /** Without the prefix. */
  readonly keyBytes: Uint8Array
  /** As the codec has made it; undefined where values were not asked for. */
  readonly value: Output
  /** Of the write that stored the value. */
  readonly version: Version
  /** When the value expires, by the cluster's clock; undefined: never. */
  readonly expiresAt: Date | undefined
  /** On the last entry of a page: with this a later scan of the same prefix goes on behind this entry. */
  readonly cursor: string | undefined
}

/**
 * The keys that start with a prefix, seen without it, and their values as a codec makes them. A view: it holds nothing,
 * and several of one prefix do no harm.
 *
 * A value that does not fit is a `KvError`: `invalid-argument` when writing, where nothing is then written, and
 * `not-valid` when reading. Its `field` names the place in the value, `value.address.street` for instance, and its
 * `cause` is what the codec threw, a `SchemaError` with all issues where it is a schema.
 */
export interface Collection<Input, Output = Input> {
  /** The whole prefix, with those of the collections around this one: text if all of them are. */
  readonly prefix: Key
  /** The value; undefined where there is none. */
  get(key: Key, options?: ReadOptions): Promise<Output | undefined>
  /** The value with its version and expiry; undefined where there is none. */
  getEntry<K extends Key>(key: K, options?: ReadOptions): Promise<CollectionEntry<Output, K> | undefined>
  /** Stores a value: see `KvOperations.put`. */
  put(key: Key, value: Input, options?: CollectionPutOptions): Promise<PutResult>
  /** Removes a value: see `KvOperations.delete`. */
  delete(key: Key, options?: DeleteOptions): Promise<DeleteResult>
  /**
   * The values of many keys, by the key that was given. Keys without a value are left out. Rejects when one of the
   * keys cannot be read, or has a value that does not fit.
   */
  getMany<K extends Key>(keys: Iterable<K>, options?: ReadOptions): Promise<Map<K, Output>>
  /** Stores many entries, each for itself: one whose value does not fit fails alone. The outcomes come in their order. */
  putMany(entries: Iterable<CollectionPutEntry<Input>>, options?: CollectionPutOptions): Promise<PutOutcome[]>
  /** The entries, in no particular order between pages: see `KvOperations.scan`. Without values where `keysOnly` says so. */
  scan(options: CollectionScanOptions & { readonly keysOnly: true }): AsyncIterable<CollectionScanEntry<undefined>>
  /** The entries with their values. */
  scan(
    options?: CollectionScanOptions & { readonly keysOnly?: false | undefined },
  ): AsyncIterable<CollectionScanEntry<Output>>
  /** With or without values, as `keysOnly` turns out. */
  scan(options: CollectionScanOptions): AsyncIterable<CollectionScanEntry<Output | undefined>>
  /** A collection within this one: its keys start with both prefixes. With the same codec, unless another is given. */
  collection(prefix: Key): Collection<Input, Output>
  /** The same with a schema. */
  collection<S extends StandardSchemaV1>(prefix: Key, schema: S): Collection<SchemaInput<S>, SchemaOutput<S>>
  /** The same with a codec. */
  collection<I, O>(prefix: Key, codec: Codec<I, O>): Collection<I, O>
}

import { isUtf8 } from 'node:buffer'
import { asKvError, invalidArgument, KvError } from '../errors.js'
import { itemsOf, wantedPut } from '../many.js'
import type { KvOperations } from '../operations.js'
import type {
  DeleteOptions,
  DeleteResult,
  Key,
  PutEntry,
  PutOutcome,
  PutResult,
  ReadOptions,
  ScanEntry,
  Value,
} from '../types.js'
import type { Version } from '../version.js'
import { ownBytes, prefixBytes, textOf } from './codec.js'
import type {
  Collection,
  CollectionEntry,
  CollectionPutEntry,
  CollectionPutOptions,
  CollectionScanEntry,
  CollectionScanOptions,
} from './collection-types.js'
import type { SchemaInput, SchemaOutput, StandardSchemaV1 } from './standard-schema.js'
import { type Codec, codecOf, notValid } from './value-codecs.js'

/** The methods of a client that a collection stands on. */
export type CollectionStore = Pick<KvOperations, 'getEntry' | 'getManyEntries' | 'put' | 'putMany' | 'delete' | 'scan'>

/**
 * A collection on anything that has a client's methods: what `KvClient.collection` does, for a stand-in in a test.
 * Throws `invalid-argument` naming `prefix` or `codec`.
 */
export function collectionOn<S extends StandardSchemaV1>(
  store: CollectionStore,
  prefix: Key,
  schema: S,
): Collection<SchemaInput<S>, SchemaOutput<S>>
export function collectionOn<Input, Output>(
  store: CollectionStore,
  prefix: Key,
  codec: Codec<Input, Output>,
): Collection<Input, Output>
export function collectionOn<Input, Output>(
  store: CollectionStore,
  prefix: Key,
  codec: Codec<Input, Output>,
): Collection<Input, Output> {
  return new PrefixCollection(store, prefix, codec)
}

export class PrefixCollection<Input, Output> implements Collection<Input, Output> {
  readonly prefix: Key
  private readonly store: CollectionStore
  private readonly codec: Codec<Input, Output>
  private readonly prefixLength: number

  /** Throws `invalid-argument` naming `prefix` or `codec`. */
  constructor(store: CollectionStore, prefix: Key, codec: Codec<Input, Output> | StandardSchemaV1<Input, Output>) {
    const bytes = prefixBytes(prefix)
    this.store = store
    this.prefix = typeof prefix === 'string' ? prefix : ownBytes(bytes)
    this.prefixLength = bytes.length
    this.codec = codecOf(codec) as Codec<Input, Output>
  }

  async get(key: Key, options: ReadOptions = {}): Promise<Output | undefined> {
    const entry = await this.store.getEntry(this.full(key), options)
    return entry === undefined ? undefined : await this.decode(entry.value, key)
  }

  async getEntry<K extends Key>(key: K, options: ReadOptions = {}): Promise<CollectionEntry<Output, K> | undefined> {
    const entry = await this.store.getEntry(this.full(key), options)
    if (entry === undefined) return undefined
    const { version, expiresAt } = entry
    return { key, value: await this.decode(entry.value, key), version, expiresAt }
  }

  async put(key: Key, value: Input, options: CollectionPutOptions = {}): Promise<PutResult> {
    const full = this.full(key)
    return await this.store.put(full, await this.encode(value), options)
  }

  async delete(key: Key, options: DeleteOptions = {}): Promise<DeleteResult> {
    return await this.store.delete(this.full(key), options)
  }

  async getMany<K extends Key>(keys: Iterable<K>, options: ReadOptions = {}): Promise<Map<K, Output>> {
    const distinct = [...new Set(itemsOf(keys, 'keys'))]
    const full = distinct.map((key) => this.full(key))
    const entries = await this.store.getManyEntries(full, options)
    const values = new Map<K, Output>()
    for (const [index, key] of distinct.entries()) {
      const entry = entries.get(full[index]!)
      if (entry !== undefined) values.set(key, await this.decode(entry.value, key))
    }
    return values
  }

  async putMany(
    entries: Iterable<CollectionPutEntry<Input>>,
    options: CollectionPutOptions = {},
  ): Promise<PutOutcome[]> {
    const outcomes: PutOutcome[] = []
    const fitting: PutEntry[] = []
    const places: number[] = []
    for (const [index, entry] of itemsOf(entries, 'entries').entries()) {
      try {
        const { key, value, ttlMs } = wantedPut(entry)
        fitting.push({ key: this.full(key), value: await this.encode(value), ttlMs })
        places.push(index)
      } catch (error) {
        outcomes[index] = { ok: false, error: asKvError(error) }
      }
    }
    const put = await this.store.putMany(fitting, options)
    for (const [i, place] of places.entries()) outcomes[place] = put[i]!
    return outcomes
  }

  scan(options: CollectionScanOptions & { readonly keysOnly: true }): AsyncIterable<CollectionScanEntry<undefined>>
  scan(
    options?: CollectionScanOptions & { readonly keysOnly?: false | undefined },
  ): AsyncIterable<CollectionScanEntry<Output>>
  scan(options: CollectionScanOptions = {}): AsyncIterable<CollectionScanEntry<Output | undefined>> {
    return { [Symbol.asyncIterator]: () => this.entries(options) }
  }

  collection<I, O>(prefix: Key, codec?: Codec<I, O> | StandardSchemaV1<I, O>): PrefixCollection<I, O> {
    const inherited = this.codec as Codec<unknown, unknown> as Codec<I, O>
    return new PrefixCollection(this.store, joined(this.prefix, prefix, 'prefix'), codec ?? inherited)
  }

  private async *entries(options: CollectionScanOptions): AsyncGenerator<CollectionScanEntry<Output | undefined>> {
    const { onMisfit, ...rest } = options
    if (onMisfit !== undefined && typeof onMisfit !== 'function') {
      throw invalidArgument('onMisfit', 'must be a function')
    }
    const prefix = joined(this.prefix, options.prefix ?? '', 'prefix')
    for await (const entry of this.store.scan({ ...rest, prefix })) {
      const keyBytes = entry.keyBytes.subarray(this.prefixLength)
      if (options.keysOnly === true) {
        yield new CollectedEntry(entry, keyBytes, undefined)
        continue
      }
      let value: Output
      try {
        value = await this.decode(entry.valueBytes, keyBytes)
      } catch (error) {
        if (onMisfit === undefined) throw error
        onMisfit(asKvError(error), keyBytes)
        continue
      }
      yield new CollectedEntry(entry, keyBytes, value)
    }
  }

  private full(key: Key): Key {
    return joined(this.prefix, key, 'key')
  }

  private async encode(value: Input): Promise<Value> {
    try {
      return await this.codec.encode(value)
    } catch (error) {
      if (error instanceof KvError && error.code === 'invalid-argument') throw error
      throw invalidArgument('value', `the codec refused it: ${asKvError(error).message}`, error)
    }
  }

  /** The key is told, because one of many may be meant. */
  private async decode(stored: Uint8Array, key: Key): Promise<Output> {
    try {
      return await this.codec.decode(stored)
    } catch (error) {
      const known = error instanceof KvError && (error.code === 'not-valid' || error.code === 'not-text')
      const failure = known ? error : notValid(`the codec refused it: ${asKvError(error).message}`, error)
      const { code, field, cause } = failure
      throw new KvError(code, `${shown(joined(this.prefix, key, 'key'))}: ${failure.message}`, { field, cause })
    }
  }
}

class CollectedEntry<Output> implements CollectionScanEntry<Output> {
  readonly keyBytes: Uint8Array
  readonly value: Output
  readonly version: Version
  readonly expiresAt: Date | undefined
  readonly cursor: string | undefined

  constructor(entry: ScanEntry, keyBytes: Uint8Array, value: Output) {
    this.keyBytes = keyBytes
    this.value = value
    this.version = entry.version
    this.expiresAt = entry.expiresAt
    this.cursor = entry.cursor
  }

  get key(): string {
    return textOf(bufferOf(this.keyBytes), 'key')
  }
}

/** Text and text is text; where either is bytes, bytes. The prefix is well formed: it makes no text of half a character. */
function joined(prefix: Key, key: Key, field: string): Key {
  if (typeof key !== 'string' && !(key instanceof Uint8Array)) {
    throw invalidArgument(field, `must be a string or a Uint8Array, got ${key === null ? 'null' : typeof key}`)
  }
  if (typeof prefix === 'string' && typeof key === 'string') return prefix + key
  return Buffer.concat([bytesOf(prefix), prefixBytes(key, field)])
}

function bytesOf(key: Key): Uint8Array {
  return typeof key === 'string' ? Buffer.from(key, 'utf8') : key
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function shown(key: Key): string {
  if (typeof key === 'string') return JSON.stringify(key)
  const bytes = bufferOf(key)
  return isUtf8(bytes) ? JSON.stringify(bytes.toString('utf8')) : `key 0x${bytes.toString('hex')}`
}

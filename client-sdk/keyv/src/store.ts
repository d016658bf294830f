import { EventEmitter } from 'node:events'
import { KvClient, type KvClientOptions, KvError } from '@quorumkv/client'

/** Keys that `clear` deletes, and a call for many asks for, at a time. */
const batchMax = 256
/** What a put takes for `ttlMs` at most; whatever lives longer does not expire. */
const ttlMsMax = 3_153_600_000_000

/** A client, which stays yours to close, or what one is made of; that one is closed by `disconnect`. */
export type KeyvQuorumKvSource = KvClient | KvClientOptions | string | readonly string[]

/** What may be said about a store. */
export interface KeyvQuorumKvOptions {
  /** Stands before every key in the cluster, so that other users of it are not in the way: `'cache:'`. Default: nothing. */
  readonly prefix?: string | undefined
}

/** What Keyv reads of a store. */
interface StoreOptions extends KeyvQuorumKvOptions {
  readonly url: string
  readonly dialect: string
  /** Keyv and its plugins leave more here. */
  [name: string]: unknown
}

/** An entry of `setMany`, as Keyv makes it. */
export interface SerializedEntry {
  readonly key: string
  readonly value: unknown
  readonly ttl?: number | undefined
}

/**
 * A store for Keyv: `new Keyv({ store: new KeyvQuorumKv('kv://localhost:50051') })`. Keyv puts its namespace before every key, and
 * the cluster lets entries expire by itself. Keys with prefix and namespace are 1,024 bytes of UTF-8 at most, values 1 MiB.
 *
 * Methods reject with the client's KvError. Keyv turns that into an `error` event, but for `get`, where it would go unseen:
 * there the store emits it.
 */
export class KeyvQuorumKv extends EventEmitter {
  /** For Keyv. */
  readonly opts: StoreOptions
  /** Set by Keyv: what `clear` and `iterator` go by. */
  namespace: string | undefined
  readonly #client: KvClient
  readonly #ownsClient: boolean
  readonly #prefix: string

  /** Throws KvError `invalid-argument` as the constructor of KvClient does. */
  constructor(source: KeyvQuorumKvSource, options: KeyvQuorumKvOptions = {}) {
    super()
    this.#ownsClient = !(source instanceof KvClient)
    this.#client = source instanceof KvClient ? source : new KvClient(source as KvClientOptions)
    this.#prefix = options.prefix ?? ''
    // Keyv iterates only over stores that name one of the databases that it knows.
    this.opts = { ...options, url: 'kv://', dialect: 'etcd' }
  }

  /** The client behind it, for what Keyv has no words for. */
  get client(): KvClient {
    return this.#client
  }

  /** The value as Keyv has serialized it; undefined: there is none. */
  async get<Value>(key: string): Promise<Value | undefined> {
    try {
      return (await this.#client.get(this.#prefix + key)) as Value | undefined
    } catch (error) {
      if (this.listenerCount('error') > 0) this.emit('error', error)
      throw error
    }
  }

  /** The values in the order of the keys. */
  async getMany<Value>(keys: readonly string[]): Promise<(Value | undefined)[]> {
    const stored = keys.map((key) => this.#prefix + key)
    const found = await this.#client.getMany(stored)
    return stored.map((key) => found.get(key) as Value | undefined)
  }

  /** `ttl` in milliseconds; undefined: it never expires. The value must be a string, which is what Keyv's serializers make. */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    await this.#client.put(this.#prefix + key, textOf(value), { ttlMs: ttlMsOf(ttl) })
    return true
  }

  /** For each entry whether it was stored; the first failure is emitted as `error` too, where anybody listens. */
  async setMany(entries: readonly SerializedEntry[]): Promise<boolean[]> {
    const outcomes = await this.#client.putMany(
      entries.map(({ key, value, ttl }) => ({
        key: this.#prefix + key,
        value: textOf(value),
        ttlMs: ttlMsOf(ttl),
      })),
    )
    const failed = outcomes.find((outcome) => !outcome.ok)
    if (failed !== undefined && !failed.ok && this.listenerCount('error') > 0) this.emit('error', failed.error)
    return outcomes.map(({ ok }) => ok)
  }

  /** Whether there was one; also true in the rare case that nobody knows (see `DeleteResult.existed`). */
  async delete(key: string): Promise<boolean> {
    const { existed } = await this.#client.delete(this.#prefix + key)
    return existed !== false
  }

  /** Whether all of them were there. */
  async deleteMany(keys: readonly string[]): Promise<boolean> {
    let all = true
    for (let from = 0; from < keys.length; from += batchMax) {
      const existed = await Promise.all(keys.slice(from, from + batchMax).map((key) => this.delete(key)))
      all &&= existed.every(Boolean)
    }
    return all
  }

  async has(key: string): Promise<boolean> {
    return (await this.#client.getEntry(this.#prefix + key)) !== undefined
  }

  async hasMany(keys: readonly string[]): Promise<boolean[]> {
    const stored = keys.map((key) => this.#prefix + key)
    const found = await this.#client.getManyEntries(stored)
    return stored.map((key) => found.has(key))
  }

  /**
   * Deletes what the namespace holds, in batches; what is stored meanwhile may stay. Rejects with KvError `invalid-argument` where
   * there is neither a namespace nor a prefix: that would delete everything in the cluster.
   */
  async clear(): Promise<void> {
    const within = this.#within(this.namespace)
    if (within === '') {
      throw new KvError(
        'invalid-argument',
        'namespace: without one, and without a prefix, clear would empty the cluster',
        {
          field: 'namespace',
          outcome: 'not-applied',
        },
      )
    }
    let batch: Uint8Array[] = []
    const drop = async (): Promise<void> => {
      const keys = batch
      batch = []
      await Promise.all(keys.map((key) => this.#client.delete(key)))
    }
    // As bytes: whoever writes past Keyv may have stored keys that are no text.
    for await (const { keyBytes } of this.#client.scan({ prefix: within, keysOnly: true })) {
      batch.push(keyBytes)
      if (batch.length === batchMax) await drop()
    }
    await drop()
  }

  /** Keys (with their namespace) and values of a namespace. What is stored meanwhile may be missing. */
  async *iterator<Value>(namespace: string | undefined = this.namespace): AsyncGenerator<[string, Value], void> {
    for await (const { key, value } of this.#client.scan({ prefix: this.#within(namespace) })) {
      yield [key.slice(this.#prefix.length), value as Value]
    }
  }

  /** Closes the client, unless it was given. */
  async disconnect(): Promise<void> {
    if (this.#ownsClient) await this.#client.close()
  }

  /** What all keys of a namespace begin with. */
  #within(namespace: string | undefined): string {
    return this.#prefix + (namespace === undefined || namespace === '' ? '' : `${namespace}:`)
  }
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  throw new KvError('invalid-argument', `value: must be serialized to a string, got ${typeof value}`, {
    field: 'value',
    outcome: 'not-applied',
  })
}

/** Keyv takes any number. One that is past already still has to take the place of what was stored before. */
function ttlMsOf(ttl: number | undefined): number | undefined {
  if (ttl === undefined || ttl > ttlMsMax) return undefined
  return Math.max(1, Math.ceil(ttl))
}

import type { ClientEventName, ClientListener } from './client-events.js'
import type { KvClientOptions } from './client-options.js'
import type { ClientStats } from './client-stats.js'
import { expiryOf, ownBytes, StoredValue, textOf } from './collection/codec.js'
import { PrefixCollection } from './collection/collection.js'
import type { Collection } from './collection/collection-types.js'
import type { SchemaInput, SchemaOutput, StandardSchemaV1 } from './collection/standard-schema.js'
import type { Codec } from './collection/value-codecs.js'
import { asKvError } from './errors.js'
import { readMany, writeMany } from './many.js'
import type { KvOperations } from './operations.js'
import type { Operator } from './operator/changes.js'
import { ClusterCalls } from './operator/cluster.js'
import type {
  ClusterStatus,
  ClusterTopology,
  MemberStatus,
  Partition,
  RepairOptions,
  RepairProgress,
  SnapshotTaken,
} from './operator/cluster-types.js'
import { OperatorCalls } from './operator/operator.js'
import { resolveOptions } from './options.js'
import { deleteOperation, getOperation, putOperation } from './requests.js'
import { planScan, scanEntries } from './scan.js'
import { Dispatcher } from './session/dispatcher.js'
import type { Operation, OperationKind } from './session/operation.js'
import type { Reply } from './session/wire-reader.js'
import { type BatchTrace, commandChannel, inBatch, TracedOperation } from './tracing.js'
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
import { Version } from './version.js'

/**
 * A client of a QuorumKV cluster. It learns the members from any of its endpoints, sends each operation straight to a
 * node that owns the key, many operations to a message, and goes on with another node when one fails.
 *
 * ```ts
 * await using client = new KvClient({ endpoints: ['localhost:50051'] })
 * await client.put('user:1', 'Ada', { ttlMs: 60_000 })
 * await client.get('user:1') // 'Ada'
 * ```
 *
 * Nothing is connected before the first call. An open client keeps the process alive once it is connected: close it.
 */
export class KvClient implements KvOperations, AsyncDisposable {
  private readonly dispatcher: Dispatcher
  private readonly cluster: ClusterCalls
  readonly operator: Operator

  /**
   * @param options - options, a list of endpoints, or a URL such as `kv://host:50051,host:50052?tls=1&consistency=quorum`.
   * Its parameters are the options of the same names: `consistency`, `timeoutMs`, `connectTimeoutMs`, `maxInFlight`,
   * `maxInFlightBytes`, `zone`, `tokenFile`; `insecure=1`; `failWhenRefused=1`; `addressMap=10.0.0.1:50051=localhost:7001,…`; and for TLS `tls=1`,
   * `tlsCa=FILE`, `tlsCert=FILE`, `tlsKey=FILE`.
   * @throws KvError `invalid-argument`, with the option as `field`
   */
  constructor(options: KvClientOptions | string | readonly string[]) {
    this.dispatcher = new Dispatcher(resolveOptions(options), this)
    this.cluster = new ClusterCalls(this.dispatcher)
    this.operator = new OperatorCalls(this.cluster)
  }

  put(key: Key, value: Value, options: PutOptions & { readonly returnPrevious: true }): Promise<PutResultWithPrevious>
  put(key: Key, value: Value, options?: PutOptions): Promise<PutResult>
  put(key: Key, value: Value, options: PutOptions = {}): Promise<PutResult | PutResultWithPrevious> {
    return this.write(key, value, options, undefined)
  }

  get(key: Key, options: ReadOptions = {}): Promise<string | undefined> {
    return this.read(key, options, textResult, undefined)
  }

  getBytes(key: Key, options: ReadOptions = {}): Promise<Uint8Array | undefined> {
    return this.read(key, options, bytesResult, undefined)
  }

  getEntry<K extends Key>(key: K, options: ReadOptions = {}): Promise<Entry<K> | undefined> {
    return this.read(key, options, entryResult(key), undefined)
  }

  delete(key: Key, options: DeleteOptions = {}): Promise<DeleteResult> {
    const make = (): Operation => deleteOperation(key, options, this.dispatcher.config)
    return this.run('delete', key, make, options, deleteResult, undefined)
  }

  getMany<K extends Key>(keys: Iterable<K>, options: ReadOptions = {}): Promise<Map<K, string>> {
    const { maxInFlight } = this.dispatcher.config
    return inBatch(this, 'getMany', keys, (batch) =>
      readMany(keys, maxInFlight, (key) => this.read(key, options, textResult, batch)),
    )
  }

  getManyEntries<K extends Key>(keys: Iterable<K>, options: ReadOptions = {}): Promise<Map<K, Entry<K>>> {
    const { maxInFlight } = this.dispatcher.config
    return inBatch(this, 'getMany', keys, (batch) =>
      readMany(keys, maxInFlight, (key) => this.read(key, options, entryResult(key), batch)),
    )
  }

  putMany(entries: Iterable<PutEntry>, options: PutOptions = {}): Promise<PutOutcome[]> {
    const { maxInFlight, maxInFlightBytes } = this.dispatcher.config
    return inBatch(this, 'putMany', entries, (batch) =>
      writeMany(entries, maxInFlight, maxInFlightBytes, ({ key, value, ttlMs }) =>
        this.write(key, value, ttlMs === undefined ? options : { ...options, ttlMs }, batch),
      ),
    )
  }

  scan(options: ScanOptions = {}): AsyncIterable<ScanEntry> {
    const { dispatcher } = this
    return { [Symbol.asyncIterator]: () => scanEntries(() => planScan(options, dispatcher), dispatcher) }
  }

  collection<S extends StandardSchemaV1>(prefix: Key, schema: S): Collection<SchemaInput<S>, SchemaOutput<S>>
  collection<Input, Output>(prefix: Key, codec: Codec<Input, Output>): Collection<Input, Output>
  collection<Input, Output>(prefix: Key, codec: Codec<Input, Output>): Collection<Input, Output> {
    return new PrefixCollection(this, prefix, codec)
  }

  async status(endpoint?: string, options: CallOptions = {}): Promise<ClusterStatus> {
    return await this.cluster.status(endpoint, options)
  }

  async statusAll(options: CallOptions = {}): Promise<MemberStatus[]> {
    return await this.cluster.statusAll(options)
  }

  async snapshot(endpoint?: string, options: CallOptions = {}): Promise<SnapshotTaken> {
    return await this.cluster.snapshot(endpoint, options)
  }

  repair(endpoint?: string, options: RepairOptions = {}): AsyncIterable<RepairProgress> {
    return { [Symbol.asyncIterator]: () => this.cluster.repair(endpoint, options) }
  }

  async topology(options: CallOptions = {}): Promise<ClusterTopology> {
    return await this.cluster.topology(options)
  }

  async partition<K extends Key>(key: K, options: CallOptions = {}): Promise<Partition<K>> {
    return await this.cluster.partition(key, options)
  }

  async ready(options: CallOptions = {}): Promise<void> {
    await this.cluster.ready(options)
  }

  async close(): Promise<void> {
    this.dispatcher.close()
  }

  /** `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /**
   * Calls a listener whenever something happens: `nodeUp`, `nodeDown` or `topology`. Never while other code of the caller
   * runs. There is no event `error`: failures are what calls reject with.
   */
  on<E extends ClientEventName>(event: E, listener: ClientListener<E>): this {
    this.dispatcher.events.on(event, listener)
    return this
  }

  /** As `on`, for the next time only. */
  once<E extends ClientEventName>(event: E, listener: ClientListener<E>): this {
    this.dispatcher.events.once(event, listener)
    return this
  }

  /** Takes a listener back; one that is not there is no error. */
  off<E extends ClientEventName>(event: E, listener: ClientListener<E>): this {
    this.dispatcher.events.off(event, listener)
    return this
  }

  stats(): ClientStats {
    return this.dispatcher.stats()
  }

  private read<T>(
    key: Key,
    options: ReadOptions,
    accept: (reply: Reply) => T,
    batch: BatchTrace | undefined,
  ): Promise<T> {
    return this.run('get', key, () => getOperation(key, options, this.dispatcher.config), options, accept, batch)
  }

  private write(key: Key, value: Value, options: PutOptions, batch: BatchTrace | undefined): Promise<PutResult> {
    const make = (): Operation => putOperation(key, value, options, this.dispatcher.config)
    const accept: (reply: Reply) => PutResult = options.returnPrevious === true ? putResultWithPrevious : putResult
    return this.run('put', key, make, options, accept, batch)
  }

  private run<T>(
    kind: OperationKind,
    key: Key,
    make: () => Operation,
    options: CallOptions,
    accept: (reply: Reply, operation: Operation) => T,
    batch: BatchTrace | undefined,
  ): Promise<T> {
    if (!commandChannel.hasSubscribers) return this.execute(make, options, accept)
    const trace = new TracedOperation(this, kind, key, batch)
    return commandChannel.tracePromise(() => this.execute(() => trace.follow(make()), options, accept), trace)
  }

  /** What is wrong with the arguments rejects, like every other failure. */
  private execute<T>(
    make: () => Operation,
    options: CallOptions,
    accept: (reply: Reply, operation: Operation) => T,
  ): Promise<T> {
    try {
      return this.dispatcher.execute(make(), options.signal, accept)
    } catch (error) {
      return Promise.reject(asKvError(error))
    }
  }
}

class StoredEntry<K extends Key> extends StoredValue implements Entry<K> {
  readonly key: K
  readonly version: Version
  readonly expiresAt: Date | undefined

  constructor(key: K, reply: Reply) {
    super(ownBytes(reply.bytes, reply.start, reply.end))
    this.key = key
    this.version = versionOf(reply)
    this.expiresAt = expiryOf(reply.expiresAtMs)
  }
}

function entryResult<K extends Key>(key: K): (reply: Reply) => Entry<K> | undefined {
  return (reply) => (reply.present ? new StoredEntry(key, reply) : undefined)
}

function versionOf(reply: Reply): Version {
  return new Version(reply.hlcHi, reply.hlcLo, reply.node)
}

function textResult(reply: Reply): string | undefined {
  return reply.present ? textOf(reply.bytes, 'value', reply.start, reply.end) : undefined
}

function bytesResult(reply: Reply): Uint8Array | undefined {
  return reply.present ? ownBytes(reply.bytes, reply.start, reply.end) : undefined
}

function putResult(reply: Reply): PutResult {
  return { version: versionOf(reply), acks: reply.acks }
}

function putResultWithPrevious(reply: Reply): PutResultWithPrevious {
  const previousKnown = !reply.replacedUnknown
  const told = previousKnown && reply.present
  const previous = told ? new StoredValue(ownBytes(reply.bytes, reply.start, reply.end)) : undefined
  return { version: versionOf(reply), acks: reply.acks, previousKnown, previous }
}

function deleteResult(reply: Reply, { mayBeApplied }: Operation): DeleteResult {
  // Where there is nothing any more, an earlier attempt of this very delete may have removed it.
  const unknown = reply.replacedUnknown || (mayBeApplied && !reply.present)
  return { version: versionOf(reply), existed: unknown ? undefined : reply.present }
}

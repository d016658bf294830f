import { ClusterCalls } from './cluster.js'
import { expiryOf, ownBytes, StoredValue, textOf } from './codec.js'
import { Dispatcher } from './dispatcher.js'
import { KvError } from './errors.js'
import { readMany, writeMany } from './many.js'
import type { Request, Response } from './operation.js'
import { resolveOptions } from './options.js'
import { callTimeoutMs, deleteRequest, getRequest, putRequest } from './requests.js'
import { planScan, scanEntries } from './scan.js'
import type {
  CallOptions,
  ClientStats,
  ClusterStatus,
  ClusterTopology,
  DeleteOptions,
  DeleteResult,
  Entry,
  Key,
  KvClientOptions,
  KvOperations,
  MemberStatus,
  Partition,
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

type GetResponse = Extract<Response, { $case: 'get' }>['value']
type WireVersion = GetResponse['version']

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

  /**
   * @param options - options, a URL such as `kv://host:50051,host:50052?tls=1&consistency=quorum&timeoutMs=500` (further
   * parameters: `tlsCa=FILE`, `maxInFlight`, `maxInFlightBytes`, `connectTimeoutMs`), or a list of endpoints.
   * @throws KvError `invalid-argument`, with the option as `field`
   */
  constructor(options: KvClientOptions | string | readonly string[]) {
    this.dispatcher = new Dispatcher(resolveOptions(options))
    this.cluster = new ClusterCalls(this.dispatcher)
  }

  put(key: Key, value: Value, options: PutOptions & { readonly returnPrevious: true }): Promise<PutResultWithPrevious>
  put(key: Key, value: Value, options?: PutOptions): Promise<PutResult>
  async put(key: Key, value: Value, options: PutOptions = {}): Promise<PutResult | PutResultWithPrevious> {
    const request = putRequest(key, value, options, this.dispatcher.config)
    const response = await this.execute(request, options)
    if (response.$case !== 'put') throw wrongAnswer(response)
    const { acks, hadPrevious, previousValue } = response.value
    const version = versionOf(response.value.version)
    if (options.returnPrevious !== true) return { version, acks }
    return { version, acks, previous: hadPrevious ? new StoredValue(previousValue) : undefined }
  }

  async get(key: Key, options: ReadOptions = {}): Promise<string | undefined> {
    const { found, value } = await this.read(key, options)
    return found ? textOf(value, 'value') : undefined
  }

  async getBytes(key: Key, options: ReadOptions = {}): Promise<Uint8Array | undefined> {
    const { found, value } = await this.read(key, options)
    return found ? ownBytes(value) : undefined
  }

  async getEntry<K extends Key>(key: K, options: ReadOptions = {}): Promise<Entry<K> | undefined> {
    const response = await this.read(key, options)
    return response.found ? new StoredEntry(key, response) : undefined
  }

  async delete(key: Key, options: DeleteOptions = {}): Promise<DeleteResult> {
    const response = await this.execute(deleteRequest(key, options, this.dispatcher.config), options)
    if (response.$case !== 'delete') throw wrongAnswer(response)
    return { version: versionOf(response.value.version), existed: response.value.existed }
  }

  async getMany<K extends Key>(keys: Iterable<K>, options: ReadOptions = {}): Promise<Map<K, string>> {
    return await readMany(keys, this.dispatcher.config.maxInFlight, (key) => this.get(key, options))
  }

  async getManyEntries<K extends Key>(keys: Iterable<K>, options: ReadOptions = {}): Promise<Map<K, Entry<K>>> {
    return await readMany(keys, this.dispatcher.config.maxInFlight, (key) => this.getEntry(key, options))
  }

  async putMany(entries: Iterable<PutEntry>, options: PutOptions = {}): Promise<PutOutcome[]> {
    const { maxInFlight, maxInFlightBytes } = this.dispatcher.config
    return await writeMany(entries, maxInFlight, maxInFlightBytes, ({ key, value, ttlMs }) =>
      this.put(key, value, ttlMs === undefined ? options : { ...options, ttlMs }),
    )
  }

  scan(options: ScanOptions = {}): AsyncIterable<ScanEntry> {
    const { dispatcher } = this
    return { [Symbol.asyncIterator]: () => scanEntries(() => planScan(options, dispatcher), dispatcher) }
  }

  async status(endpoint?: string, options: CallOptions = {}): Promise<ClusterStatus> {
    return await this.cluster.status(endpoint, options)
  }

  async statusAll(options: CallOptions = {}): Promise<MemberStatus[]> {
    return await this.cluster.statusAll(options)
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  stats(): ClientStats {
    return this.dispatcher.stats()
  }

  private async read(key: Key, options: ReadOptions): Promise<GetResponse> {
    const response = await this.execute(getRequest(key, options, this.dispatcher.config), options)
    if (response.$case !== 'get') throw wrongAnswer(response)
    return response.value
  }

  private execute(request: Request, options: CallOptions): Promise<Response> {
    return this.dispatcher.execute(request, callTimeoutMs(options, this.dispatcher.config), options.signal)
  }
}

class StoredEntry<K extends Key> extends StoredValue implements Entry<K> {
  readonly key: K
  readonly version: Version
  readonly expiresAt: Date | undefined

  constructor(key: K, response: GetResponse) {
    super(response.value)
    this.key = key
    this.version = versionOf(response.version)
    this.expiresAt = expiryOf(response.expiresAtMs)
  }
}

function versionOf(version: WireVersion): Version {
  return new Version(version?.hlc ?? 0n, version?.node ?? 0)
}

function wrongAnswer(response: Response): KvError {
  return new KvError('internal', `a node answered with a ${response.$case}`)
}

import type { ClusterStatus, ClusterTopology, Consistency, KvOperations } from '@quorumkv/client'
import { limits } from '../limits.js'
import { localServerUsage } from './local-servers.js'
import type { ProcessUsage, ScannedEntry, Target, TargetClient } from './target.js'
import { keyPrefix } from './values.js'

/** The part of the SDK that a load test uses. */
export type LoadClient = Pick<KvOperations, 'put' | 'getBytes' | 'scan' | 'topology' | 'status' | 'ready' | 'close'>

export interface KvTargetOptions {
  /** Makes a client that is not connected yet. */
  readonly connect: () => LoadClient
  readonly consistency: Consistency
  /** How long one operation may take. Default: the client's. */
  readonly timeoutMs?: number | undefined
  /** What else is known about the cluster, for the report: durability, say. */
  readonly settings?: Readonly<Record<string, string>> | undefined
  /** Default: looked for among the processes of this machine. */
  readonly serverUsage?: (() => Promise<readonly ProcessUsage[]>) | undefined
  readonly failed?: AbortSignal | undefined
}

/** A QuorumKV cluster, as `KvClient` sees it. */
export class KvTarget implements Target {
  readonly name = 'QuorumKV'
  readonly reads: 'fresh' | 'any'
  readonly failed?: AbortSignal
  readonly #options: KvTargetOptions
  #serverUsage: (() => Promise<readonly ProcessUsage[]>) | undefined

  constructor(options: KvTargetOptions) {
    this.#options = options
    this.reads = options.consistency === 'one' ? 'any' : 'fresh'
    if (options.failed !== undefined) this.failed = options.failed
    this.#serverUsage = options.serverUsage
  }

  async describe(signal: AbortSignal): Promise<Readonly<Record<string, string>>> {
    const client = this.#options.connect()
    try {
      await client.ready({ signal, timeoutMs: limits.benchConnectMs })
      const [topology, status] = [await client.topology({ signal }), await client.status(undefined, { signal })]
      this.#serverUsage ??= await localServerUsage(topology.members)
      return { ...describeCluster(topology, status), consistency: this.#options.consistency, ...this.#options.settings }
    } finally {
      await client.close()
    }
  }

  async serverUsage(): Promise<readonly ProcessUsage[]> {
    return (await this.#serverUsage?.()) ?? []
  }

  async connect(signal: AbortSignal): Promise<TargetClient> {
    const client = this.#options.connect()
    try {
      await client.ready({ signal, timeoutMs: limits.benchConnectMs })
    } catch (error) {
      await client.close()
      throw error
    }
    return new KvTargetClient(client, this.#options)
  }
}

function describeCluster({ members, replication }: ClusterTopology, status: ClusterStatus): Record<string, string> {
  const { replicationFactor, readQuorum, writeQuorum } = replication
  return {
    nodes: String(members.length),
    'N/R/W': `${replicationFactor}/${readQuorum}/${writeQuorum}`,
    'kv-server': status.serverVersion,
  }
}

class KvTargetClient implements TargetClient {
  readonly #client: LoadClient
  readonly #options: { readonly consistency: Consistency; readonly timeoutMs: number | undefined }
  /** Where scans can begin: behind the last entries of the pages of one scan of all keys. */
  #cursors: (string | undefined)[] = [undefined]

  constructor(client: LoadClient, { consistency, timeoutMs }: KvTargetOptions) {
    this.#client = client
    this.#options = { consistency, timeoutMs }
  }

  read(key: string): Promise<Uint8Array | undefined> {
    return this.#client.getBytes(key, this.#options)
  }

  write(key: string, value: Buffer): Promise<unknown> {
    return this.#client.put(key, value, this.#options)
  }

  async scan(start: number, count: number, entry: ScannedEntry): Promise<number> {
    const cursor = this.#cursors[Math.floor(start * this.#cursors.length)]
    let seen = 0
    const options = { ...this.#options, prefix: keyPrefix, cursor, pageSize: count }
    for await (const { key, valueBytes } of this.#client.scan(options)) {
      entry(key, valueBytes)
      if (++seen === count) break
    }
    return seen
  }

  async prepareScans(signal: AbortSignal): Promise<void> {
    const cursors: (string | undefined)[] = [undefined]
    const all = { ...this.#options, prefix: keyPrefix, pageSize: cursorDistance, keysOnly: true, signal }
    for await (const { cursor } of this.#client.scan(all)) {
      if (cursor !== undefined) cursors.push(cursor)
      if (cursors.length >= limits.benchCursorsMax) break
    }
    this.#cursors = cursors
  }

  close(): Promise<void> {
    return this.#client.close()
  }
}

/** Keys from one place where a scan can begin to the next. */
const cursorDistance = 64

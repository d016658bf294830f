import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KvClient, type KvClientOptions, KvError } from '@quorumkv/client'
import {
  type ClusterClock,
  type LocalCluster,
  type LocalClusterOptions,
  type LocalNode,
  type LocalSettings,
  type PartitionOptions,
  startLocalCluster,
} from '@quorumkv/server/local'
import { telling, tellingLater } from './errors.js'

/** What a client of the cluster may be given; where the nodes are it knows. */
export type ClientOptions = Omit<KvClientOptions, 'endpoints'>

/** How a cluster is made. Everything may be left out. */
export interface ClusterOptions {
  /** How many nodes, 1 to 32. Default 3. */
  readonly nodes?: number | undefined
  /** How many copies there are of a key, and how many of them a write and a read need. Default 3, and a majority. */
  readonly replicationFactor?: number | undefined
  readonly writeQuorum?: number | undefined
  readonly readQuorum?: number | undefined
  /** Files in a temporary directory, which is removed with the cluster. Default: in memory. */
  readonly disk?: boolean | undefined
  /** Files in a directory of yours, which stays: a cluster that is started on it again has the data. */
  readonly dataDir?: string | undefined
  /** REST, dashboard and metrics on free ports: `cluster.nodes[0].httpAddresses`. Default: no HTTP. */
  readonly http?: boolean | undefined
  /** Other settings of `kv-server`, under the names of its flags in camel case: `{ snapshotInterval: '1s' }`. */
  readonly settings?: LocalSettings | undefined
  /** Where a node tells what happens. Nowhere unless given. */
  readonly log?: LocalClusterOptions['log']
  /**
   * A node could not go on, and is down. Unless given, the error is thrown where nothing catches it, so that the test run fails.
   */
  readonly onFatal?: LocalClusterOptions['onFatal']
}

/**
 * A cluster inside a test. Nodes are counted from 0; a node that is not there is `KvError` `invalid-argument` with
 * `field: 'node'`. All of it goes with `await using`, or with `close()`: clients, nodes, sockets, timers, temporary files.
 */
export interface Cluster extends AsyncDisposable {
  /** `host:port` of all nodes, in their order. A node keeps its address whatever happens to it. */
  readonly endpoints: readonly string[]
  readonly nodes: readonly LocalNode[]
  readonly clock: ClusterClock
  /** A client of the cluster, closed with it. Throws KvError `invalid-argument` as the constructor does. */
  client(options?: ClientOptions): KvClient
  /**
   * A client that sends everything to one node, whoever owns the key: to see what that node can do while it is cut off, for
   * instance. Closed with the cluster.
   */
  clientOf(node: number, options?: Omit<ClientOptions, 'addressMap'>): KvClient
  /**
   * Ends a node as a power cut does: nothing is said to anyone, what runs is never answered, and what was not synced is lost (with
   * files on disk the kernel keeps that, as after SIGKILL). Rejects with `invalid-argument` where it is down already.
   */
  kill(node: number): Promise<void>
  /** Stops a node in order, as SIGTERM does. Rejects with `invalid-argument` where it is down already. */
  stop(node: number): Promise<void>
  /** Starts a node that is down on what its disk holds; one that runs is stopped before. Resolves when it listens: see `ready`. */
  restart(node: number): Promise<void>
  /** Takes a node's data away; it is down then. After `restart` it is refilled by the others. */
  wipe(node: number): Promise<void>
  /**
   * Cuts the links between groups of nodes, `[[0], [1, 2]]` say, in place of an earlier partition; whom no group names is in one
   * group with the others like it. Throws `invalid-argument` with `field: 'groups'` where a node is in two.
   */
  partition(groups: readonly (readonly number[])[], options?: PartitionOptions): void
  /** Ends the partition. Links are back within a second or so; `ready` waits for them. */
  heal(): void
  /**
   * Resolves when all nodes that are up serve, and are linked with each other where no partition is between them. Rejects
   * with KvError `timeout` after `withinMs`, default 30 s, saying what is missing.
   */
  ready(withinMs?: number): Promise<void>
  /**
   * Resolves when all members are up and all copies are equal: nothing is handed over, refilled or waiting as a hint. Rejects
   * with KvError `timeout` after `withinMs`, default 30 s, saying what is missing.
   */
  settled(withinMs?: number): Promise<void>
  /** Ends everything. Idempotent. */
  close(): Promise<void>
}

class TestCluster implements Cluster {
  readonly #cluster: LocalCluster
  /** Undefined: there are no files, or they are not ours. */
  readonly #directory: string | undefined
  readonly #clients = new Set<KvClient>()
  #closing: Promise<void> | undefined

  constructor(cluster: LocalCluster, directory: string | undefined) {
    this.#cluster = cluster
    this.#directory = directory
  }

  get endpoints(): readonly string[] {
    return this.#cluster.endpoints
  }

  get nodes(): readonly LocalNode[] {
    return this.#cluster.nodes
  }

  get clock(): ClusterClock {
    const { clock } = this.#cluster
    return {
      now: () => clock.now(),
      advance: (ms) => telling(() => clock.advance(ms)),
      skew: (node, ms) => telling(() => clock.skew(node, ms)),
    }
  }

  client(options: ClientOptions = {}): KvClient {
    return this.#connect({ ...options, endpoints: this.endpoints })
  }

  clientOf(node: number, options: Omit<ClientOptions, 'addressMap'> = {}): KvClient {
    const { address } = telling(() => this.#cluster.node(node))
    return this.#connect({ ...options, endpoints: [address], addressMap: () => address })
  }

  kill(node: number): Promise<void> {
    return tellingLater(() => this.#cluster.kill(node))
  }

  stop(node: number): Promise<void> {
    return tellingLater(() => this.#cluster.stop(node))
  }

  restart(node: number): Promise<void> {
    return tellingLater(() => this.#cluster.restart(node))
  }

  wipe(node: number): Promise<void> {
    return tellingLater(() => this.#cluster.wipe(node))
  }

  partition(groups: readonly (readonly number[])[], options?: PartitionOptions): void {
    telling(() => this.#cluster.partition(groups, options))
  }

  heal(): void {
    this.#cluster.heal()
  }

  ready(withinMs?: number): Promise<void> {
    return tellingLater(() => this.#cluster.ready(withinMs))
  }

  settled(withinMs?: number): Promise<void> {
    return tellingLater(() => this.#cluster.settled(withinMs))
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #connect(options: KvClientOptions): KvClient {
    if (this.#closing !== undefined) throw new KvError('closed', 'the cluster has been closed')
    const client = new KvClient(options)
    this.#clients.add(client)
    return client
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#clients].map((client) => client.close()))
    await this.#cluster.stop()
    await removeDirectory(this.#directory)
  }
}

async function removeDirectory(path: string | undefined): Promise<void> {
  if (path !== undefined) await rm(path, { recursive: true, force: true })
}

/**
 * Starts a cluster inside this process: whole nodes with sockets of their own, as `kv-server` runs them. Resolves when they serve.
 * Rejects with KvError `invalid-argument`, which names the option, and where a directory cannot be had.
 */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { nodes, replicationFactor, writeQuorum, readQuorum, disk, dataDir, http, settings, log, onFatal } = options
  if (disk === true && dataDir !== undefined) {
    throw new KvError('invalid-argument', 'disk: give a dataDir or a temporary directory, not both', { field: 'disk' })
  }
  const directory = disk === true ? await mkdtemp(join(tmpdir(), 'quorumkv-testing-')) : undefined
  let cluster: LocalCluster | undefined
  try {
    const begun = await tellingLater(() =>
      startLocalCluster({
        nodes,
        dataDir: directory ?? dataDir,
        httpPort: http === true ? 0 : undefined,
        settings: { ...settings, ...defined({ replicationFactor, writeQuorum, readQuorum }) },
        log,
        onFatal,
      }),
    )
    cluster = begun
    await tellingLater(() => begun.ready())
    return new TestCluster(begun, directory)
  } catch (error) {
    await cluster?.stop()
    await removeDirectory(directory)
    throw error
  }
}

/** Leaves out what is not given, so that it hides nothing. */
function defined(given: LocalSettings): LocalSettings {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

import { join } from 'node:path'
import { type Address, FatalError, invalidArgument, KvError } from '@quorumkv/internal/base'
import type { Node, PeerName } from '@quorumkv/internal/cluster'
import { type Log, silentLog } from '@quorumkv/internal/env'
import type { NodeSettings } from '../config/config.js'
import { copiesObstacle } from './copies.js'
import { Fabric } from './fabric.js'
import { LocalTime } from './local-clock.js'
import { LocalNode } from './local-node.js'

/** So many nodes share a process at most: each has its own log, table and servers. */
const nodesMax = 32
/** How often a condition that is waited for is looked at. */
const pollMs = 5
const withinMsDefault = 30_000
const advanceMsMax = 1_000_000_000_000

/** Settings of `kv-server` that make sense for all nodes of a cluster alike. */
export type LocalSettings = Omit<
  NodeSettings,
  | 'addr'
  | 'advertise'
  | 'httpAddr'
  | 'httpAllowHost'
  | 'insecure'
  | 'tlsCert'
  | 'tlsKey'
  | 'tlsCa'
  | 'requireClientCert'
  | 'peers'
  | 'id'
  | 'dataDir'
  | 'logLevel'
  | 'logFormat'
>

export interface LocalClusterOptions {
  /** How many, 1 to 32; 3 unless given. They are called n1, n2, … */
  readonly nodes?: number | undefined
  /** Where each gets a directory of its own, named like it. In memory unless given: it is all gone when the cluster stops. */
  readonly dataDir?: string | undefined
  /** Where the first one listens, the others right behind it. Any free ports unless given. */
  readonly port?: number | undefined
  /** The same for HTTP (REST, dashboard, metrics); 0: any free ports. No HTTP unless given. */
  readonly httpPort?: number | undefined
  /** As for `kv-server`, with its defaults. */
  readonly settings?: LocalSettings | undefined
  /** Where a node tells what happens. Nowhere unless given. */
  readonly log?: ((id: string) => Log) | undefined
  /**
   * A node could not go on and is down now. Unless given, the error is thrown where nothing catches it, except when the
   * node was decommissioned, which is no failure.
   */
  readonly onFatal?: ((error: Error, node: LocalNode) => void) | undefined
}

export interface PartitionOptions {
  /** Messages vanish, and nobody is told; otherwise both ends of a link learn at once that it is gone. */
  readonly silent?: boolean | undefined
  /** The group that clients are with, counted from 0: they get through to no node of another one. To all unless given. */
  readonly clients?: number | undefined
}

/** Time, as all nodes of a cluster see it. */
export interface ClusterClock {
  /** Unix time in milliseconds on all nodes whose clock was not skewed. */
  now(): number
  /**
   * Moves the time of all nodes on by `ms`, whole milliseconds: what has expired by then is gone for every reader at once.
   * Timers that were set for long (snapshots, say) fire; conversations between nodes are not disturbed. Throws `invalid-argument`.
   */
  advance(ms: number): void
  /** Sets the wall clock of one node `ms` ahead of the others', or behind; 0 sets it right. Throws `invalid-argument`. */
  skew(node: number, ms: number): void
}

function whole(field: string, value: number, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw invalidArgument(field, `must be a whole number from ${min} to ${max}, got ${String(value)}`)
  }
  return value
}

function throwUncaught(error: Error): void {
  if (error instanceof FatalError && error.reason === 'decommissioned') return
  setImmediate(() => {
    throw error
  })
}

/** Lets nodes that start together learn each other's addresses, each of which is known when its node listens. */
class Roster {
  readonly #addresses: (Address | undefined)[]
  readonly #waiting: { tell(peers: readonly PeerName[]): void; fail(error: unknown): void }[] = []
  #abandoned: { readonly because: unknown } | undefined

  constructor(nodes: number) {
    this.#addresses = new Array<Address | undefined>(nodes).fill(undefined)
  }

  peers(index: number, own: Address): Promise<readonly PeerName[]> {
    this.#addresses[index] = own
    if (this.#abandoned !== undefined) return Promise.reject(this.#abandoned.because)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ tell: resolve, fail: reject })
      const known = this.#addresses.filter((address) => address !== undefined)
      if (known.length < this.#addresses.length) return
      const peers = known.map((address) => ({ address, id: undefined }))
      for (const { tell } of this.#waiting.splice(0)) tell(peers)
    })
  }

  /** One of them cannot start, so the others would wait for its address for ever. */
  abandon(because: unknown): void {
    this.#abandoned ??= { because }
    for (const { fail } of this.#waiting.splice(0)) fail(because)
  }
}

/**
 * A cluster of nodes in this process, each a whole `kv-server` with seams of its own: it can be killed, wiped, cut off, and
 * its clock set, while the others go on. Clients reach it over sockets like any other.
 */
export class LocalCluster implements AsyncDisposable {
  readonly nodes: readonly LocalNode[]
  readonly clock: ClusterClock
  readonly #fabric = new Fabric()
  readonly #roster: Roster
  #stopping: Promise<void> | undefined

  /** See `startLocalCluster`. @internal */
  constructor(options: LocalClusterOptions) {
    const { nodes: count = 3, dataDir, port, httpPort, settings = {}, log = () => silentLog, onFatal } = options
    whole('nodes', count, 1, nodesMax)
    const addressOf = (field: string, first: number, index: number): string =>
      `127.0.0.1:${first === 0 ? 0 : whole(field, first + index, 1, 65_535)}`
    if (port !== undefined) whole('port', port, 0, 65_535)
    if (httpPort !== undefined) whole('httpPort', httpPort, 0, 65_535)
    const time = new LocalTime()
    const clocks = Array.from({ length: count }, () => time.clock())
    const roster = new Roster(count)
    this.#roster = roster
    this.nodes = clocks.map((clock, index) => {
      const id = `n${index + 1}`
      const http = httpPort === undefined ? {} : { httpAddr: addressOf('httpPort', httpPort, index) }
      const node: LocalNode = new LocalNode({
        index,
        id,
        settings: { ...settings, ...http, addr: addressOf('port', port ?? 0, index) },
        dataDir: dataDir === undefined ? undefined : join(dataDir, id),
        clock,
        fabric: this.#fabric,
        log: log(id),
        peers: (at, own) => roster.peers(at, own),
        failed: (error) => (onFatal ?? throwUncaught)(error, node),
      })
      return node
    })
    this.clock = {
      now: () => time.wallMs(),
      advance: (ms) => time.advance(whole('ms', ms, 0, advanceMsMax - time.advancedMs)),
      skew: (index, ms) => {
        const { index: checked } = this.node(index)
        clocks[checked]!.skewMs = whole('ms', ms, -advanceMsMax, advanceMsMax)
      },
    }
  }

  /** Where clients reach the nodes, in their order, whether they are up or not. */
  get endpoints(): string[] {
    return this.nodes.map(({ address }) => address)
  }

  /** One of the nodes, counted from 0. Throws `invalid-argument`. */
  node(index: number): LocalNode {
    return this.nodes[whole('node', index, 0, this.nodes.length - 1)]!
  }

  /** Starts all of them. Rejects as `startNode` does; then none is left running. @internal */
  async start(): Promise<void> {
    const start = async (node: LocalNode): Promise<void> => {
      try {
        await node.start()
      } catch (error) {
        this.#roster.abandon(error)
        throw error
      }
    }
    const starting = await Promise.allSettled(this.nodes.map(start))
    const failed = starting.find((each) => each.status === 'rejected')
    if (failed === undefined) return
    await this.stop()
    throw failed.reason
  }

  /**
   * Ends a node as when its machine loses power: nothing is said to anyone, nothing that runs is answered. In memory it
   * loses what it had not synced; on disk the kernel keeps that, as when a process is killed. Rejects with `invalid-argument`.
   */
  async kill(index: number): Promise<void> {
    await this.node(index).kill()
  }

  /** Stops a node in order. Rejects with `invalid-argument` where it is down. */
  async stop(index: number): Promise<void>
  /** Stops all nodes, in order and all at once. Idempotent. */
  async stop(): Promise<void>
  async stop(index?: number): Promise<void> {
    if (index !== undefined) {
      await this.node(index).stop()
      return
    }
    this.#stopping ??= this.#stopAll()
    await this.#stopping
  }

  /** Starts a node that is down on the disk that it had, at the same address; one that runs is stopped before. */
  async restart(index: number): Promise<void> {
    const node = this.node(index)
    if (this.#stopping !== undefined) throw new KvError('closed', 'the cluster has been stopped')
    if (node.state !== 'down') await node.stop()
    // It may have been stopped meanwhile, and has then not waited for this.
    if (this.#stopping !== undefined) throw new KvError('closed', 'the cluster has been stopped')
    await node.start()
  }

  /** Takes a node's data away for good; one that runs is killed. `restart` brings it back, empty, to be refilled. */
  async wipe(index: number): Promise<void> {
    await this.node(index).wipe()
  }

  /**
   * Cuts all links between groups of nodes, `[[0], [1, 2]]` say, instead of those that were cut before; nodes that no group
   * names are a group together. Clients still reach all nodes unless an option says otherwise. Throws `invalid-argument`, where a
   * node is named twice for instance.
   */
  partition(groups: readonly (readonly number[])[], { silent = false, clients }: PartitionOptions = {}): void {
    if (groups.length === 0) throw invalidArgument('groups', 'must name at least one')
    const named = groups.flat().map((index) => this.node(index).index)
    const twice = named.find((index, at) => named.indexOf(index) !== at)
    if (twice !== undefined) throw invalidArgument('groups', `name node ${twice} twice`)
    if (clients !== undefined) whole('clients', clients, 0, groups.length - 1)
    this.#fabric.partition(groups, silent)
    const near = clients === undefined ? undefined : groups[clients]
    for (const node of this.nodes) node.reachable = near?.includes(node.index) ?? true
  }

  /** Takes a partition back. Nodes find each other again within a second or so: see `ready`. */
  heal(): void {
    this.#fabric.heal()
    for (const node of this.nodes) node.reachable = true
  }

  /**
   * Resolves when every node that is up serves, and has links to all others that are up and not cut off from it. Rejects with
   * KvError `timeout` after `withinMs`, 30 s unless given, saying what has not come about.
   */
  async ready(withinMs: number = withinMsDefault): Promise<void> {
    await this.#until(() => this.#linksObstacle(), withinMs)
  }

  /**
   * Resolves when all copies are equal: `ready`, no handover runs, no slot is being refilled, no hint waits, and all owners
   * of each slot hold the same. Every member must be up. Rejects as `ready` does.
   */
  async settled(withinMs: number = withinMsDefault): Promise<void> {
    await this.#until(() => this.#linksObstacle() ?? copiesObstacle(this.#cores()), withinMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stopAll(): Promise<void> {
    this.heal()
    await Promise.all(this.nodes.map((node) => node.settleDown()))
  }

  #cores(): Map<number, Node> {
    const up = this.nodes.filter(({ state }) => state !== 'down')
    return new Map(up.map((node) => [node.index, node.running.core]))
  }

  #linksObstacle(): string | undefined {
    const cores = this.#cores()
    for (const [index, core] of cores) {
      if (core.phase !== 'serving') return `${core.id} does not serve yet`
      for (const [other, { id }] of cores) {
        if (!this.#fabric.isCut(index, other) && !core.linked(id)) return `${core.id} has no link to ${id}`
      }
    }
    return undefined
  }

  async #until(obstacle: () => string | undefined, withinMs: number): Promise<void> {
    const endMs = performance.now() + whole('withinMs', withinMs, 1, 2 ** 31 - 1)
    for (let last = obstacle(); last !== undefined; last = obstacle()) {
      if (performance.now() > endMs) throw new KvError('timeout', `not within ${withinMs} ms: ${last}`)
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }
}

/**
 * Starts a cluster in this process. Resolves when all nodes listen; see `ready` for when they serve. Rejects with KvError
 * `invalid-argument` that names the option, with FatalError where a directory or a port cannot be had, and with DiskError.
 */
export async function startLocalCluster(options: LocalClusterOptions = {}): Promise<LocalCluster> {
  const cluster = new LocalCluster(options)
  await cluster.start()
  return cluster
}

import { rm } from 'node:fs/promises'
import { type Address, FatalError, invalidArgument, KvError, type NodeId } from '@quorumkv/internal/base'
import type { NodeStatus, PeerName } from '@quorumkv/internal/cluster'
import { Life, type Log } from '@quorumkv/internal/env'
import { NodeDisk } from '@quorumkv/internal/env-node'
import { MemoryDrive } from '@quorumkv/internal/env-sim'
import { type NodeSettings, programSource, resolveConfig } from '../config/config.js'
import { openDataDirectory } from '../data/data-directory.js'
import type { ConfiguredNode } from '../hosted-node.js'
import type { Machine, OpenDisk } from '../machine.js'
import { startConfiguredNode } from '../start-node.js'
import type { Fabric } from './fabric.js'
import type { LocalClock } from './local-clock.js'

/** What a node of a local cluster is doing. `starting`: it does not serve yet. `down`: it was stopped, killed or wiped, or has failed. */
export type LocalNodeState = 'starting' | 'serving' | 'down'

/** What all nodes of a cluster share, and what is this one's. */
export interface LocalNodeOptions {
  readonly index: number
  readonly id: string
  readonly settings: NodeSettings
  /** Undefined: memory. */
  readonly dataDir: string | undefined
  readonly clock: LocalClock
  readonly fabric: Fabric
  readonly log: Log
  /** Addresses of all nodes, once all of them are known. */
  readonly peers: (index: number, own: Address) => Promise<readonly PeerName[]>
  /** It could not go on; it is down. */
  readonly failed: (error: Error) => void
}

interface Running {
  readonly life: Life
  readonly node: ConfiguredNode
}

/** One of the nodes of a local cluster: the same through all its lives, at the same addresses, with the same disk. */
export class LocalNode {
  readonly index: number
  readonly id: NodeId
  readonly #options: LocalNodeOptions
  readonly #memory: MemoryDrive | undefined
  #settings: NodeSettings
  #address: Address | undefined
  #httpAddresses: readonly string[] = []
  #running: Running | undefined
  #starting: Promise<void> | undefined
  /** Lives that are being ended: a next one may not begin on their disk, and a cluster has not stopped before they have. */
  readonly #ending = new Set<Promise<void>>()
  #serving = false
  #reachable = true
  #failure: Error | undefined

  /** @internal */
  constructor(options: LocalNodeOptions) {
    this.index = options.index
    this.id = options.id as NodeId
    this.#options = options
    this.#settings = options.settings
    if (options.dataDir === undefined) this.#memory = new MemoryDrive(options.clock)
  }

  get state(): LocalNodeState {
    return this.#running === undefined ? 'down' : this.#serving ? 'serving' : 'starting'
  }

  /** Why it is down, when it could not go on by itself. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** Where clients and other nodes reach it, in every life. */
  get address(): Address {
    if (this.#address === undefined) throw new KvError('unavailable', `${this.id} has not been started`)
    return this.#address
  }

  /** Where it listens for HTTP; empty: nowhere. */
  get httpAddresses(): readonly string[] {
    return this.#httpAddresses
  }

  /** What it says of itself. Throws KvError `unavailable` when it is down. */
  status(): NodeStatus {
    return this.running.status()
  }

  /** Resolves when it serves. Rejects when it is down, or stopped before. */
  async ready(): Promise<void> {
    await this.running.ready
  }

  /** The node of its present life. @internal */
  get running(): ConfiguredNode {
    if (this.#running === undefined) throw new KvError('unavailable', `${this.id} is down`)
    return this.#running.node
  }

  /** Lets clients through, or cuts them off. @internal */
  set reachable(reachable: boolean) {
    this.#reachable = reachable
    if (!reachable) this.#running?.node.hangUp()
  }

  /** Begins a life on the disk as it is. Resolves when it listens. @internal */
  async start(): Promise<void> {
    if (this.#running !== undefined) throw invalidArgument('node', `${this.id} runs already`)
    if (this.#starting !== undefined) throw invalidArgument('node', `${this.id} is being started`)
    this.#starting = this.#start()
    try {
      await this.#starting
    } finally {
      this.#starting = undefined
    }
  }

  /** Stops it in order, unless it is down; one that is being started or ended is waited for. @internal */
  async settleDown(): Promise<void> {
    await this.#starting?.catch(() => undefined)
    if (this.#running !== undefined) await this.stop()
    await this.#ended()
  }

  /** When no life is being ended any more. What goes wrong there is told to whoever ends it. */
  async #ended(): Promise<void> {
    await Promise.allSettled(this.#ending)
  }

  async #whileEnding(ended: Promise<void>): Promise<void> {
    this.#ending.add(ended)
    try {
      await ended
    } finally {
      this.#ending.delete(ended)
    }
  }

  async #start(): Promise<void> {
    await this.#ended()
    const { index, log, fabric } = this.#options
    const life = new Life()
    const config = resolveConfig([programSource({ ...this.#settings, id: this.id })])
    const clock = life.clock(this.#options.clock)
    const machine: Machine = {
      clock,
      openDisk: () => this.#openDisk(life),
      network: (sockets) => life.network(fabric.network(index, sockets, clock)),
      reachable: () => this.#reachable,
      peers: (own) => {
        this.#settle(own)
        return this.#options.peers(index, own)
      },
    }
    this.#failure = undefined
    this.#serving = false
    const node = await startConfiguredNode(config, log, (error) => this.#fail(life, error), machine)
    this.#httpAddresses = node.httpAddresses
    const [http] = node.httpAddresses
    if (http !== undefined) this.#settings = { ...this.#settings, httpAddr: http }
    const running: Running = { life, node }
    this.#running = running
    node.ready.then(
      () => {
        this.#serving = this.#running === running
      },
      // `ready()` and `status()` tell those who ask; whoever does not is not to be ended by it.
      () => undefined,
    )
  }

  /** Stops in order, at most `graceMs` for what runs. @internal */
  async stop(graceMs?: number): Promise<void> {
    const { node } = this.#take()
    await this.#whileEnding(node.stop(graceMs))
  }

  /** As when its machine loses power: nothing is said to anyone, and what memory had not synced is lost. @internal */
  async kill(): Promise<void> {
    await this.#whileEnding(this.#end(this.#take()))
  }

  /** Takes its data away; a running one is killed. @internal */
  async wipe(): Promise<void> {
    if (this.#starting !== undefined) throw invalidArgument('node', `${this.id} is being started`)
    if (this.#running !== undefined) await this.kill()
    await this.#ended()
    this.#memory?.erase()
    if (this.#options.dataDir !== undefined) await rm(this.#options.dataDir, { recursive: true, force: true })
  }

  #take(): Running {
    const running = this.#running
    if (running === undefined) throw invalidArgument('node', `${this.id} is down`)
    this.#running = undefined
    this.#serving = false
    return running
  }

  async #end({ life, node }: Running): Promise<void> {
    const ended = life.end()
    this.#memory?.cutPower()
    await ended
    await node.cutOff()
  }

  #fail(life: Life, error: Error): void {
    const running = this.#running
    if (!life.alive) return
    this.#failure = error
    const fatal = error instanceof FatalError && error.reason === 'decommissioned'
    if (running?.life !== life) {
      this.#options.failed(error)
      return
    }
    this.#running = undefined
    this.#serving = false
    const ended = fatal ? running.node.stop() : this.#end(running)
    this.#whileEnding(ended).then(
      () => this.#options.failed(error),
      (cause: unknown) => this.#options.failed(new Error(`${this.id} could not be ended`, { cause })),
    )
  }

  /** It keeps the port that it got in its first life. */
  #settle(address: Address): void {
    this.#address = address
    this.#settings = { ...this.#settings, addr: address }
    this.#options.fabric.place(address, this.index)
  }

  async #openDisk(life: Life): Promise<OpenDisk> {
    if (this.#memory !== undefined) return { disk: this.#memory.mount(), close: () => undefined }
    const directory = await openDataDirectory(this.#options.dataDir!)
    return { disk: life.disk(new NodeDisk(directory.path)), close: () => directory.close() }
  }
}

import {
  type Address,
  assert,
  type ClusterId,
  FatalError,
  type Incarnation,
  type Instruments,
  KvError,
  type NodeId,
} from '../base/index.js'
import { DiskError, type Listener } from '../env/index.js'
import { compareHlc, type Hlc, hlcOf, zeroVersion } from '../hlc/index.js'
import type { StoredRecord } from '../record/index.js'
import type {
  Coordinator,
  KeyLocation,
  OperationOptions,
  PutOptions,
  ScanOptions,
  ScanPage,
  WriteResult,
} from '../replication/index.js'
import { type Conduct, type Member, type SlotTable, softwareLevels, type Topology } from '../slots/index.js'
import type { Identity, SnapshotInfo, Store } from '../store/index.js'
import { Background } from './background.js'
import { writeArrival } from './changes/arrival.js'
import { checkConduct } from './changes/conduct-change.js'
import { LocalMember, type MemberHost } from './gossip/local-member.js'
import { LoneMember } from './gossip/lone-member.js'
import { hex, localIdentity } from './identity.js'
import type { LinkOptions } from './links/dialer.js'
import { warnOfDifferingSettings } from './links/differing-settings.js'
import type { Founder, LocalNode } from './links/handshake.js'
import { Peers, type PeersHost } from './links/peers.js'
import type { Handovers, Liveness, Members, Node, NodeOptions, NodePhase, NodeStatus, Repairs } from './node-face.js'
import { nothingServed } from './node-face.js'
import { notServing } from './not-serving.js'
import { Readiness } from './readiness.js'
import type { Serving } from './serving.js'
import { Founding } from './topology/founding.js'
import { foundingTopology } from './topology/founding-topology.js'
import { readTopology } from './topology/topology-document.js'

/** Starts a node. Resolves when it listens; `ready()` tells when it serves. Throws KvError, DiskError, FatalError. */
export async function startCoreNode(options: NodeOptions): Promise<Node> {
  const identity = await localIdentity(options)
  const topology = await readTopology(options.disk)
  const node = new CoreNode(options, identity)
  await node.start(topology)
  return node
}

/** The node itself: who it is, whom it talks to, and how it becomes a member. What it does then is `Serving`'s. */
class CoreNode implements Node {
  readonly id: NodeId
  readonly #options: NodeOptions
  readonly #incarnation: Incarnation
  readonly #conduct: Conduct
  readonly #life: string
  readonly #startedMs: number
  readonly #links: LinkOptions
  readonly #peers: Peers
  readonly #ready = new Readiness()
  readonly #background = new Background((error, isFirst) => this.#cannotGoOn(error, isFirst))
  #phase: NodePhase = 'forming'
  #founding: Founding | undefined
  #lone: LoneMember | undefined
  #joining = false
  /** Where a new incarnation has found its directory: the cluster that it may be taken back by. */
  #former: ClusterId | undefined
  /** Undefined while it belongs to no cluster. */
  #belonging: LocalMember | undefined
  #listener: Listener | undefined
  #local: LocalNode | undefined
  #stopping: Promise<void> | undefined

  constructor(options: NodeOptions, { nodeId, incarnation }: Identity) {
    this.id = nodeId
    this.#options = options
    this.#incarnation = incarnation
    const { levels = softwareLevels, authenticates = false } = options
    this.#conduct = { levels, authenticates }
    this.#life = hex(options.random.bytes(8))
    this.#startedMs = options.clock.monotonicMs()
    const { clock, random, network, log, instruments, probeIntervalMs, probeTimeoutMs, peers: named } = options
    const envelope = { hlc: () => this.#serving?.clockReading() ?? zeroVersion, epoch: () => this.topology?.epoch ?? 0 }
    this.#links = { clock, random, network, log, instruments, probeIntervalMs, probeTimeoutMs, envelope }
    this.#peers = new Peers({ ...this.#links, id: nodeId, named }, this.#asHost())
  }

  get phase(): NodePhase {
    return this.#phase
  }

  get topology(): Topology | undefined {
    return this.#serving?.topology
  }

  get slotTable(): SlotTable | undefined {
    return this.#serving?.slotTable
  }

  get localStore(): Store | undefined {
    return this.#serving?.store
  }

  get instruments(): Instruments {
    return this.#options.instruments
  }

  get handovers(): Handovers | undefined {
    return this.#phase === 'serving' ? this.#belonging?.handovers : undefined
  }

  get members(): Members | undefined {
    return this.#phase === 'serving' ? this.#belonging?.operator : undefined
  }

  get repairs(): Repairs | undefined {
    return this.#phase === 'serving' ? this.#serving?.antiEntropy : undefined
  }

  get #serving(): Serving | undefined {
    return this.#belonging?.serving
  }

  async start(topology: Topology | undefined): Promise<void> {
    const { network, listenAddress, log } = this.#options
    const named = this.#options.peers.map((peer) => peer.address)
    const member = topology?.members.find(({ id }) => id === this.id)
    // The directory of a member that has forgotten what it promised, and knows: it has to be taken back.
    const reborn = member !== undefined && member.incarnation !== this.#incarnation
    // A store that is still being recovered must not be taken for a replica: it is opened before anyone can call.
    if (topology !== undefined && !reborn) await this.#serve(topology)
    try {
      this.#listener = await network.listen(listenAddress, (link, channel) => this.#peers.accept(link, channel))
    } catch (error) {
      await this.#serving?.close()
      throw error
    }
    const address = this.#options.advertiseAddress ?? (this.#listener.address as Address)
    const { replication, virtualNodes, zone, weight } = this.#options
    const founder = { id: this.id, incarnation: this.#incarnation, address, zone, weight, ...this.#conduct }
    this.#local = { ...founder, life: this.#life, replication, virtualNodes }
    if (topology !== undefined && !reborn) {
      warnOfDifferingSettings(log, this.#local, topology)
      const own = [address, listenAddress, this.#listener.address as Address]
      this.#lone = new LoneMember({ ...this.#links, local: this.#local, topology, named, own })
      this.#background.guard(this.#resume(this.#lone, address))
      return
    }
    this.#former = topology?.clusterId
    const members = topology?.members.filter(({ id }) => id !== this.id).map((each) => each.address) ?? []
    if (reborn) log.info('a new incarnation looks for its cluster', { clusterId: this.#former })
    else if (named.length > 0) log.info('forming a cluster', { peers: named })
    this.#founding = new Founding({
      clock: this.#options.clock,
      log,
      local: founder,
      named: [...named, ...members],
      mayFound: !reborn,
      dial: (address) => this.#peers.dial(address),
      obstacle: (address) => this.#peers.obstacle(address),
      announce: () => this.#peers.announce(),
      found: (members) => this.#background.guard(this.#found(members)),
    })
    this.#founding.start()
  }

  /** A member goes on where its last life has ended, once it may. */
  async #resume(lone: LoneMember, address: Address): Promise<void> {
    if (!lone.settled) await lone.check()
    if (this.#phase !== 'forming') return
    this.#belonging?.detect()
    await this.#settleAddress(address)
    this.#startServing()
  }

  /** Where the topology has another address for this node, it has moved, or its data directory is a copy. */
  async #settleAddress(address: Address): Promise<void> {
    if (this.#member(this.topology!).address === address) return
    this.#peers.callMembers(this.topology!)
    await this.#belonging?.membership.settleAddress(address)
  }

  ready(): Promise<void> {
    return this.#ready.wait()
  }

  clockReading(): Hlc {
    const stamped = this.#serving?.clockReading() ?? zeroVersion
    const wall = hlcOf(this.#options.clock.wallMs(), 0)
    return compareHlc(stamped, wall) > 0 ? stamped : wall
  }

  observe(hlc: Hlc): boolean {
    return this.#serving?.observeClient(hlc) ?? false
  }

  linked(id: NodeId): boolean {
    return id === this.id || this.#serving?.remote(id)?.up === true
  }

  liveness({ id, number }: Member): Liveness {
    const forMs = this.#options.clock.monotonicMs() - this.#startedMs
    if (id === this.id) return { status: 'alive', forMs }
    return this.#belonging?.liveness(number) ?? { status: 'suspect', forMs }
  }

  status(): NodeStatus {
    return {
      id: this.id,
      incarnation: this.#incarnation,
      clusterId: this.topology?.clusterId,
      phase: this.#phase,
      address: this.#localNode.address,
      topology: this.topology,
      handover: this.#belonging?.handovers.status(),
      ...(this.#serving?.status() ?? nothingServed),
      uptimeMs: this.#options.clock.monotonicMs() - this.#startedMs,
    }
  }

  get(key: Uint8Array, options: OperationOptions): Promise<StoredRecord | undefined> {
    return this.coordinator?.get(key, options) ?? this.#unavailable()
  }

  put(key: Uint8Array, value: Uint8Array, options: PutOptions): Promise<WriteResult> {
    return this.coordinator?.put(key, value, options) ?? this.#unavailable()
  }

  delete(key: Uint8Array, options: OperationOptions): Promise<WriteResult> {
    return this.coordinator?.delete(key, options) ?? this.#unavailable()
  }

  scan(options: ScanOptions): Promise<ScanPage> {
    return this.coordinator?.scan(options) ?? this.#unavailable()
  }

  locate(key: Uint8Array, options: OperationOptions): Promise<KeyLocation> {
    return this.coordinator?.locate(key, options) ?? this.#unavailable()
  }

  snapshot(): Promise<SnapshotInfo> {
    return this.#phase === 'serving' && this.#serving !== undefined
      ? this.#serving.store.snapshot()
      : this.#unavailable()
  }

  stop(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stop(graceMs)
    return this.#stopping
  }

  async #stop(graceMs: number): Promise<void> {
    this.#phase = 'stopping'
    this.#founding?.end()
    this.#lone?.stop()
    this.#ready.fail(new KvError('closed', 'the node was stopped'))
    this.#belonging?.stop()
    await this.#serving?.drain(graceMs)
    await this.#peers.gossip.flushed()
    this.#peers.stopCalling()
    this.#peers.close('the node stops')
    await this.#listener?.close()
    await this.#background.idle()
    await this.#serving?.close()
    this.#phase = 'stopped'
  }

  get coordinator(): Coordinator | undefined {
    return this.#phase === 'serving' ? this.#serving?.coordinator : undefined
  }

  #unavailable(): Promise<never> {
    return Promise.reject(notServing(this.#phase))
  }

  get #localNode(): LocalNode {
    assert(this.#local !== undefined, 'the node has not started')
    return this.#local
  }

  #cannotGoOn(cause: unknown, isFirst: boolean): void {
    const error = cause instanceof DiskError ? new FatalError('disk-failed', cause.message, cause) : cause
    if (error instanceof FatalError && error.reason === 'decommissioned') {
      this.#options.log.info('the node is not needed any more', { cause: error.message })
    } else this.#options.log.error('the node cannot go on', { cause: String(error) })
    if (!isFirst) return
    this.#ready.fail(error)
    this.#peers.stopCalling()
    // What had to be durable before the node could go on may not be.
    if (error instanceof DiskError) this.#options.onFatal(new FatalError('disk-failed', error.message, error))
    else this.#options.onFatal(error instanceof Error ? error : new Error(String(error)))
  }

  #asHost(): PeersHost {
    const node = this
    return {
      get local() {
        return node.#localNode
      },
      get topology() {
        return node.topology
      },
      get serving() {
        return node.#serving
      },
      get founding() {
        return node.#founding
      },
      learned: (topology) => this.#background.guard(this.#learned(topology)),
      knocked: (founder) => this.#knocked(founder),
      agreeing: (from, message, link) => this.#belonging?.received(from, message, link),
      gossiped: (from, message, link) => this.#belonging?.gossiped(from, message, link),
      lost: (id) => this.#belonging?.lost(id),
      end: (error) => this.#background.guard(Promise.reject(error)),
      guard: (work) => this.#background.guard(work),
    }
  }

  async #found(members: Member[]): Promise<void> {
    const clusterId = this.#options.clusterId ?? (hex(this.#options.random.bytes(16)) as ClusterId)
    this.#options.log.info('founding a cluster', { clusterId, members: members.map(({ id }) => id) })
    await this.#join(foundingTopology(clusterId, this.#options, members))
  }

  /** Becomes a member of a topology that names this node. It is on disk before anyone hears of it from here. */
  async #join(topology: Topology): Promise<void> {
    if (this.#joining) return
    this.#joining = true
    this.#founding?.end()
    const { disk, log } = this.#options
    if (this.#member(topology).state === 'joining' && this.#former !== undefined) {
      throw new FatalError('refused', 'the data directory belongs to a former member: only an empty one can join')
    }
    const identity = { nodeId: this.id, incarnation: this.#incarnation, clusterId: undefined }
    await writeArrival(disk, log, identity, topology)
    await this.#serve(topology)
    await this.#settleAddress(this.#localNode.address)
    this.#startServing()
  }

  #member(topology: Topology): Member {
    checkConduct(this.#conduct, topology)
    const member = topology.members.find(({ id }) => id === this.id)
    if (member?.incarnation === this.#incarnation) return member
    throw new FatalError('refused', `${this.id} (${this.#incarnation}) is not a member of ${topology.clusterId}`)
  }

  async #serve(topology: Topology): Promise<void> {
    this.#member(topology)
    const node = this
    const host: MemberHost = {
      self: { id: this.id, incarnation: this.#incarnation, life: this.#life },
      conduct: this.#conduct,
      peers: this.#peers,
      guard: (work) => this.#background.guard(work),
      get address() {
        return node.#localNode.address
      },
      get stopping() {
        return node.#phase === 'stopping'
      },
    }
    this.#belonging = await LocalMember.open(this.#options, host, topology)
  }

  #startServing(): void {
    assert(this.#belonging !== undefined, 'serving without a store')
    if (this.#phase !== 'forming') return
    this.#phase = 'serving'
    this.#background.guard(this.#belonging.run())
    this.#peers.callMembers(this.#belonging.serving.topology)
    this.#belonging.detect()
    // Whoever greeted this node while it formed learns that it has a topology now.
    this.#peers.announce()
    this.#ready.reach()
  }

  async #learned(topology: Topology): Promise<void> {
    if (this.#belonging !== undefined) {
      await this.#belonging.membership.register.adopt(topology)
      return
    }
    if (!topology.members.some(({ id, incarnation }) => id === this.id && incarnation === this.#incarnation)) return
    if (this.#former !== undefined && this.#former !== topology.clusterId) {
      const [own, other] = [this.#former, topology.clusterId]
      throw new FatalError('refused', `the data directory belongs to cluster ${own}, and cluster ${other} takes it in`)
    }
    await this.#join(topology)
  }

  #knocked(founder: Founder): ReturnType<PeersHost['knocked']> {
    const waiting = { code: 'wait', message: 'this node is only starting' } as const
    this.#lone?.knocked(founder.id)
    return this.#phase === 'serving' ? (this.#belonging?.membership.knock(founder) ?? waiting) : waiting
  }
}

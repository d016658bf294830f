import type { Hello, PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import {
  type Address,
  assert,
  type ClusterId,
  type Epoch,
  FatalError,
  type Incarnation,
  KvError,
  type NodeId,
} from '../base/index.js'
import type { Listener } from '../env/index.js'
import { compareHlc, type Hlc, hlcOf, zeroVersion } from '../hlc/index.js'
import type { StoredRecord } from '../record/index.js'
import type {
  Coordinator,
  OperationOptions,
  PeerLink,
  PutOptions,
  ScanOptions,
  ScanPage,
  WriteResult,
} from '../replication/index.js'
import { type Member, type SlotTable, type Topology, validateTopology } from '../slots/index.js'
import { type SnapshotInfo, type Store, writeIdentity } from '../store/index.js'
import { Background } from './background.js'
import { Belonging } from './belonging.js'
import type { DialerHandlers, LinkOptions } from './dialer.js'
import { Dialers } from './dialers.js'
import { warnOfDifferingSettings } from './differing-settings.js'
import { Founding } from './founding.js'
import { helloOf, judgeHello, type LocalNode } from './handshake.js'
import { hex, localIdentity } from './identity.js'
import { Inbound, type InboundRefusal } from './inbound.js'
import { LoneMember } from './lone-member.js'
import type { Liveness, Node, NodeOptions, NodePhase, NodeStatus, Repairs } from './node-face.js'
import { Readiness } from './readiness.js'
import { Serving } from './serving.js'
import { topologyFromMessage } from './topology-codec.js'
import { readTopology, writeTopology } from './topology-document.js'
import { TopologyNews } from './topology-news.js'

/** Starts a node. Resolves when it listens; `ready()` tells when it serves. Throws KvError, DiskError, FatalError. */
export async function startCoreNode(options: NodeOptions): Promise<Node> {
  const identity = await localIdentity(options)
  const topology = await readTopology(options.disk)
  const node = new CoreNode(options, identity.nodeId, identity.incarnation)
  await node.start(topology)
  return node
}

/** The node itself: who it is, whom it talks to, and how it becomes a member. What it does then is `Serving`'s. */
class CoreNode implements Node {
  readonly id: NodeId
  readonly #options: NodeOptions
  readonly #incarnation: Incarnation
  readonly #life: string
  readonly #startedMs: number
  readonly #inbound: Inbound
  readonly #links: LinkOptions
  readonly #dialers: Dialers
  readonly #belonging: Belonging
  readonly #ready = new Readiness()
  readonly #background = new Background((error, isFirst) => this.#cannotGoOn(error, isFirst))
  readonly #news = new TopologyNews()
  #phase: NodePhase = 'forming'
  #founding: Founding | undefined
  #lone: LoneMember | undefined
  #joining = false
  #serving: Serving | undefined
  #listener: Listener | undefined
  #local: LocalNode | undefined
  #stopping: Promise<void> | undefined

  constructor(options: NodeOptions, id: NodeId, incarnation: Incarnation) {
    this.id = id
    this.#options = options
    this.#incarnation = incarnation
    this.#life = hex(options.random.bytes(8))
    this.#startedMs = options.clock.monotonicMs()
    const { clock, random, network, log, probeIntervalMs, probeTimeoutMs } = options
    const envelope = { hlc: () => this.#serving?.clockReading() ?? zeroVersion, epoch: () => this.topology?.epoch ?? 0 }
    this.#inbound = new Inbound({
      clock,
      log,
      envelope,
      silenceMaxMs: 3 * (probeIntervalMs + probeTimeoutMs),
      handlers: {
        hello: (hello) => this.#greetedBy(hello),
        message: (message, link) => this.#requested(message, link),
      },
    })
    this.#links = { clock, random, network, log, probeIntervalMs, probeTimeoutMs, envelope }
    this.#belonging = new Belonging(id)
    this.#dialers = new Dialers(
      this.#links,
      (address) => this.#dialerHandlers(address),
      (run) => this.#background.guard(run),
    )
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

  get repairs(): Repairs | undefined {
    return this.#phase === 'serving' ? this.#serving?.antiEntropy : undefined
  }

  async start(topology: Topology | undefined): Promise<void> {
    const { network, listenAddress, log } = this.#options
    const named = this.#options.peers.map((peer) => peer.address)
    // A store that is still being recovered must not be taken for a replica: it is opened before anyone can call.
    if (topology !== undefined) await this.#serve(topology)
    try {
      this.#listener = await network.listen(listenAddress, (link) => this.#inbound.accept(link))
    } catch (error) {
      await this.#serving?.close()
      throw error
    }
    const address = this.#options.advertiseAddress ?? (this.#listener.address as Address)
    const { replication, virtualNodes, zone, weight } = this.#options
    const founder = { id: this.id, incarnation: this.#incarnation, address, zone, weight }
    this.#local = { ...founder, life: this.#life, replication, virtualNodes }
    if (topology !== undefined) {
      warnOfDifferingSettings(log, this.#local, topology)
      const own = [address, listenAddress, this.#listener.address as Address]
      this.#lone = new LoneMember({ ...this.#links, local: this.#local, topology, named, own })
      if (this.#lone.settled) this.#startServing()
      else this.#background.guard(this.#lone.check().then(() => this.#startServing()))
      return
    }
    if (named.length > 0) log.info('forming a cluster', { peers: named })
    this.#founding = new Founding({
      clock: this.#options.clock,
      log,
      local: founder,
      named,
      dial: (address) => this.#dialers.dial(address),
      announce: () => this.#announce(),
      found: (members) => this.#background.guard(this.#found(members)),
    })
    this.#founding.start()
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

  liveness(member: Member): Liveness {
    if (member.id === this.id) return 'alive'
    return this.#serving?.remote(member.id)?.up === true ? 'alive' : 'down'
  }

  status(): NodeStatus {
    return {
      id: this.id,
      incarnation: this.#incarnation,
      clusterId: this.topology?.clusterId,
      phase: this.#phase,
      address: this.#localNode.address,
      topology: this.topology,
      store: this.#serving?.statistics(),
      refillObstacle: this.#serving?.refiller.obstacle ?? '',
      convergence: this.#serving?.antiEntropy.status(),
      uptimeMs: this.#options.clock.monotonicMs() - this.#startedMs,
    }
  }

  get(key: Uint8Array, options: OperationOptions): Promise<StoredRecord | undefined> {
    return this.#coordinator?.get(key, options) ?? this.#unavailable()
  }

  put(key: Uint8Array, value: Uint8Array, options: PutOptions): Promise<WriteResult> {
    return this.#coordinator?.put(key, value, options) ?? this.#unavailable()
  }

  delete(key: Uint8Array, options: OperationOptions): Promise<WriteResult> {
    return this.#coordinator?.delete(key, options) ?? this.#unavailable()
  }

  scan(options: ScanOptions): Promise<ScanPage> {
    return this.#coordinator?.scan(options) ?? this.#unavailable()
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
    await this.#serving?.drain(graceMs)
    this.#dialers.stop()
    this.#inbound.close('the node stops')
    await this.#listener?.close()
    await this.#background.idle()
    await this.#serving?.close()
    this.#phase = 'stopped'
  }

  get #coordinator(): Coordinator | undefined {
    return this.#phase === 'serving' ? this.#serving?.coordinator : undefined
  }

  #unavailable(): Promise<never> {
    const message = this.#phase === 'forming' ? 'this node does not belong to a cluster yet' : 'this node is stopping'
    return Promise.reject(new KvError('unavailable', message, { outcome: 'not-applied' }))
  }

  get #localNode(): LocalNode {
    assert(this.#local !== undefined, 'the node has not started')
    return this.#local
  }

  #cannotGoOn(error: unknown, isFirst: boolean): void {
    this.#options.log.error('the node cannot go on', { cause: String(error) })
    if (!isFirst) return
    this.#ready.fail(error)
    this.#dialers.stop()
    this.#options.onFatal(error instanceof Error ? error : new Error(String(error)))
  }

  #announce(): void {
    const hello = this.#hello()
    for (const links of [this.#dialers.links(), this.#inbound.links()]) {
      for (const link of links) link.outbox(0).addControl({ hello })
    }
  }

  #hello(): Hello {
    const view = this.#founding?.view() ?? { met: [], unmet: [] }
    return helloOf(this.#localNode, this.topology, view)
  }

  async #found(members: Member[]): Promise<void> {
    const { replication, virtualNodes, random, log } = this.#options
    const clusterId = hex(random.bytes(16)) as ClusterId
    log.info('founding a cluster', { clusterId, members: members.map(({ id }) => id) })
    await this.#join(validateTopology({ clusterId, epoch: 1 as Epoch, replication, virtualNodes, members }))
  }

  /** Becomes a member of a topology that names this node. It is on disk before anyone hears of it from here. */
  async #join(topology: Topology): Promise<void> {
    if (this.#joining) return
    this.#joining = true
    this.#founding?.end()
    const { disk } = this.#options
    await writeIdentity(disk, { nodeId: this.id, incarnation: this.#incarnation, clusterId: topology.clusterId })
    await writeTopology(disk, topology)
    await this.#serve(topology)
    this.#startServing()
  }

  async #serve(topology: Topology): Promise<void> {
    const self = topology.members.find(({ id }) => id === this.id)
    if (self?.incarnation !== this.#incarnation) {
      throw new FatalError('refused', `${this.id} (${this.#incarnation}) is not a member of ${topology.clusterId}`)
    }
    this.#serving = await Serving.open(this.#options, { id: this.id, life: this.#life }, topology)
  }

  #startServing(): void {
    assert(this.#serving !== undefined, 'serving without a store')
    if (this.#phase !== 'forming') return
    this.#phase = 'serving'
    this.#background.guard(this.#serving.run())
    this.#dialMembers(this.#serving.topology)
    // Whoever greeted this node while it formed learns that it has a topology now.
    this.#announce()
    this.#ready.reach()
  }

  #dialMembers(topology: Topology): void {
    const others = topology.members.filter(({ id }) => id !== this.id)
    this.#dialers.keep(new Set(others.map(({ address }) => address)))
  }

  async #learned(topology: Topology): Promise<void> {
    if (this.#serving === undefined) {
      const named = topology.members.some(({ id, incarnation }) => id === this.id && incarnation === this.#incarnation)
      if (named) await this.#join(topology)
      return
    }
    if (topology.clusterId !== this.#serving.topology.clusterId) return
    if (topology.epoch <= this.#serving.topology.epoch) return
    await writeTopology(this.#options.disk, topology)
    if (this.#serving.adopt(topology)) this.#dialMembers(topology)
  }

  #dialerHandlers(address: Address): DialerHandlers {
    let remote: NodeId | undefined
    let life = ''
    return {
      hello: () => this.#hello(),
      greeted: (hello) => {
        const verdict = judgeHello(this.#localNode, this.topology, hello)
        if (verdict.kind === 'refused') return `refused here: ${verdict.message}`
        if (verdict.kind === 'self') {
          this.#founding?.isSelf(address)
          this.#dialers.hangUp(address)
          return 'this is the node itself'
        }
        remote = verdict.remote.id
        life = hello.life
        const expected = this.#options.peers.find((peer) => peer.address === address)?.id
        if (expected === undefined || expected === remote) return undefined
        this.#options.log.warn('another node than the named one answers', { address, expected, answered: remote })
        return `${remote} answers where ${expected} was named`
      },
      message: (message, link) => {
        assert(remote !== undefined, 'a message before the greeting')
        if (message.hello !== undefined) {
          const verdict = judgeHello(this.#localNode, this.topology, message.hello)
          if (verdict.kind === 'refused') return `refused here: ${verdict.message}`
          this.#heard(message.hello, address)
        }
        const objection = this.#serving?.objectionToClock(message) ?? this.#heeded(message, link)
        if (objection !== undefined) return objection
        return this.#serving?.replied({ id: remote, life }, message, link)
      },
      refused: (refusal) => {
        this.#options.log.warn('refused by another node', { address, code: refusal.code, message: refusal.message })
        const end = this.#belonging.refused(address, refusal, this.topology)
        if (end !== undefined) this.#background.guard(Promise.reject(end))
      },
      lost: (link, reason) => {
        if (remote === undefined) return
        this.#options.log.info('lost a node', { node: remote, address, reason })
        this.#serving?.remote(remote)?.detach(link)
      },
    }
  }

  #greetedBy(hello: Hello): Hello | InboundRefusal {
    const verdict = judgeHello(this.#localNode, this.topology, hello)
    if (verdict.kind === 'refused') return { code: verdict.code, message: verdict.message }
    if (verdict.kind === 'welcome') this.#heard(hello)
    return this.#hello()
  }

  /** What a forming node learns from a hello; `dialled` is where it answered if this node had called. */
  #heard(hello: Hello, dialled?: Address): void {
    this.#belonging.welcomed()
    if (this.#serving !== undefined || hello.clusterId !== '') return
    const verdict = judgeHello(this.#localNode, undefined, hello)
    if (verdict.kind === 'welcome') this.#founding?.heard(verdict.remote, verdict.view, dialled)
  }

  #requested(message: PeerMessage, link: PeerLink): string | InboundRefusal | undefined {
    const drifted = this.#serving?.objectionToClock(message)
    if (drifted !== undefined) return { code: 'clock', message: drifted }
    return this.#heeded(message, link) ?? this.#serving?.requested(message, link)
  }

  /** A newer topology that a message brings, or the need for one that it shows. */
  #heeded(message: PeerMessage, link: PeerLink): string | undefined {
    if (message.topology !== undefined) {
      try {
        this.#background.guard(this.#learned(topologyFromMessage(message.topology)))
      } catch (error) {
        if (error instanceof KvError) return `malformed topology: ${error.message}`
        throw error
      }
    }
    this.#news.heard(message, this.topology, link)
    return undefined
  }
}

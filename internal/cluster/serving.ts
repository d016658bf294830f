import type { Forget, PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { assert, KvError, limits, type NodeId, type Slot } from '../base/index.js'
import type { Log } from '../env/index.js'
import { HintStore } from '../hints/index.js'
import { ClockDriftError, type Hlc, hlcMs, hlcOf } from '../hlc/index.js'
import {
  ActiveOperations,
  AntiEntropy,
  asksForData,
  Coordinator,
  CopyServer,
  DigestServer,
  FloorRounds,
  FloorServer,
  type ForgetWaiter,
  HintedHandoff,
  Horizon,
  LocalReplica,
  type OperationContext,
  PacedReading,
  type PeerLink,
  Refiller,
  type RemoteReplica,
  ReplicaServer,
  type Routing,
  ScanSlices,
  SharedSlots,
} from '../replication/index.js'
import type { SlotTable, Topology } from '../slots/index.js'
import { openStore, type Store, type StoreStatistics } from '../store/index.js'
import { ClockWitnesses } from './clock-witnesses.js'
import { Remotes } from './gossip/remotes.js'
import { guarded } from './guarded.js'
import type { CopyStatus, NodeOptions } from './node-face.js'
import { StampingClock } from './stamping-clock.js'
import { routingUnder } from './topology/routing-under.js'

/** This node, in this life of its process. */
interface Self {
  readonly id: NodeId
  readonly life: string
}

/** What a node has from the moment on which it belongs to a cluster: its store, its clock, its way to the replicas. */
export class Serving {
  readonly store: Store
  readonly coordinator: Coordinator
  readonly active: ActiveOperations
  readonly refiller: Refiller
  readonly antiEntropy: AntiEntropy
  readonly hints: HintedHandoff
  readonly floors: FloorRounds
  readonly remotes: Remotes
  readonly #clock: StampingClock
  readonly #witnesses: ClockWitnesses
  readonly #server: ReplicaServer
  /** Of what is asked about whole slots. */
  readonly #slotServers: readonly (CopyServer | DigestServer | FloorServer)[]
  readonly #local: LocalReplica
  readonly #self: Self
  readonly #log: Log
  #topology: Topology

  /** Opens the store and the clock. `stream`: links for what is large are wanted, or not any more. Throws FatalError where the data directory does not belong here or is damaged. */
  static async open(
    options: NodeOptions,
    self: Self,
    topology: Topology,
    stream: (on: boolean) => void,
  ): Promise<Serving> {
    const member = topology.members.find(({ id }) => id === self.id)
    assert(member !== undefined, 'a node serves only a topology that it belongs to')
    const { disk, clock, log, instruments } = options
    const witnesses = new ClockWitnesses(clock, options.maxClockDriftMs, options.log)
    witnesses.follow(topology, self.id)
    const store = await openStore({
      disk,
      clock,
      log,
      instruments,
      clusterId: topology.clusterId,
      incarnation: member.incarnation,
      fsync: options.fsync,
      fsyncIntervalMs: options.fsyncIntervalMs,
      snapshotIntervalMs: options.snapshotIntervalMs,
      snapshotWalBytes: options.snapshotWalBytes,
      // Late by what two clocks may differ, so that nobody whose clock is in order still shows what goes here; and not
      // at all while the others say that this clock is not in order, or have not been heard yet.
      purgeTimeMs: () => (witnesses.bearOutLocal() ? clock.wallMs() - options.maxClockDriftMs : 0),
      ...(options.tuning === undefined ? {} : { tuning: options.tuning }),
      onFatal: options.onFatal,
    })
    try {
      const { highestVersion: startAbove } = store
      const { onFatal, maxClockDriftMs: maxDriftMs } = options
      const stamping = await StampingClock.open({ clock, disk, log, maxDriftMs, startAbove, witnesses, onFatal })
      const hints = await HintStore.open({ disk, clock, log, instruments, clusterId: topology.clusterId })
      return new Serving(options, self, topology, store, stamping, witnesses, hints, new Remotes(stream))
    } catch (error) {
      await store.close()
      throw error
    }
  }

  private constructor(
    options: NodeOptions,
    self: Self,
    topology: Topology,
    store: Store,
    stamping: StampingClock,
    witnesses: ClockWitnesses,
    hints: HintStore,
    remotes: Remotes,
  ) {
    this.remotes = remotes
    this.#witnesses = witnesses
    this.store = store
    this.#self = self
    this.#log = options.log
    this.#topology = topology
    this.#clock = stamping
    const horizon = this.#horizon(options)
    this.#server = new ReplicaServer(options, store, horizon)
    this.#local = new LocalReplica(store)
    this.active = new ActiveOperations(options.clock)
    const { number: nodeNumber, since } = topology.members.find(({ id }) => id === self.id)!
    const context: OperationContext = {
      clock: options.clock,
      active: this.active,
      instruments: options.instruments,
      nodeNumber,
      stamp: () => stamping.stamp(),
      whenStampable: (retry) => stamping.whenRaised(retry),
      raiseClock: (above) => this.#raiseClock(above),
      missed: (member, record) => this.hints.keep(member, record),
    }
    const entries = (): number => store.statistics().entries
    const dataBytes = (): number => store.statistics().dataBytes
    this.coordinator = new Coordinator({ context, entries, dataBytes }, this.#route(topology))
    this.refiller = new Refiller({
      clock: options.clock,
      log: options.log,
      instruments: options.instruments,
      store,
      replacesAnother: since > 1,
      routing: () => this.coordinator.routing,
      source: (id) => remotes.source(id),
      served: () => this.served,
      streaming: (on) => remotes.streaming('refill', on),
      forget: (member, slots, waiter) => this.#haveForgotten(member, slots, waiter),
    })
    const shared = new SharedSlots()
    const slices = new ScanSlices(options.clock)
    const routing = (): Routing => this.coordinator.routing
    this.antiEntropy = new AntiEntropy({
      clock: options.clock,
      log: options.log,
      instruments: options.instruments,
      store,
      shared,
      slices,
      routing,
      peer: (member) => this.#remoteOf(member),
    })
    this.#slotServers = [
      new DigestServer(store, shared, slices, routing),
      new FloorServer(store, horizon, slices, options.log, routing),
      new CopyServer(store, slices, routing),
    ]
    this.floors = new FloorRounds({
      clock: options.clock,
      log: options.log,
      store,
      horizon,
      slices,
      maxClockDriftMs: options.maxClockDriftMs,
      tuning: options.floorTuning ?? {},
      routing,
      peer: (member) => this.#remoteOf(member),
    })
    const handoff = {
      clock: options.clock,
      log: options.log,
      instruments: options.instruments,
      routing,
      peer: (member: number) => this.#remoteOf(member),
      leaveToAntiEntropy: (node: NodeId) => this.antiEntropy.hasten(node),
    }
    this.hints = new HintedHandoff(handoff, hints)
    this.#bowOut()
  }

  /** Who owns nothing any more, and is about to go, sends clients to others. */
  #bowOut(): void {
    const own = this.#topology.members.find(({ id }) => id === this.#self.id)
    if (own?.state === 'left') this.coordinator.stop('this node leaves the cluster')
  }

  /** The wall clock counts as long as others bear it out: an idle node gives no stamps that would move its hybrid clock on. */
  #horizon({ clock, floorTuning, maxClockDriftMs }: NodeOptions): Horizon {
    const wallMs = (): number => (this.#witnesses.bearOutLocal() ? clock.wallMs() : 0)
    const distanceMs = (floorTuning?.horizonMs ?? limits.floorHorizonMs) + 2 * maxClockDriftMs
    const hybridMs = (): number => hlcMs(this.#clock.current())
    const reading = new PacedReading(hybridMs, wallMs, () => clock.monotonicMs())
    return new Horizon(
      () => reading.ms(),
      distanceMs,
      (ms) => this.#clock.raiseAbove(hlcOf(ms, 0xffff)),
    )
  }

  get topology(): Topology {
    return this.#topology
  }

  /** Rises with everything that is done for clients, whoever has been asked by them. */
  get served(): number {
    return this.active.begun + this.#server.requests
  }

  get slotTable(): SlotTable {
    return this.coordinator.routing.table
  }

  status(): CopyStatus {
    return {
      store: this.#statistics(),
      refillObstacle: this.refiller.obstacle,
      convergence: this.antiEntropy.status(),
      hints: this.hints.status(),
      floors: this.floors.status(),
      clockOffsetMs: this.#witnesses.offsetMs(),
    }
  }

  /** Read-only also where only the clock's ceiling finds no room: then the node takes writes from its peers alone. */
  #statistics(): StoreStatistics {
    const statistics = this.store.statistics()
    return this.#clock.readOnly ? { ...statistics, readOnly: true } : statistics
  }

  clockReading(): Hlc {
    return this.#clock.current()
  }

  /** Merges another's reading; false, and nothing changed, when it is too far ahead. */
  observe(hlc: Hlc): boolean {
    try {
      this.#clock.observe(hlc)
      return true
    } catch (error) {
      if (error instanceof ClockDriftError) return false
      throw error
    }
  }

  /**
   * The same for a client's reading, which may be this node's own come back: while nobody bears out its wall clock it
   * takes over none. Otherwise what it read from a clock that is far ahead would stay when that has been set right, and
   * the other nodes would refuse this one for as long.
   */
  observeClient(hlc: Hlc): boolean {
    return !this.#witnesses.bearOutLocal() || this.observe(hlc)
  }

  /** Follows a newer topology. Returns whether it was newer. */
  adopt(topology: Topology): boolean {
    if (topology.epoch <= this.#topology.epoch) return false
    this.#topology = topology
    this.#witnesses.follow(topology, this.#self.id)
    this.coordinator.routing = this.#route(topology)
    this.#bowOut()
    this.refiller.wake()
    this.antiEntropy.wake()
    this.hints.wake()
    return true
  }

  /** The way to another member, over whatever link is there. */
  remote(id: NodeId): RemoteReplica | undefined {
    return this.remotes.get(id)
  }

  /** The same for what is large. */
  bulk(id: NodeId): RemoteReplica | undefined {
    return this.remotes.bulk(id)
  }

  /** Another node's requests. Returns why its link must end, or undefined. */
  requested(message: PeerMessage, link: PeerLink): string | undefined {
    if (message.forget !== undefined) this.#forget(message.forget, link)
    if (!asksForData(message)) return undefined
    if (link.hopeless) return 'it does not read its replies'
    return guarded(() => {
      if (message.epoch === this.#topology.epoch) {
        this.#server.serve(message, link)
        for (const server of this.#slotServers) server.serve(message, link)
      } else {
        this.#server.refuse(message, link)
        for (const server of this.#slotServers) server.refuse(message, link)
      }
    })
  }

  /** What another node says on the link to it. Returns why the link must end, or undefined. */
  replied(from: { id: NodeId; life: string }, message: PeerMessage, link: PeerLink): string | undefined {
    this.#witnesses.heard(from.id, message.wallMs)
    const replica = this.remotes.get(from.id)
    // A node without a topology yet could not answer requests.
    if (replica?.up === false && message.epoch > 0) {
      this.#log.info('reached a node', { node: from.id, address: link.remote })
      replica.attach(link, from.life)
      this.antiEntropy.hasten(from.id)
      this.hints.returned(from.id)
      this.refiller.returned()
    }
    return guarded(() => replica?.received(message))
  }

  /** Returns why a message's clock makes its sender unbearable, or undefined. */
  objectionToClock(message: PeerMessage): string | undefined {
    const { hlcHi: hi, hlcLo: lo } = message
    const ok = (hi === 0 && lo === 0) || this.observe({ hi, lo })
    return ok ? undefined : 'its clock is too far ahead of the clock here'
  }

  /** The work that goes on by itself. Resolves after `drain`; throws only bugs. */
  async run(): Promise<void> {
    await Promise.all([this.refiller.run(), this.antiEntropy.run(), this.hints.run(), this.floors.run()])
  }

  /** Admits nothing new and waits for what runs, at most `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    this.coordinator.stop()
    this.refiller.stop()
    this.antiEntropy.stop()
    this.hints.stop()
    this.floors.stop()
    await this.active.idle(graceMs)
  }

  async close(): Promise<void> {
    this.remotes.detachAll()
    // What was on its way has just been lost, and some of it was acknowledged.
    await this.hints.close()
    await this.store.close()
    await this.#clock.close()
  }

  #raiseClock(above: Hlc): void {
    // The same holds for bounds on stamps, which clients make of clock readings; no stamp would be given anyway.
    if (!this.#witnesses.bearOutLocal()) {
      throw new KvError('unavailable', 'the clock of this node is not borne out by others', { outcome: 'not-applied' })
    }
    if (this.observe(above)) return
    throw new KvError('unavailable', 'a version to be superseded is too far in the future', { outcome: 'not-applied' })
  }

  #haveForgotten(member: number, slots: readonly Slot[], waiter: ForgetWaiter): void {
    const { id, life } = this.#self
    this.#remoteOf(member).forget(id, life, slots, waiter)
  }

  #remoteOf(member: number): RemoteReplica {
    const remote = this.remotes.get(this.#topology.members[member]!.id)
    assert(remote !== undefined, 'a node asks nothing of itself over a link')
    return remote
  }

  /**
   * Another node has lost slots: nothing that its earlier lives said of them counts any more. See `Refiller`. What is
   * on its way to the disk here goes first: a former life that still runs may count the answer to it, and it could
   * otherwise come after the slots had been read for the refill.
   */
  #forget({ id, nodeId, life, slots }: Forget, link: PeerLink): void {
    const remote = this.remotes.get(nodeId as NodeId)
    if (remote !== undefined) {
      remote.keepOnly(life)
      this.active.forget(remote, new Set(slots))
    }
    void this.store.settled().then(() => link.sendNow({ forgotten: id }))
  }

  #route(topology: Topology): Routing {
    const { id: self } = this.#self
    return routingUnder(topology, self, (id) => (id === self ? this.#local : this.remotes.made(id)))
  }
}

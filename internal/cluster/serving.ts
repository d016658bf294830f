import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { assert, FatalError, KvError, type NodeId } from '../base/index.js'
import { ClockDriftError, type Hlc, hlcFromBigint } from '../hlc/index.js'
import { RecordFormatError } from '../record/index.js'
import {
  ActiveOperations,
  Coordinator,
  LocalReplica,
  type OperationContext,
  type PeerLink,
  RemoteReplica,
  type Replica,
  ReplicaServer,
  type Routing,
} from '../replication/index.js'
import { effectiveQuorums, type SlotTable, slotTable, type Topology } from '../slots/index.js'
import { openStore, type Store } from '../store/index.js'
import { ClockWitnesses } from './clock-witnesses.js'
import type { NodeOptions } from './node-face.js'
import { StampingClock } from './stamping-clock.js'

/** What a node has from the moment on which it belongs to a cluster: its store, its clock, its way to the replicas. */
export class Serving {
  readonly store: Store
  readonly coordinator: Coordinator
  readonly active: ActiveOperations
  readonly #clock: StampingClock
  readonly #witnesses: ClockWitnesses
  readonly #server: ReplicaServer
  readonly #remotes = new Map<NodeId, RemoteReplica>()
  readonly #local: LocalReplica
  readonly #self: NodeId
  #topology: Topology

  /** Opens the store and the clock. Throws FatalError where the data directory does not belong here or is damaged. */
  static async open(options: NodeOptions, self: NodeId, topology: Topology): Promise<Serving> {
    const member = topology.members.find(({ id }) => id === self)
    assert(member !== undefined, 'a node serves only a topology that it belongs to')
    const { disk, clock, log } = options
    const witnesses = new ClockWitnesses(clock, options.maxClockDriftMs)
    const alone = topology.members.length === 1
    const store = await openStore({
      disk,
      clock,
      log,
      clusterId: topology.clusterId,
      incarnation: member.incarnation,
      fsync: options.fsync,
      fsyncIntervalMs: options.fsyncIntervalMs,
      snapshotIntervalMs: options.snapshotIntervalMs,
      snapshotWalBytes: options.snapshotWalBytes,
      // Late by what two clocks may differ, so that nobody whose clock is in order still shows what goes here; and not
      // at all while the others say that this clock is not in order, or have not been heard yet.
      purgeTimeMs: () => (alone || witnesses.bearOutLocal() ? clock.wallMs() - options.maxClockDriftMs : 0),
      onFatal: options.onFatal,
    })
    try {
      const { highestVersion: startAbove } = store
      const { onFatal, maxClockDriftMs: maxDriftMs } = options
      const stamping = await StampingClock.open({ clock, disk, log, maxDriftMs, startAbove, witnesses, onFatal })
      return new Serving(options, self, topology, store, stamping, witnesses)
    } catch (error) {
      await store.close()
      throw error
    }
  }

  private constructor(
    options: NodeOptions,
    self: NodeId,
    topology: Topology,
    store: Store,
    stamping: StampingClock,
    witnesses: ClockWitnesses,
  ) {
    this.#witnesses = witnesses
    this.store = store
    this.#self = self
    this.#topology = topology
    this.#clock = stamping
    this.#server = new ReplicaServer(store)
    this.#local = new LocalReplica(store)
    this.active = new ActiveOperations(options.clock)
    const nodeNumber = topology.members.find(({ id }) => id === self)!.number
    const context: OperationContext = {
      clock: options.clock,
      active: this.active,
      nodeNumber,
      stamp: () => stamping.stamp(),
      whenStampable: (retry) => stamping.whenRaised(retry),
      raiseClock: (above) => this.#raiseClock(above),
    }
    const entries = (): number => store.statistics().entries
    this.coordinator = new Coordinator({ context, entries }, this.#route(topology))
  }

  get topology(): Topology {
    return this.#topology
  }

  get slotTable(): SlotTable {
    return this.coordinator.routing.table
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

  /** Follows a newer topology. Returns whether it was newer. */
  adopt(topology: Topology): boolean {
    if (topology.epoch <= this.#topology.epoch) return false
    this.#topology = topology
    this.coordinator.routing = this.#route(topology)
    return true
  }

  /** The way to another member, over whatever link is there. */
  remote(id: NodeId): RemoteReplica | undefined {
    return this.#remotes.get(id)
  }

  /** Another node's requests. Returns why its link must end, or undefined. */
  requested(message: PeerMessage, link: PeerLink): string | undefined {
    if (message.writes === undefined && message.reads === undefined && message.scans.length === 0) return undefined
    if (link.hopeless) return 'it does not read its replies'
    return guarded(() => {
      if (Number(message.epoch) === this.#topology.epoch) this.#server.serve(message, link)
      else this.#server.refuse(message, link)
    })
  }

  /** Another node's replies. Returns why its link must end, or undefined. */
  replied(from: NodeId, message: PeerMessage): string | undefined {
    if (message.wallMs > 0) this.#witnesses.heard(from, message.wallMs)
    return guarded(() => this.#remotes.get(from)?.received(message))
  }

  /** Returns why a message's clock makes its sender unbearable, or undefined. */
  objectionToClock(message: PeerMessage): string | undefined {
    const ok = message.hlc === 0n || this.observe(hlcFromBigint(message.hlc))
    return ok ? undefined : 'its clock is too far ahead of the clock here'
  }

  /** Admits nothing new and waits for what runs, at most `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    this.coordinator.stop()
    await this.active.idle(graceMs)
  }

  async close(): Promise<void> {
    for (const remote of this.#remotes.values()) remote.detach()
    await this.store.close()
    await this.#clock.close()
  }

  #raiseClock(above: Hlc): void {
    if (this.observe(above)) return
    throw new KvError('unavailable', 'a version to be superseded is too far in the future', { outcome: 'not-applied' })
  }

  #route(topology: Topology): Routing {
    const replicas: Replica[] = topology.members.map(({ id }) => {
      if (id === this.#self) return this.#local
      const known = this.#remotes.get(id)
      if (known !== undefined) return known
      const remote = new RemoteReplica()
      this.#remotes.set(id, remote)
      return remote
    })
    const self = topology.members.findIndex(({ id }) => id === this.#self)
    if (self < 0) throw new FatalError('refused', `${this.#self} is no longer a member of the cluster`)
    const { readQuorum, writeQuorum } = effectiveQuorums(topology.replication, topology.members.length)
    return { epoch: topology.epoch, table: slotTable(topology), self, replicas, readQuorum, writeQuorum }
  }
}

/** Malformed records are the sender's fault, and end its link; anything else is a bug of ours. */
function guarded(act: () => void): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    if (error instanceof RecordFormatError) return `malformed records: ${error.message}`
    throw error
  }
}

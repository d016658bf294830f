import { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { type Epoch, Instruments, type KvError, limits, type NodeId, type Slot } from '../../base/index.js'
import { silentLog } from '../../env/index.js'
import { type Hash64, hash64 } from '../../hash/index.js'
import { hlcMs, zeroVersion } from '../../hlc/index.js'
import {
  compareRecords,
  type Floor,
  floorTombstone,
  floorVersion,
  isDeadAtFloor,
  type StoredRecord,
} from '../../record/index.js'
import { type SlotTable, slotOf } from '../../slots/index.js'
import type { CommitResult, PastDigest, Store } from '../../store/index.js'
import { noOtherSide, type Routing } from '../operations/routing.js'
import { ScanSlices } from '../operations/scan-slices.js'
import { PeerLink } from '../replicas/peer-link.js'
import { RemoteReplica } from '../replicas/remote-replica.js'
import { ReplicaServer } from '../replicas/replica-server.js'
import { ManualClock, nameOf, Wire } from '../replication.test-support.js'
import { SharedSlots } from '../transfer/shared-slots.js'
import { routingOf } from '../transfer/slot-quorums.js'
import { AntiEntropy } from './anti-entropy.js'
import { DigestServer } from './digest-server.js'

/** A store in a Map with digests, of which slots can be lost and whose commits can fail. */
export class ComparableStore {
  readonly held = new Map<string, StoredRecord>()
  readonly lost = new Set<Slot>()
  readonly floors = new Map<Slot, number>()
  readonly #digests = new Map<Slot, Hash64>()
  #looks = 0
  failure: KvError | undefined
  /** Slots that were looked through from end to end. */
  readonly scanned: Slot[] = []
  /** Called before a commit is made. */
  committing: (records: readonly StoredRecord[]) => void = () => undefined

  hold(...records: StoredRecord[]): void {
    for (const each of records) this.#merge(each)
  }

  get lostCount(): number {
    return this.lost.size
  }

  isLost(slot: Slot): boolean {
    return this.lost.has(slot)
  }

  async commit(records: readonly StoredRecord[]): Promise<CommitResult[]> {
    this.committing(records)
    if (this.failure !== undefined) throw this.failure
    return records.map((each) => this.#merge(each))
  }

  get(key: Uint8Array): StoredRecord | undefined {
    const floorMs = this.floorMs(slotOf(key))
    return this.held.get(nameOf(key)) ?? (floorMs > 0 ? floorTombstone(key, floorMs) : undefined)
  }

  floorMs(slot: Slot): number {
    return this.floors.get(slot) ?? 0
  }

  digestUpTo(slot: Slot, upToMs: number): PastDigest {
    const past = { hi: 0, lo: 0, dead: 0 }
    const hash = { hi: 0, lo: 0 }
    for (const record of this.held.values()) {
      if (slotOf(record.key) !== slot || hlcMs(record) > upToMs) continue
      hash64(record.key, record.hi, record.lo, record.node, hash)
      past.hi = (past.hi ^ hash.hi) >>> 0
      past.lo = (past.lo ^ hash.lo) >>> 0
      if (isDeadAtFloor(record, upToMs)) past.dead++
    }
    return past
  }

  async settled(): Promise<void> {}

  tombstonesIn(slot: Slot): number {
    return [...this.held.values()].filter(({ key, tombstone }) => tombstone && slotOf(key) === slot).length
  }

  async raiseFloors(floors: readonly Floor[]): Promise<void> {
    for (const { slot, floorMs } of floors) {
      if (floorMs <= this.floorMs(slot)) continue
      this.floors.set(slot, floorMs)
      for (const [name, record] of this.held) {
        if (slotOf(record.key) !== slot || !isDeadAtFloor(record, floorMs)) continue
        this.#toggle(record)
        this.held.delete(name)
      }
    }
  }

  getVersion(key: Uint8Array): StoredRecord | undefined {
    return this.get(key)
  }

  prefetch(): void {}

  scanSlot(slot: Slot, visit: (record: StoredRecord) => void): void {
    this.scanned.push(slot)
    for (const each of this.held.values()) if (slotOf(each.key) === slot) visit(each)
  }

  digest(slot: Slot): Hash64 {
    return this.#digests.get(slot) ?? { hi: 0, lo: 0 }
  }

  /** Tests change `held` and `floors` as they like: something always has changed. */
  get changes(): number {
    return this.#looks++
  }

  /** Whether both hold the same bytes. */
  equals(other: ComparableStore): boolean {
    if (this.held.size !== other.held.size) return false
    for (const [name, mine] of this.held) {
      const theirs = other.held.get(name)
      if (theirs === undefined || compareRecords(mine, theirs) !== 0) return false
    }
    return true
  }

  #merge(record: StoredRecord): CommitResult {
    const known = this.held.get(nameOf(record.key))
    const floorMs = this.floorMs(slotOf(record.key))
    if (known === undefined && floorMs > 0 && hlcMs(record) <= floorMs) {
      return { applied: false, seen: floorVersion(floorMs), existed: false, previous: undefined }
    }
    const applied = known === undefined || compareRecords(known, record) <= 0
    if (applied) {
      if (known !== undefined) this.#toggle(known)
      if (isDeadAtFloor(record, floorMs)) this.held.delete(nameOf(record.key))
      else {
        this.#toggle(record)
        this.held.set(nameOf(record.key), record)
      }
    }
    return { applied, seen: known, existed: known !== undefined && !known.tombstone, previous: undefined }
  }

  #toggle({ key, hi, lo, node }: StoredRecord): void {
    const hash = { hi: 0, lo: 0 }
    hash64(key, hi, lo, node, hash)
    const slot = slotOf(key)
    const sum = this.#digests.get(slot) ?? { hi: 0, lo: 0 }
    this.#digests.set(slot, { hi: (sum.hi ^ hash.hi) >>> 0, lo: (sum.lo ^ hash.lo) >>> 0 })
  }
}

export class ComparingNode {
  readonly name: NodeId
  readonly store = new ComparableStore()
  readonly antiEntropy: AntiEntropy
  readonly remotes: (RemoteReplica | undefined)[] = []
  routing: Routing
  ended = false
  readonly #server: ReplicaServer
  readonly #digests: DigestServer

  constructor(self: number, names: readonly NodeId[], clock: ManualClock, owns: (member: number) => boolean) {
    this.name = names[self]!
    for (const name of names) this.remotes.push(name === this.name ? undefined : new RemoteReplica())
    const members = names.map((id) => ({ id }))
    const everybody = Uint16Array.from(names.keys())
    const owners = (): Uint16Array => everybody
    const table = { members, ownersPerSlot: members.length, ownsSlot: owns, owners } as unknown as SlotTable
    const replicas = this.remotes.map((remote) => remote ?? ({ up: true } as unknown as RemoteReplica))
    const quorums = { readQuorum: 1, writeQuorum: 1, ...noOtherSide }
    this.routing = routingOf({ epoch: 1 as Epoch, table, self, replicas, ...quorums })
    const store = this.store as unknown as Store
    const shared = new SharedSlots()
    const slices = new ScanSlices(clock)
    const instruments = new Instruments(() => 0)
    this.#server = new ReplicaServer({ clock, instruments }, store)
    this.#digests = new DigestServer(store, shared, slices, () => this.routing)
    this.antiEntropy = new AntiEntropy({
      instruments,
      clock,
      log: silentLog,
      store,
      shared,
      slices,
      routing: () => this.routing,
      peer: (member) => this.remotes[member]!,
    })
  }

  asked(message: PeerMessage, link: PeerLink): void {
    for (const server of [this.#server, this.#digests]) {
      if (message.epoch === this.routing.epoch) server.serve(message, link)
      else server.refuse(message, link)
    }
  }
}

/** What was sent from one node to another. */
export interface SentMessage {
  readonly from: NodeId
  readonly to: NodeId
  readonly bytes: number
  readonly message: PeerMessage
}

/** Nodes that own every slot together and compare themselves, over real links and the real protocol. */
export class Comparison {
  readonly clock = new ManualClock()
  readonly nodes: ComparingNode[]
  readonly sent: SentMessage[] = []
  /** Whether what is sent arrives. */
  delivers: (from: NodeId, to: NodeId) => boolean = () => true
  readonly #wires: { from: NodeId; to: NodeId; wire: Wire }[] = []

  constructor(count: number, owns: (member: number) => boolean = () => true) {
    const names = Array.from({ length: count }, (_, i) => `n${i + 1}` as NodeId)
    this.nodes = names.map((_, i) => new ComparingNode(i, names, this.clock, owns))
    for (const from of this.nodes.keys()) for (const to of this.nodes.keys()) if (from !== to) this.connect(from, to)
  }

  /** Gives one node a new link to another. */
  connect(from: number, to: number): void {
    const [asking, answering] = [this.nodes[from]!, this.nodes[to]!]
    const [near, far] = [new Wire(), new Wire()]
    near.other = far
    far.other = near
    const remote = asking.remotes[to]!
    const envelope = (node: ComparingNode) => ({ hlc: () => zeroVersion, epoch: () => node.routing.epoch })
    const farLink: PeerLink = new PeerLink(far, this.clock, envelope(answering), {
      message: (message) => answering.asked(message, farLink),
      close: () => undefined,
    })
    const nearLink: PeerLink = new PeerLink(near, this.clock, envelope(asking), {
      message: (message) => remote.received(message),
      close: () => remote.detach(),
    })
    remote.attach(nearLink, 'life')
    this.#wires.push({ from: asking.name, to: answering.name, wire: near })
    this.#wires.push({ from: answering.name, to: asking.name, wire: far })
    asking.antiEntropy.hasten(answering.name)
  }

  /** Lets some nodes, or all, compare themselves from now on. */
  start(...which: number[]): this {
    for (const node of which.length === 0 ? this.nodes : which.map((i) => this.nodes[i]!)) {
      void node.antiEntropy.run().then(() => {
        node.ended = true
      })
    }
    return this
  }

  stop(): void {
    for (const { antiEntropy } of this.nodes) antiEntropy.stop()
  }

  /** Until the condition holds, or so much time has passed. */
  async until(condition: () => boolean, withinMs = 60_000, stepMs = 50): Promise<boolean> {
    for (let waitedMs = 0; ; waitedMs += stepMs) {
      // Nothing waits longer than for what others send, unless a timer says so: time stands still until all is said.
      do await new Promise((resolve) => setImmediate(resolve))
      while (this.#deliver())
      if (condition()) return true
      if (waitedMs >= withinMs) return false
      this.clock.advance(stepMs)
    }
  }

  async advance(ms: number, stepMs = 50): Promise<void> {
    await this.until(() => false, ms, stepMs)
  }

  get equal(): boolean {
    const [first, ...others] = this.nodes.map(({ store }) => store)
    return others.every((one) => one.equals(first!))
  }

  #deliver(): boolean {
    this.clock.advance(0)
    let some = false
    for (const { from, to, wire } of this.#wires) {
      for (const bytes of wire.sent)
        this.sent.push({ from, to, bytes: bytes.length, message: PeerMessage.decode(bytes) })
      some ||= wire.sent.length > 0
      if (this.delivers(from, to)) wire.deliver()
      else wire.sent.length = 0
    }
    return some
  }
}

/** What two rounds of one node take at most where nothing hinders it. */
export const twoRoundsMs: number = 2 * (limits.antiEntropyIntervalMs + limits.antiEntropySettleMs)

import { type Epoch, Instruments, type KvError } from '../../base/index.js'
import { compareVersions, type Hlc, hlcMs, hlcOf, type Version, zeroVersion } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'
import { effectiveQuorums, type HandoverStep, type SlotTable, slotOf } from '../../slots/index.js'
import { ActiveOperations } from '../operations/active-operations.js'
import { Coordinator } from '../operations/coordinator.js'
import type { OperationContext, Routing } from '../operations/routing.js'
import {
  failedRead,
  lostWrite,
  type ReadReply,
  type ReadWaiter,
  type Replica,
  type WriteReply,
  type WriteWaiter,
  wrongEpochRead,
  wrongEpochWrite,
} from '../replicas/replica.js'
import { applied, ManualClock, stale } from '../replication.test-support.js'
import { movingSlot, quorumsOf, restingQuorums, type SlotOwners } from './slot-quorums.js'

/** Rules that may be broken on purpose. */
export const brokenRules = [
  'writes need the owners before only',
  'reads settle on the owners before only',
  'owners to come answer reads',
  'no epoch fence',
  'switch before the pages are there',
  'pages from one owner',
  'done before the owners before have switched',
  'those who stay merge nothing when the read quorum shrinks',
] as const
export type BrokenRule = (typeof brokenRules)[number]

export interface ModelSettings {
  readonly replicationFactor: number
  readonly readQuorum: number
  readonly writeQuorum: number
}

/** One document of the topology, as far as one slot goes. */
interface Document {
  readonly epoch: Epoch
  readonly owners: readonly number[]
  readonly next: readonly number[] | undefined
  readonly step: HandoverStep | undefined
  /** The epoch that began the handover. */
  readonly since: number
}

const key = Buffer.from('k')
const slot = slotOf(key)

/** On its way over the wire. */
interface Message {
  /** A node that may be slow to read it; -1: it is none of an operation's requests. */
  readonly to: number
  readonly deliver: () => void
}

/** A copy of the slot's one key, and what its node knows. All but `admitted` and the operations outlives a crash. */
interface ModelNode {
  readonly id: number
  epoch: Epoch
  held: StoredRecord | undefined
  /** On its way to the disk. */
  admitted: (() => void)[]
  /** From whom the slot has been merged, in the handover that began at `since`. */
  merged: { since: number; from: Set<number> }
  /** Whether what was admitted before the present epoch has reached the disk. */
  unsettled: number
  life: number
  stampMs: number
  coordinator: Coordinator
}

/**
 * A slot with one key that moves between owners again and again while every node reads and writes, with the real
 * operations: messages come late or not at all and in any order, nodes follow topologies late and skip some, disks are slow,
 * processes crash in the middle. Throws as soon as a client could notice.
 */
export class HandoverModel {
  readonly done = { reads: 0, writes: 0, handovers: 0, cancelled: 0 }
  readonly #random: () => number
  readonly #settings: ModelSettings
  readonly #broken: BrokenRule | undefined
  readonly #nodes: ModelNode[]
  readonly #documents: Document[]
  readonly #clock = new ManualClock()
  /** By epoch, as far as it is the same at all nodes. */
  readonly #routings: (Routing | undefined)[] = []
  readonly #messages: Message[] = []
  /** How often things happen, of all events: other in each run. */
  readonly #pace: { readonly operate: number; readonly adopt: number; readonly propose: number }
  /** Nothing is asked from the proposal of a handover to its end: what was before it is met by what is after it. */
  readonly #quiet: boolean
  /** To whom requests come late, whose disk is slow, and who hears late of topologies, for the time being. */
  #laggards = { messages: 0, disk: 0, news: 0 }
  /** The highest version that was acknowledged, and that was acknowledged or returned. */
  #acknowledged: Version = zeroVersion
  #seen: Version = zeroVersion
  #violation: string | undefined
  #writes = 0

  constructor(random: () => number, nodes: number, settings: ModelSettings, broken?: BrokenRule) {
    this.#random = random
    this.#pace = { operate: 0.02 + 0.1 * random(), adopt: 0.005 + 0.06 * random(), propose: 0.002 + 0.02 * random() }
    this.#quiet = random() < 0.4
    this.#settings = settings
    this.#broken = broken
    this.#nodes = []
    const owners = this.#someNodes(nodes)
    this.#documents = [{ epoch: 1 as Epoch, owners, next: undefined, step: undefined, since: 0 }]
    for (let id = 0; id < nodes; id++) {
      const merged = { since: 0, from: new Set<number>() }
      const stampMs = Math.floor(random() * 200)
      const node = { id, epoch: 1 as Epoch, held: undefined, admitted: [], merged, unsettled: 0, life: 0, stampMs }
      this.#nodes.push(Object.assign(node, { coordinator: undefined as unknown as Coordinator }))
    }
    for (const node of this.#nodes) this.#begin(node)
  }

  /** Lets so many things happen. Returns what a client has noticed, or nothing. */
  async run(events: number): Promise<string | undefined> {
    for (let i = 0; i < events && this.#violation === undefined; i++) {
      this.#event()
      // Operations tell by promises.
      if (i % 4 === 0) await Promise.resolve()
    }
    return this.#violation
  }

  #event(): void {
    const { operate, adopt, propose } = this.#pace
    let dice = this.#random()
    /** Whether it is this one's turn, of so many parts of all events. */
    const falls = (share: number): boolean => {
      dice -= share
      return dice < 0
    }
    if (falls(operate)) this.#operate(this.#someNode())
    else if (falls(adopt)) this.#adopt(this.#someNode())
    else if (falls(propose)) this.#propose()
    else if (falls(0.2)) this.#writeToDisk(this.#someNode())
    else if (falls(0.03)) this.#merge()
    else if (falls(0.031)) this.#clock.advance(10)
    else if (falls(0.003)) this.#laggards = this.#someLaggards()
    else if (falls(0.002)) this.#crash(this.#someNode())
    else if (falls(0.005)) this.#drop(this.#someNode())
    else this.#deliver()
  }

  #someLaggards(): { messages: number; disk: number; news: number } {
    return { messages: this.#someNode().id, disk: this.#someNode().id, news: this.#someNode().id }
  }

  #operate(node: ModelNode): void {
    if (this.#messages.length > 40 || (this.#quiet && this.#latest.next !== undefined)) return
    if (this.#random() < 0.6) this.#read(node)
    else this.#write(node)
  }

  #someNode(): ModelNode {
    return this.#nodes[Math.floor(this.#random() * this.#nodes.length)]!
  }

  /** Up to as many as there are owners of a slot, in random order. */
  #someNodes(nodes = this.#nodes.length): number[] {
    const { replicationFactor } = this.#settings
    const most = Math.min(nodes, replicationFactor)
    const count = this.#random() < 0.6 ? most : 1 + Math.floor(this.#random() * most)
    const order = Array.from({ length: nodes }, (_, id) => ({ id, rank: this.#random() }))
    order.sort((a, b) => a.rank - b.rank)
    return order.slice(0, count).map(({ id }) => id)
  }

  get #latest(): Document {
    return this.#documents.at(-1)!
  }

  #quorums(owners: readonly number[]): { readQuorum: number; writeQuorum: number } {
    return effectiveQuorums(this.#settings, owners.length)
  }

  // --- topology ---

  #propose(): void {
    const { owners, next, step, since, epoch } = this.#latest
    const add = (document: Omit<Document, 'epoch'>): void => {
      this.#documents.push({ ...document, epoch: (epoch + 1) as Epoch })
    }
    if (next === undefined) {
      add({ owners, next: this.#someNodes(), step: 'both', since: epoch + 1 })
    } else if (step === 'both') {
      if (this.#random() < 0.05) {
        this.done.cancelled++
        add({ owners, next: undefined, step: undefined, since: 0 })
      } else if (this.#broken === 'switch before the pages are there' || this.#isStreamed()) {
        add({ owners, next, step: 'switch', since })
      }
    } else if (this.#broken === 'done before the owners before have switched' || this.#isSwitched()) {
      this.done.handovers++
      add({ owners: next, next: undefined, step: undefined, since: 0 })
    }
  }

  /** Who has to merge the slot in the handover of a document. */
  #incoming({ owners, next = [] }: Document): number[] {
    const shrinks = this.#quorums(next).readQuorum < this.#quorums(owners).readQuorum
    const all = shrinks && this.#broken !== 'those who stay merge nothing when the read quorum shrinks'
    return next.filter((id) => all || !owners.includes(id))
  }

  #isStreamed(): boolean {
    const { owners, since } = this.#latest
    const needed = this.#broken === 'pages from one owner' ? 1 : this.#quorums(owners).readQuorum
    return this.#incoming(this.#latest).every((id) => {
      const { merged } = this.#nodes[id]!
      return merged.since === since && merged.from.size >= needed
    })
  }

  #isSwitched(): boolean {
    const { owners, epoch } = this.#latest
    const switched = owners.filter((id) => this.#nodes[id]!.epoch === epoch && this.#nodes[id]!.unsettled === 0)
    return switched.length >= owners.length - this.#quorums(owners).readQuorum + 1
  }

  #adopt(node: ModelNode): void {
    if (node.id === this.#laggards.news && this.#random() < 0.95) return
    const newer = this.#documents.filter(({ epoch }) => epoch > node.epoch)
    const document = newer[Math.floor(this.#random() * newer.length)]
    if (document === undefined) return
    node.epoch = document.epoch
    node.unsettled = node.admitted.length
    if (this.#broken === 'no epoch fence') this.#begin(node)
    else node.coordinator.routing = this.#routing(node)
  }

  /** An owner to come asks an owner before for the slot; under the same epoch only. */
  #merge(): void {
    const incoming = this.#incoming(this.#latest)
    const node = this.#nodes[incoming[Math.floor(this.#random() * incoming.length)] ?? -1]
    const document = this.#documents[(node?.epoch ?? 0) - 1]
    if (node === undefined || document?.step !== 'both' || !this.#incoming(document).includes(node.id)) return
    if (node.merged.since !== document.since) node.merged = { since: document.since, from: new Set() }
    const from = this.#nodes[document.owners[Math.floor(this.#random() * document.owners.length)]!]!
    const { epoch, life } = node
    this.#send(-1, () => {
      if (from.epoch !== epoch) return
      const answer = (): void => {
        const page = from.held
        this.#send(-1, () => {
          // The worker goes on through epochs of the same handover, but not through a restart.
          if (node.life !== life || node.merged.since !== document.since) return
          if (page !== undefined) apply(node, page)
          node.merged.from.add(from.id)
        })
      }
      // Behind what it has admitted: the page is read when that has reached the disk.
      from.admitted.push(answer)
    })
  }

  /** A node that does not own the slot any more empties it, when no handover runs. */
  #drop(node: ModelNode): void {
    const { next, owners } = this.#documents[node.epoch - 1]!
    if (next === undefined && !owners.includes(node.id) && node.admitted.length === 0) node.held = undefined
  }

  // --- nodes ---

  /** A life of its process: what the last one was doing is forgotten. */
  #begin(node: ModelNode): void {
    const active = new ActiveOperations(this.#clock)
    const context: OperationContext = {
      clock: this.#clock,
      active,
      instruments: new Instruments(() => 0),
      nodeNumber: node.id + 1,
      stamp: () => hlcOf(++node.stampMs, 0),
      whenStampable: () => () => {},
      raiseClock: (above: Hlc) => {
        node.stampMs = Math.max(node.stampMs, hlcMs(above))
      },
      missed: () => {},
    }
    node.coordinator = new Coordinator({ context, entries: () => 1, dataBytes: () => 0 }, this.#routing(node))
  }

  #crash(node: ModelNode): void {
    node.life++
    node.admitted = []
    node.unsettled = 0
    // Stamps never go back: the clock's ceiling is durable.
    node.stampMs += 5
    this.#begin(node)
  }

  #writeToDisk(node: ModelNode): void {
    if (node.id === this.#laggards.disk && this.#random() < 0.95) return
    const next = node.admitted.shift()
    if (node.unsettled > 0) node.unsettled--
    next?.()
  }

  #send(to: number, deliver: () => void): void {
    this.#messages.push({ to, deliver })
  }

  #deliver(): void {
    const at = Math.floor(this.#random() * this.#messages.length)
    const message = this.#messages[at]
    if (message === undefined || (message.to === this.#laggards.messages && this.#random() < 0.95)) return
    this.#messages[at] = this.#messages.at(-1)!
    this.#messages.pop()
    message.deliver()
  }

  #routing(node: ModelNode): Routing {
    const { owners, next, step, epoch } = this.#documents[node.epoch - 1]!
    const [reading, other] = step === 'switch' ? [next!, owners] : [owners, next]
    const { readQuorum: otherReadQuorum, writeQuorum: otherWriteQuorum } = this.#quorums(other ?? [])
    let known = this.#routings[epoch]
    if (known === undefined) {
      const table = this.#table(reading)
      const otherTable = other === undefined ? undefined : this.#table(other)
      const quorums = { ...this.#quorums(reading), other: otherTable, otherReadQuorum, otherWriteQuorum, step }
      const sides = { epoch, table, self: 0, replicas: [], ...quorums }
      const slots: SlotOwners[] = []
      // As `routingOf` does for all 4,096 slots.
      const moves = otherTable !== undefined && !isSameSet(owners, next!)
      slots[slot] = moves
        ? movingSlot(sides, otherTable, slot, new Map())
        : { owners: table.owners(slot), quorums: restingQuorums(sides), moves }
      known = this.#breakRules({ ...sides, slots })
      this.#routings[epoch] = known
    }
    return { ...known, self: node.id, replicas: this.#nodes.map((far) => this.#replica(node, far)) }
  }

  #table(owners: readonly number[]): SlotTable {
    const members = this.#nodes.map(({ id }) => ({ id: `n${id}` }))
    const list = Uint16Array.from(owners)
    return { members, ownersPerSlot: owners.length, owners: () => list } as unknown as SlotTable
  }

  #breakRules(routing: Routing): Routing {
    const { owners, moves } = routing.slots[slot]!
    if (!moves) return routing
    const quorums = { ...quorumsOf(routing, slot) }
    const first = (all: typeof quorums.settled): typeof quorums.settled => ({ ...all, quorum: all.quorum.slice(0, 1) })
    if (this.#broken === 'writes need the owners before only') quorums.written = first(quorums.written)
    if (this.#broken === 'reads settle on the owners before only') quorums.settled = first(quorums.settled)
    if (this.#broken === 'owners to come answer reads') {
      const everybody = { group: quorums.reading | quorums.newcomers, needed: routing.readQuorum }
      quorums.reading = everybody.group
      quorums.answered = { ...quorums.answered, quorum: [everybody] }
    }
    const slots = [...routing.slots]
    slots[slot] = { owners, quorums, moves }
    return { ...routing, slots }
  }

  /** The way from one node to the copy of another. */
  #replica(near: ModelNode, far: ModelNode): Replica {
    const serves = (epoch: Epoch): boolean => far.epoch === epoch || near === far || this.#broken === 'no epoch fence'
    const { life } = near
    /** Over the wire and back, unless it breaks or either end does. */
    const exchange = <T>(serve: (reply: (answer: T) => void) => void, answered: (answer: T) => void, lost: T): void => {
      const reply = (answer: T): void => {
        this.#send(-1, () => {
          if (near.life === life) answered(this.#random() < 0.02 ? lost : answer)
        })
      }
      if (near === far) serve(reply)
      else this.#send(far.id, () => (this.#random() < 0.03 ? reply(lost) : serve(reply)))
    }
    return {
      up: true,
      returning: false,
      doubted: false,
      lacks: () => false,
      accepts: () => true,
      write: (record: StoredRecord, _: boolean, waiter: WriteWaiter, position: number) => {
        const { epoch } = near
        const serve = (reply: (answer: WriteReply) => void): void => {
          if (serves(epoch)) far.admitted.push(() => reply(apply(far, record)))
          else reply(wrongEpochWrite)
        }
        exchange(serve, (answer) => waiter.writeReplied(position, answer), lostWrite)
      },
      read: (_: Uint8Array, full: boolean, waiter: ReadWaiter, position: number) => {
        const { epoch } = near
        const serve = (reply: (answer: ReadReply) => void): void => {
          const { held } = far
          if (!serves(epoch)) reply(wrongEpochRead)
          else reply({ kind: 'held', version: held ?? zeroVersion, record: full ? held : undefined })
        }
        exchange(serve, (answer) => waiter.readReplied(position, answer), failedRead)
      },
      page: () => {},
    }
  }

  // --- clients ---

  #read(node: ModelNode): void {
    const atLeast = this.#seen
    const { epoch } = node
    const options = { consistency: 'quorum', deadlineMs: this.#clock.nowMs + 400 } as const
    node.coordinator.get(key, options).then(
      (found) => {
        const version = found ?? zeroVersion
        this.done.reads++
        if (compareVersions(version, atLeast) < 0) {
          this.#violation ??= `a read at node ${node.id} from epoch ${epoch} on returned ${text(version)} after ${text(atLeast)}`
        }
        this.#seen = higher(this.#seen, version)
      },
      (_: KvError) => undefined,
    )
  }

  #write(node: ModelNode): void {
    const above = this.#acknowledged
    const { epoch } = node
    const options = { consistency: 'quorum', deadlineMs: this.#clock.nowMs + 400 } as const
    node.coordinator.put(key, Buffer.from(`v${this.#writes++}`), options).then(
      ({ version }) => {
        this.done.writes++
        if (compareVersions(version, above) <= 0) {
          this.#violation ??= `a write at node ${node.id} from epoch ${epoch} on got ${text(version)} after ${text(above)}`
        }
        this.#acknowledged = higher(this.#acknowledged, version)
        this.#seen = higher(this.#seen, version)
      },
      (_: KvError) => undefined,
    )
  }
}

function apply(node: ModelNode, record: StoredRecord): WriteReply {
  const { held } = node
  if (held !== undefined && compareVersions(held, record) > 0) return stale(held)
  node.held = record
  return applied(held, held !== undefined, held)
}

function isSameSet(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id))
}

function higher(a: Version, b: Version): Version {
  return compareVersions(a, b) >= 0 ? a : b
}

function text(version: Version): string {
  return `${hlcMs(version)} of ${version.node}`
}

import { type Instruments, invalidArgument, KvError, limits, type NodeId, type Slot } from '../../base/index.js'
import type { Clock, Log } from '../../env/index.js'
import type { Store } from '../../store/index.js'
import type { Routing } from '../operations/routing.js'
import type { ScanSlices } from '../operations/scan-slices.js'
import { ByteRate } from '../transfer/byte-rate.js'
import { Pauses } from '../transfer/pauses.js'
import type { SharedSlots } from '../transfer/shared-slots.js'
import { Exchange } from './anti-entropy-exchange.js'
import type { ComparedReplica } from './compared-replica.js'
import { type ExchangeTally, emptyTally } from './counterpart.js'
import { addTally, Repair, type RepairProgress, type RepairRequest } from './repair.js'

export interface AntiEntropyOptions {
  readonly clock: Clock
  readonly log: Log
  readonly instruments: Instruments
  readonly store: Store
  readonly shared: SharedSlots
  /** Shared with those who answer other nodes: one slice at a time. */
  readonly slices: ScanSlices
  /** The one in force now. */
  routing(): Routing
  /** The way to another member, by its index in the routing. */
  peer(member: number): ComparedReplica
}

/** How this node stands to one other member. */
export interface PeerConvergence {
  readonly node: NodeId
  /** How long ago the last comparison that got to its end was over; undefined: none was since the start. */
  readonly comparedMsAgo: number | undefined
  /** Slots that the last comparison found to differ and has not made equal. */
  readonly differingSlots: number
  /** Why the last comparison did not get to its end; empty: it did. */
  readonly obstacle: string
}

export interface ConvergenceStatus {
  readonly peers: readonly PeerConvergence[]
  /** Records that this node has fetched and sent since it started, because they were missing or older here or there. */
  readonly recordsPulled: number
  readonly recordsPushed: number
}

interface PeerState {
  /** When to compare next, in monotonic milliseconds. */
  dueMs: number
  backoffMs: number
  /** Monotonic; undefined: never. */
  comparedMs: number | undefined
  differing: number
  obstacle: string
  /** Exchanges begun with it: by turns they go through the slots that writes leave in doubt. */
  exchanges: number
}

/**
 * Makes this node and the other owners of its slots equal, always, without anybody reading: one member after the other
 * is compared with and given and taken what is missing (`Exchange`). Every node does so, so a pair is compared from
 * both sides, each often enough by itself: a path that works in one direction only is no obstacle. Where nothing differs,
 * that is one digest for each pair and `antiEntropyIntervalMs`. A member that has come back is compared with at once,
 * one with which it did not work after a pause that grows.
 *
 * One exchange runs at a time, at a rate of its own, and gives way to what clients want on the same link: what it needs in
 * memory is bounded by a few pages and batches, whatever differs.
 */
export class AntiEntropy {
  readonly #options: AntiEntropyOptions
  /** Of the exchange that runs. */
  readonly #pauses: Pauses
  /** Of the wait for the next one. */
  readonly #idle: Pauses
  readonly #rate: ByteRate
  readonly #peers = new Map<NodeId, PeerState>()
  /** Of all exchanges that are over. */
  readonly #total: ExchangeTally = emptyTally()
  #running: { readonly node: NodeId; readonly tally: ExchangeTally } | undefined
  /** In the order in which they were asked for; of those at the front that are over, only so many are remembered. */
  readonly #repairs: Repair[] = []
  /** The id of the last one. Ids begin at the wall clock, so that those of an earlier life name nothing in this one. */
  #lastRepairId: number

  constructor(options: AntiEntropyOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
    this.#idle = new Pauses(options.clock)
    this.#rate = new ByteRate(options.clock, this.#pauses, limits.antiEntropyBytesPerSecond)
    this.#lastRepairId = options.clock.wallMs()
  }

  /** Works until stopped. Throws only bugs: a disk that fails ends the process by way of the store. */
  async run(): Promise<void> {
    while (!this.#idle.stopped) {
      const repair = this.#repairs.find(({ done }) => !done)
      const next = repair?.next()
      if (repair !== undefined && next !== undefined) {
        repair.ended(next.member, await this.#exchange(next.member, repair.slot, next.tally))
        continue
      }
      const { member, waitMs } = this.#due()
      if (member === undefined) await this.#idle.pause(waitMs)
      else await this.#exchange(member, undefined, emptyTally())
    }
    for (const repair of this.#repairs) repair.giveUp('this node stops')
  }

  /** Idempotent. What waits ends; `run` resolves soon. */
  stop(): void {
    this.#pauses.stop()
    this.#idle.stop()
  }

  /** The topology has changed, and with it who is to be compared with. */
  wake(): void {
    this.#idle.endAll()
  }

  /** Compares with this member as soon as may be: it has come back, or is known to lack something. */
  hasten(node: NodeId): void {
    const state = this.#peers.get(node)
    if (state !== undefined) {
      state.dueMs = 0
      state.backoffMs = limits.antiEntropyBackoffMsMin
    }
    this.wake()
  }

  status(): ConvergenceStatus {
    const sum = { ...this.#total }
    if (this.#running !== undefined) addTally(sum, this.#running.tally)
    const nowMs = this.#options.clock.monotonicMs()
    const peers = [...this.#peers].map(([node, { comparedMs, differing, obstacle }]) => {
      const tally = this.#running?.node === node ? this.#running.tally : undefined
      // What the running one has found so far says more than what the last one has left, once it has found something.
      const differingSlots = tally === undefined || tally.differing === 0 ? differing : tally.differing - tally.repaired
      const comparedMsAgo = comparedMs === undefined ? undefined : nowMs - comparedMs
      return { node, comparedMsAgo, differingSlots, obstacle }
    })
    return { peers, recordsPulled: sum.pulled, recordsPushed: sum.pushed }
  }

  /**
   * Begins a comparison with all members that share slots with this node, or with one, as soon as the exchange that
   * runs is over. It goes on whoever asks about it. Throws KvError: `invalid-argument` where this node does not own the
   * slot, or the member does not; `overloaded` where too many wait.
   */
  repair({ slot, node }: RepairRequest): RepairProgress {
    const { table, self } = this.#options.routing()
    if (slot !== undefined && !table.ownsSlot(self, slot)) {
      throw invalidArgument('slot', `must be one that ${table.members[self]!.id} owns, got ${slot}`)
    }
    const others = table.members.flatMap(({ id }, member) => {
      const concerned = member !== self && (slot === undefined || table.ownsSlot(member, slot))
      return concerned && (node === undefined || id === node) ? [id] : []
    })
    if (node !== undefined && others.length === 0) {
      const which = slot === undefined ? 'another member' : `another owner of slot ${slot}`
      throw invalidArgument('node', `must be ${which}, got ${JSON.stringify(node)}`)
    }
    if (this.#repairs.filter(({ done }) => !done).length >= limits.repairsMax) {
      throw new KvError('overloaded', `${limits.repairsMax} repairs wait already`)
    }
    const repair = new Repair(++this.#lastRepairId, slot, others)
    if (this.#idle.stopped) repair.giveUp('this node stops')
    this.#repairs.push(repair)
    if (this.#repairs.length > limits.repairsKeptMax) this.#repairs.shift()
    this.wake()
    return repair.progress()
  }

  /** How far a repair has come. Throws KvError `invalid-argument` where nothing is known of it. */
  repairProgress(id: number): RepairProgress {
    const repair = this.#repairs.find((one) => one.id === id)
    if (repair !== undefined) return repair.progress()
    throw invalidArgument('repair_id', `must be of a repair that this node remembers since its start, got ${id}`)
  }

  /** The member that has been due the longest, or how long until one is. */
  #due(): { member: NodeId | undefined; waitMs: number } {
    const { clock, routing } = this.#options
    const { table, self, replicas } = routing()
    for (const id of this.#peers.keys()) if (!table.members.some((member) => member.id === id)) this.#peers.delete(id)
    const nowMs = clock.monotonicMs()
    let first: { id: NodeId; dueMs: number } | undefined
    for (const [member, { id }] of table.members.entries()) {
      if (member === self) continue
      const { dueMs } = this.#stateOf(id)
      // Who is down is told by `hasten` when it comes back.
      if (replicas[member]!.up && (first === undefined || dueMs < first.dueMs)) first = { id, dueMs }
    }
    if (first === undefined) return { member: undefined, waitMs: limits.antiEntropyIntervalMs }
    return first.dueMs <= nowMs
      ? { member: first.id, waitMs: 0 }
      : { member: undefined, waitMs: Math.min(first.dueMs - nowMs, limits.antiEntropyIntervalMs) }
  }

  #stateOf(id: NodeId): PeerState {
    let state = this.#peers.get(id)
    if (state === undefined) {
      state = {
        dueMs: 0,
        backoffMs: limits.antiEntropyBackoffMsMin,
        comparedMs: undefined,
        differing: 0,
        obstacle: '',
        exchanges: 0,
      }
      this.#peers.set(id, state)
    }
    return state
  }

  /** One exchange with one member; why it did not get to its end, or nothing. */
  async #exchange(node: NodeId, slot: Slot | undefined, tally: ExchangeTally): Promise<string> {
    const { clock, log, store, shared, slices, routing, peer } = this.#options
    const state = this.#stateOf(node)
    const member = routing().table.members.findIndex(({ id }) => id === node)
    if (member < 0) return 'it is no longer a member'
    if (!peer(member).up) return 'it cannot be reached'
    // Before, not after: a member that comes back meanwhile is due again.
    if (slot === undefined) state.dueMs = Number.POSITIVE_INFINITY
    const turn = state.exchanges++
    const own = { pauses: this.#pauses, rate: this.#rate, member, peer: peer(member), slot, tally, turn }
    this.#running = { node, tally }
    const obstacle = await new Exchange({ clock, store, shared, slices, routing, ...own }).run()
    this.#running = undefined
    addTally(this.#total, tally)
    if (slot === undefined) this.#settle(state, tally, obstacle)
    const { differing, pulled, pushed, bytes } = tally
    if (pulled + pushed > 0) {
      log.info('replicas differed', { node, slots: differing, pulled, pushed, bytes })
      const text = `${differing} slots differed: ${pulled} records fetched, ${pushed} sent`
      this.#options.instruments.events.add('repaired', node, text)
    }
    if (obstacle !== '') log.debug('replicas were not compared', { node, obstacle })
    return obstacle
  }

  /** Notes how a comparison of everything went, and when the next is due. */
  #settle(state: PeerState, { differing, repaired }: ExchangeTally, obstacle: string): void {
    const { clock } = this.#options
    const failed = obstacle !== ''
    const repeatMs = failed ? state.backoffMs : limits.antiEntropyIntervalMs
    state.dueMs = Math.min(state.dueMs, clock.monotonicMs() + repeatMs)
    state.backoffMs = failed
      ? Math.min(2 * state.backoffMs, limits.antiEntropyBackoffMsMax)
      : limits.antiEntropyBackoffMsMin
    state.differing = differing - repaired
    state.obstacle = obstacle
    if (!failed) state.comparedMs = clock.monotonicMs()
  }
}

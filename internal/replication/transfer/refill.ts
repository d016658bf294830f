import { type Instruments, limits, type NodeId, type Slot } from '../../base/index.js'
import type { Clock, Log } from '../../env/index.js'
import type { Store } from '../../store/index.js'
import { type Routing, settledCount } from '../operations/routing.js'
import type { ForgetWaiter } from '../replicas/remote-replica.js'
import type { Replica } from '../replicas/replica.js'
import { ByteRate } from './byte-rate.js'
import type { CopySource } from './copy-source.js'
import { Pauses } from './pauses.js'
import { SlotMerge, type WantedSlot } from './slot-merge.js'
import { WorkPace } from './work-pace.js'

export interface RefillerOptions {
  readonly clock: Clock
  readonly log: Log
  readonly instruments: Instruments
  readonly store: Store
  /**
   * This node is a later incarnation of a member, and the former one may still run somewhere, cut off, with members that
   * do not know of it. It makes no read quorum (R) with them when N - R + 1 others have answered under the epoch of the
   * newcomer, and no write quorum when R have: with it they are at most N - R, fewer than W.
   */
  readonly replacesAnother: boolean
  /** The one in force now. */
  routing(): Routing
  /**
   * The way to a member for copies of its slots: the link for what is large, if there is one. By its id: its index may be
   * another's before the slots are here.
   */
  source(id: NodeId): CopySource
  /** Rises with everything that this node does for clients: while it does, copying gives way (`WorkPace`). */
  served(): number
  /** Whether such links are wanted. */
  streaming(on: boolean): void
  /** Has another member, by its index in the routing, forget what earlier lives of this node said of the slots. */
  forget(member: number, slots: readonly Slot[], waiter: ForgetWaiter): void
}

/**
 * Refills the slots that this replica has lost from the slots' other owners, and gives it back its vote in them. What it
 * relies on is that from the start of the process until `Store.refilled` this replica answers nothing about such a slot.
 *
 * How many other owners hold everything. With N owners, let this replica, X, have taken part in
 *
 * - an acknowledged write: W owners had it on disk, W - 1 of them others. Any N - W + 1 of the N - 1 others include one
 *   of those, because (W - 1) + (N - W + 1) > N - 1. The same holds when some of the others have lost the slot as well
 *   and are not asked: they leave both sides of the count alike.
 * - a version that a read settled and returned: N - R + 1 owners had it, and by the same count any R others include one.
 *
 * R >= N - W + 1, because R + W > N: so R others, a read quorum without X, hold at least what X had promised. Where
 * R = N there are only N - 1 others. They hold every acknowledged write (W >= 2); what reads had found on X alone, and
 * nobody acknowledged, is gone with X.
 *
 * Why nothing is promised on the strength of what X has forgotten. An operation that runs elsewhere may have counted an
 * answer of X's earlier life, and may wait for one more: if that came after we read, there would be a quorum of which X
 * holds nothing. (Michael, Ports, Sharma and Szekeres, "Recovering Shared Objects Without Stable Storage", DISC 2017,
 * found this in recovery protocols that were thought to be right.) So before anything is read, every member forgets
 * X's earlier answers: operations that have counted one in a lost slot fail, and links to earlier lives are closed. A
 * member that cannot be reached is waited for until no operation can be left that began before this life of X did. An
 * operation that was met before that had all its other answers before that too, so what they promised is on the disks
 * that are read afterwards.
 *
 * Why writes that come during the refill are not lost. They are stored here as they come, though they count for
 * nothing; merging is by version, so it does not matter which comes first. What is acknowledged meanwhile has its
 * quorum among the other owners and owes nothing to X, which need not even have it.
 *
 * A refill resumes by slots: what one life of the process has finished the store knows, what it has not is done again.
 */
export class Refiller {
  readonly #options: RefillerOptions
  readonly #pauses: Pauses
  /** Between two rounds. */
  readonly #idle: Pauses
  readonly #merge: SlotMerge
  readonly #startedMs: number
  /** Members that have forgotten, for as long as this process lives. */
  readonly #forgetful = new Set<Replica>()
  /** The other owners from which a slot has been merged already, by id, under `#epoch`. */
  readonly #merged = new Map<Slot, Set<string>>()
  #epoch = -1
  /** Of the last round through the slots, as long as none has been refilled since. */
  #obstacle = ''
  /** Of the round that runs. */
  #found = ''
  #complained = ''
  #bytes = 0
  #refilled = 0
  #reportAtMs: number

  constructor(options: RefillerOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
    this.#idle = new Pauses(options.clock)
    this.#merge = new SlotMerge({
      store: options.store,
      pauses: this.#pauses,
      rate: new ByteRate(options.clock, this.#pauses, limits.refillBytesPerSecond),
      pace: new WorkPace(options.clock, this.#pauses, () => options.served()),
      settled: false,
      source: (id) => options.source(id),
      moved: (bytes) => {
        this.#bytes += bytes
        this.#report()
      },
      hindered: (obstacle) => {
        this.#found = obstacle
      },
    })
    this.#startedMs = options.clock.monotonicMs()
    this.#reportAtMs = this.#startedMs + limits.refillReportMs
  }

  /** Why lost slots are not being refilled at the moment; empty: they are, or none is lost. For people. */
  get obstacle(): string {
    return this.#obstacle
  }

  /** Idempotent. What waits ends; `run` resolves soon. */
  stop(): void {
    this.#pauses.stop()
    this.#idle.stop()
  }

  /** The topology has changed: who owns a lost slot may have changed with it. */
  wake(): void {
    this.#pauses.endAll()
    this.#idle.endAll()
  }

  /**
   * A member can be reached again: perhaps it was what the next round waits for. Without this, members that come and go
   * are missed by rounds ever further apart.
   */
  returned(): void {
    this.#idle.endAll()
  }

  /** Works until stopped. Throws only bugs: a disk that fails ends the process by way of the store. */
  async run(): Promise<void> {
    while (!this.#pauses.stopped) {
      await this.refillAll()
      if (!this.#pauses.stopped) await this.#idle.pause(limits.refillIdleMs)
    }
  }

  /** Works until no slot is lost, or until stopped. Throws as `run`. */
  async refillAll(): Promise<void> {
    const { store, log } = this.#options
    const { events } = this.#options.instruments
    if (store.lostCount === 0) return
    log.warn('slots are lost here and will be refilled from their other owners', { slots: store.lostCount })
    events.add('lost-slots', '', `${store.lostCount} slots are lost and are being refilled`)
    let backoffMs: number = limits.refillBackoffMsMin
    while (!this.#pauses.stopped && store.lostCount > 0) {
      const before = store.lostCount
      await this.#round()
      this.#obstacle = this.#found
      if (this.#pauses.stopped || store.lostCount === 0) break
      this.#complain()
      if (store.lostCount < before) backoffMs = limits.refillBackoffMsMin
      await this.#idle.pause(backoffMs)
      backoffMs = Math.min(2 * backoffMs, limits.refillBackoffMsMax)
    }
    this.#obstacle = ''
    this.#options.streaming(false)
    if (store.lostCount > 0) return
    log.info('every lost slot is refilled', this.#facts())
    events.add('lost-slots', '', 'every lost slot is refilled')
  }

  /** Tries every lost slot that this node owns once. */
  async #round(): Promise<void> {
    const { store, routing } = this.#options
    const { epoch, table, other, self } = routing()
    if (epoch !== this.#epoch) {
      this.#epoch = epoch
      this.#merged.clear()
    }
    const lost = store.lostSlots()
    // One that is on its way to this node is merged from those who are read meanwhile, as if it had owned it before.
    const owned = lost.filter((slot) => table.ownsSlot(self, slot) || other?.ownsSlot(self, slot) === true)
    this.#found = ''
    // `Leftovers` empties them; should a handover bring one back before that, it is refilled first.
    if (owned.length < lost.length)
      this.#found = `${lost.length - owned.length} of the lost slots belong to other nodes`
    // No links are kept for slots of other nodes.
    this.#options.streaming(owned.length > 0)
    if (owned.length === 0 || !(await this.#haveForgotten())) return
    // Under another epoch others may own them, or this node not at all: the next round looks anew.
    const goesOn = (): boolean => routing().epoch === epoch
    for (let i = 0; i < owned.length && !this.#pauses.stopped; i += limits.copySlotsMax) {
      const wanted: WantedSlot[] = []
      for (const slot of owned.slice(i, i + limits.copySlotsMax)) {
        const each = this.#wanted(slot)
        if (each !== undefined) wanted.push(each)
      }
      const whole: Slot[] = []
      await this.#merge.fill(wanted, goesOn, (slots) => whole.push(...slots))
      if (!goesOn()) return
      await this.#finish(whole)
      this.#report()
    }
  }

  /** Whether every other member has forgotten what this node said of its lost slots before it lost them. */
  async #haveForgotten(): Promise<boolean> {
    const { clock, routing, store, forget } = this.#options
    const { replicas, self, table } = routing()
    const slots = store.lostSlots()
    await Promise.all(
      replicas.map(async (replica, member) => {
        if (member === self || this.#forgetful.has(replica)) return
        const done = await this.#answer<boolean>(false, (resolve) => forget(member, slots, { forgotten: resolve }))
        if (done) this.#forgetful.add(replica)
      }),
    )
    const missing = table.members.filter((_, member) => member !== self && !this.#forgetful.has(replicas[member]!))
    if (missing.length === 0 || clock.monotonicMs() - this.#startedMs >= limits.refillForgetMs) return true
    this.#found = `${missing.map(({ id }) => id).join(', ')} cannot be reached and may be counting on what was lost`
    return false
  }

  /** From whom a slot can be merged; undefined: not from enough. */
  #wanted(slot: Slot): WantedSlot | undefined {
    const routing = this.#options.routing()
    const { replicas, self, readQuorum, table } = routing
    const others = Array.from(table.owners(slot)).filter((member) => member !== self)
    if (others.length === 0) {
      this.#found = `slot ${slot} has no other owner: without another copy \`kv-server repair --accept-loss\` is left`
      return undefined
    }
    const least = this.#options.replacesAnother ? Math.max(readQuorum, settledCount(routing)) : readQuorum
    const needed = Math.min(least, others.length)
    const merged = this.#merged.get(slot) ?? new Set<string>()
    this.#merged.set(slot, merged)
    const idOf = (member: number): NodeId => table.members[member]!.id
    const reachable = others.filter((member) => replicas[member]!.up || merged.has(idOf(member)))
    // Until enough of them are there, merging some would be work that a restart loses.
    if (reachable.length < needed) {
      const down = others.filter((member) => !replicas[member]!.up).map(idOf)
      this.#found = `slot ${slot} needs ${needed} other owners, and ${down.join(', ')} cannot be reached`
      return undefined
    }
    return { slot, needed, from: reachable.map((member) => ({ id: idOf(member), name: idOf(member) })), merged }
  }

  /** The slots are whole: durable, and from then on this replica votes in them. */
  async #finish(slots: readonly Slot[]): Promise<void> {
    if (slots.length === 0 || !(await this.#merge.stored(() => this.#options.store.refilled(slots)))) return
    for (const slot of slots) this.#merged.delete(slot)
    this.#refilled += slots.length
    this.#obstacle = ''
  }

  #answer<T>(silence: T, ask: (resolve: (answer: T) => void) => void): Promise<T> {
    return this.#pauses.answer(limits.refillReplyMs, silence, ask)
  }

  #report(): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs < this.#reportAtMs) return
    this.#reportAtMs = nowMs + limits.refillReportMs
    this.#options.log.info('refilling lost slots', { lost: this.#options.store.lostCount, ...this.#facts() })
  }

  /** Once for each obstacle: it may last for days, and the status shows it. */
  #complain(): void {
    if (this.#obstacle === this.#complained) return
    this.#complained = this.#obstacle
    const { log, store } = this.#options
    log.warn('slots stay lost for the time being', { slots: store.lostCount, obstacle: this.#obstacle })
  }

  #facts(): Record<string, number> {
    return { refilled: this.#refilled, bytes: this.#bytes }
  }
}

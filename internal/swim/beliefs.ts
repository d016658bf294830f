import { equalBytes } from '../base/index.js'
import type { SwimEvent, SwimMember, SwimSettings } from './face.js'
import type { LocalHealth } from './local-health.js'
import { descriptionRumour, type MemberState, type MemberTable, outranks, statusRumour } from './members.js'
import type { Rumour } from './messages.js'
import type { RumourQueue } from './rumour-queue.js'
import {
  confirmationsNeeded,
  mergeAccusers,
  type SuspicionTimes,
  suspicionMinMs,
  suspicionTimeoutMs,
} from './suspicion.js'

/** What beliefs need of the node around them. */
export interface BeliefsPort {
  readonly self: number
  readonly health: LocalHealth
  readonly members: MemberTable
  /** What is to be passed on. */
  readonly queue: RumourQueue
  event(kind: SwimEvent['kind'], member: MemberState): void
  /** This member should hear at once what is said about it. */
  warn(nowMs: number, member: MemberState, rumour: Rumour): void
}

/** Whether who says that a member is dead has that from the declaration as it went round, or has believed it for long. */
export type Source = 'gossip' | 'sync'

/** What this node believes about the other members, how rumours change that, and what it passes on of them. */
export class Beliefs {
  readonly members: MemberTable
  readonly #queue: RumourQueue
  readonly #settings: SwimSettings
  readonly #port: BeliefsPort

  constructor(settings: SwimSettings, port: BeliefsPort) {
    this.#settings = settings
    this.#port = port
    this.members = port.members
    this.#queue = port.queue
  }

  /** Members of the cluster, this node among them. */
  get count(): number {
    return this.members.all.length + 1
  }

  setMembers(nowMs: number, others: readonly SwimMember[]): void {
    this.members.set(nowMs, others)
    for (const number of this.#queue.numbers) {
      if (number !== this.#port.self && this.members.get(number) === undefined) this.#queue.drop(number)
    }
  }

  /** Something was said about another member. What this node does not know as a member is passed over. */
  take(nowMs: number, rumour: Rumour, source: Source): void {
    const member = this.members.get(rumour.number)
    if (member === undefined) return
    if (rumour.status === 'alive') this.#describe(member, rumour)
    if (!outranks(rumour, member)) {
      if (rumour.status === member.status && rumour.refutation === member.refutation) this.#confirm(member, rumour)
      return
    }
    switch (rumour.status) {
      case 'alive':
        this.#revive(nowMs, member, rumour.refutation)
        break
      case 'suspect':
        this.#suspect(nowMs, member, rumour.refutation, rumour.accusers)
        break
      case 'dead':
        this.#hearOfDeath(nowMs, member, rumour, source)
        break
      case 'left':
        this.#bury(nowMs, member, 'left', rumour.refutation)
        break
      default:
        rumour.status satisfies never
    }
  }

  /** A probe of this node's own has failed. */
  accuse(nowMs: number, member: MemberState): void {
    const { self } = this.#port
    if (member.status === 'suspect') this.#addAccusers(member, [self])
    else this.#suspect(nowMs, member, member.refutation, [self])
    this.#port.warn(nowMs, member, statusRumour(member)!)
  }

  /** Suspicions that nobody has refuted in time become deaths. */
  expire(nowMs: number): void {
    const times = this.#times()
    for (const member of this.members.all) {
      const { suspicion, refutation } = member
      if (suspicion === undefined || nowMs - suspicion.startMs < suspicionTimeoutMs(suspicion, times)) continue
      this.#bury(nowMs, member, 'dead', refutation)
    }
  }

  /** This node has been away for so long: refutations may have come, and it has not heard them. */
  postpone(byMs: number): void {
    for (const { suspicion } of this.members.all) if (suspicion !== undefined) suspicion.startMs += byMs
  }

  #times(): SuspicionTimes {
    const { probeIntervalMs, suspicionMult } = this.#settings
    return { probeIntervalMs, suspicionMult, members: this.count }
  }

  #describe(member: MemberState, { refutation, address, meta }: Rumour): void {
    if (refutation <= member.described) return
    const same = address === member.address && equalBytes(meta, member.meta)
    member.described = refutation
    member.address = address
    member.meta = meta
    if (!same) this.#port.event('updated', member)
    // What is said against it goes on being passed on; its description alone is left to the exchanges.
    if (member.status === 'alive' || refutation > member.refutation) this.#queue.put(descriptionRumour(member)!)
  }

  #revive(nowMs: number, member: MemberState, refutation: number): void {
    const { status } = member
    const first = member.refutation === 0
    member.refutation = refutation
    if (status === 'alive' && !first) return
    this.#become(nowMs, member, 'alive')
    this.#port.event(member.gone ? 'returned' : 'alive', member)
    member.gone = false
  }

  #suspect(nowMs: number, member: MemberState, refutation: number, accusers: readonly number[]): void {
    const told = member.status === 'suspect'
    member.refutation = refutation
    const { factor } = this.#port.health
    this.#become(nowMs, member, 'suspect')
    member.suspicion = { startMs: nowMs, accusers: [], factor, confirmed: false }
    member.suspicion.accusers = mergeAccusers([], accusers, this.#accusersMax())
    this.#queue.put(statusRumour(member)!)
    if (!told) this.#port.event('suspect', member)
  }

  /** Said again: who says so may be another accuser. */
  #confirm(member: MemberState, { accusers }: Rumour): void {
    if (member.status === 'suspect') this.#addAccusers(member, accusers)
  }

  #addAccusers(member: MemberState, accusers: readonly number[]): void {
    const { suspicion } = member
    if (suspicion === undefined) return
    const merged = mergeAccusers(suspicion.accusers, accusers, this.#accusersMax())
    if (merged === suspicion.accusers) return
    suspicion.accusers = merged
    this.#queue.put(statusRumour(member)!)
  }

  #accusersMax(): number {
    return confirmationsNeeded(this.#times()) + 1
  }

  /**
   * Somebody has declared it dead. Who has had an answer from it since a suspicion could have begun knows better, and
   * lets it know. Who learns of it in an exchange may be talking to one that was cut off from all of them, as both ends
   * are that find each other again: the member can refute it first.
   */
  #hearOfDeath(nowMs: number, member: MemberState, rumour: Rumour, source: Source): void {
    if (nowMs - member.ackedMs < suspicionMinMs(this.#times())) {
      this.#port.warn(nowMs, member, rumour)
      return
    }
    if (source === 'gossip') {
      this.#bury(nowMs, member, 'dead', rumour.refutation)
      return
    }
    if (member.status !== 'suspect' || member.refutation < rumour.refutation) {
      this.#suspect(nowMs, member, rumour.refutation, rumour.accusers)
    }
    if (member.suspicion !== undefined) member.suspicion.confirmed = true
    this.#port.warn(nowMs, member, rumour)
  }

  #bury(nowMs: number, member: MemberState, status: 'dead' | 'left', refutation: number): void {
    member.refutation = refutation
    this.#become(nowMs, member, status)
    member.gone = true
    this.#queue.put(statusRumour(member)!)
    this.#port.event(status, member)
  }

  #become(nowMs: number, member: MemberState, status: MemberState['status']): void {
    if (member.status !== status) member.sinceMs = nowMs
    member.status = status
    member.suspicion = undefined
  }
}

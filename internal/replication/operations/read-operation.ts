import { type ErrorCode, KvError, limits, type NodeId, type Slot } from '../../base/index.js'
import { compareVersions, hlcMs, type Version, zeroVersion } from '../../hlc/index.js'
import { countVoters, isMet, isWanted, type Quorums } from '../../quorum/index.js'
import { floorTombstone, isFloorVersion, isLive, type StoredRecord } from '../../record/index.js'
import { isToRepair, type KeyOwner, preferenceList } from '../replicas/key-owner.js'
import {
  nobody,
  type ReadReply,
  type ReadWaiter,
  type Replica,
  type WriteReply,
  type WriteWaiter,
} from '../replicas/replica.js'
import { refillingNote } from '../transfer/refilling.js'
import { neededNote, quorumsOf, type SlotQuorums } from '../transfer/slot-quorums.js'
import { ActiveOperation } from './active-operations.js'
import type { OperationOptions } from './operations.js'
import type { OperationContext, Routing } from './routing.js'
import type { ReadSettler } from './settlers.js'
import { readAnswer } from './traced-items.js'

/**
 * One read of one key. It asks enough owners for their versions, fetches the newest record if it does not have it,
 * and makes sure before the reply that every later read quorum meets that version: the write-back of Attiya, Bar-Noy
 * and Dolev ("Sharing memory robustly", 1995), skipped when enough owners already agree. Newest wins, whatever the
 * order of the replies; "absent" is below every version. While the slot moves, what the newest is, is asked of the side that
 * is read, and it must have settled on both.
 */
export class ReadOperation extends ActiveOperation implements ReadWaiter, WriteWaiter {
  readonly #context: OperationContext
  #routing: Routing
  readonly #slot: Slot
  readonly #key: Uint8Array
  readonly #options: OperationOptions
  readonly #settler: ReadSettler
  #owners: KeyOwner[] = []
  /** The number of the first owner in requests under this routing. Lower ones belong to requests that were given up. */
  #base = 0
  #quorums: SlotQuorums
  #hedgeAtMs = 0
  #hedged = false
  #newest: StoredRecord | undefined
  #highest: Version = zeroVersion
  #asking = false
  #done = false

  constructor(
    context: OperationContext,
    routing: Routing,
    slot: Slot,
    key: Uint8Array,
    options: OperationOptions,
    settler: ReadSettler,
  ) {
    super()
    this.#context = context
    this.#routing = routing
    this.#slot = slot
    this.#key = key
    this.#options = options
    this.#settler = settler
    this.#quorums = quorumsOf(routing, slot)
  }

  /** `nowMs`: the monotonic clock, which whoever admits an operation has read already. */
  start(nowMs: number): void {
    this.#chooseOwners(nowMs)
    this.#context.active.add(this)
    this.#options.cancellation?.onCancel(() => this.#fail('cancelled', 'the caller stopped waiting'))
    this.#advance()
  }

  #chooseOwners(nowMs: number): void {
    this.#settler.trace?.attempted()
    this.#owners = preferenceList(this.#routing, this.#slot, this.#wanted)
    this.#hedgeAtMs = nowMs + limits.readHedgeMs
  }

  /** Answers needed before the newest version is judged. */
  get #needed(): Quorums {
    return this.#quorums.answered[this.#options.consistency]
  }

  /** Owners to ask at first. */
  get #wanted(): Quorums {
    return this.#quorums.asked[this.#options.consistency]
  }

  /** Owners that must hold the newest version before the reply. */
  get #settled(): Quorums {
    return this.#quorums.settled[this.#options.consistency]
  }

  override reroute(routing: Routing): void {
    this.#base += this.#owners.length
    this.#routing = routing
    this.#quorums = quorumsOf(routing, this.#slot)
    this.#newest = undefined
    this.#highest = zeroVersion
    this.#hedged = false
    this.askNobodyAgain()
    this.#chooseOwners(this.#context.clock.monotonicMs())
    this.#advance()
  }

  override tick(nowMs: number): void {
    if (nowMs >= this.#options.deadlineMs) {
      this.#fail('timeout', `${this.#answered()} before the deadline, ${neededNote(this.#needed)} are needed`)
      return
    }
    if (this.isTimeToAskAgain(nowMs)) {
      for (const owner of this.#owners) if (owner.state === 'waiting') owner.state = 'spare'
      this.#advance()
    }
    if (nowMs >= this.#hedgeAtMs) {
      this.#hedgeAtMs = Number.POSITIVE_INFINITY
      if (!this.#done) this.#hedge()
    }
  }

  override forget(replica: Replica, slots: ReadonlySet<number>): void {
    for (const { member, version, state } of this.#owners) {
      const told = state === 'held' || compareVersions(version, zeroVersion) > 0
      if (!told || this.#routing.replicas[member] !== replica || !slots.has(this.#slot)) continue
      this.#fail('unavailable', 'a replica that had answered lost its data')
    }
  }

  readReplied(number: number, reply: ReadReply): void {
    const owner = this.#owners[number - this.#base]
    if (owner === undefined) return
    this.#settler.trace?.answered(this.#idOf(owner), readAnswer(reply))
    if (this.#done) return
    owner.fetching = false
    if (reply.kind !== 'held') {
      this.#miss(owner, reply.kind)
    } else {
      owner.state = 'held'
      if (compareVersions(reply.version, owner.version) > 0) owner.version = reply.version
      if (this.#isRead(owner) && compareVersions(reply.version, this.#highest) > 0) {
        this.#highest = reply.version
        this.#newest = undefined
      }
      if (reply.record !== undefined && compareVersions(reply.record, this.#highest) === 0) this.#keep(reply.record)
    }
    if (!this.#asking) this.#advance()
  }

  /** Whether what an owner holds may be what is returned; of others only matters whether it is not lower. */
  #isRead({ bit }: KeyOwner): boolean {
    return (bit & this.#quorums.reading) !== 0
  }

  #idOf({ member }: KeyOwner): NodeId {
    return this.#routing.table.members[member]!.id
  }

  /** It has not done what it was asked for. */
  #miss(owner: KeyOwner, kind: ReadReply['kind'] | WriteReply['kind']): void {
    if (kind === 'wrong-epoch') this.askAgainLater(this.#context.clock.monotonicMs())
    owner.state = kind === 'wrong-epoch' || this.#returns(owner) ? 'waiting' : 'failed'
    owner.refilling = kind === 'refilling'
  }

  #returns({ member }: KeyOwner): boolean {
    return this.waitsFor(this.#routing.replicas[member]!, this.#context.clock)
  }

  /** A key of a few bytes may bring a value of a megabyte, which waits here for the other owners. */
  #keep(record: StoredRecord): void {
    if (this.#settler.hold(record.value.length)) this.#newest = record
    else this.#fail('overloaded', 'too much that was read waits for other replicas')
  }

  /** From a write-back: whoever applied it, or has something newer, counts as holding it. */
  writeReplied(number: number, reply: WriteReply): void {
    const owner = this.#owners[number - this.#base]
    if (owner === undefined) return
    this.#settler.trace?.answered(this.#idOf(owner), reply.code ?? reply.kind)
    if (this.#done) return
    const written = owner.repairing ?? zeroVersion
    owner.repairing = undefined
    if (reply.kind === 'applied' || reply.kind === 'stale') {
      const holds = reply.kind === 'applied' ? written : (reply.seen ?? written)
      owner.state = 'held'
      if (compareVersions(holds, owner.version) > 0) owner.version = holds
      // Not a write that came meanwhile, but one that was deleted long ago: what was found is from an old disk.
      if (this.#isRead(owner) && isFloorVersion(holds) && compareVersions(holds, this.#highest) > 0) {
        this.#highest = holds
        this.#newest = undefined
      }
    } else {
      this.#miss(owner, reply.kind)
    }
    if (!this.#asking) this.#advance()
  }

  /** Takes the next step that the state allows. Replies that come during a step are seen at its end. */
  #advance(): void {
    this.#asking = true
    let moved = true
    while (moved && !this.#done) moved = this.#step()
    this.#asking = false
  }

  /** Returns whether the state may allow another step at once. */
  #step(): boolean {
    const before = this.#those('held')
    if (!isMet(this.#wanted, before)) {
      this.#askSpare()
      const held = this.#those('held')
      const asked = this.#those('asked')
      if (held !== before) return true
      if (!isMet(this.#needed, held | asked | this.#those('waiting'))) {
        const what = `${this.#answered()}, ${neededNote(this.#needed)} are needed`
        this.#fail('unavailable', what + this.#refillingNote())
        return false
      }
      if (!isMet(this.#needed, held) || (asked !== 0 && !this.#hedged)) return false
    }
    if (compareVersions(this.#highest, zeroVersion) === 0) return this.#succeed(undefined)
    if (isFloorVersion(this.#highest)) this.#newest ??= floorTombstone(this.#key, hlcMs(this.#highest))
    if (this.#newest === undefined) return this.#fetch()
    if (isMet(this.#settled, this.#agreeing())) return this.#succeed(this.#newest)
    return this.#writeBack(this.#newest)
  }

  /** Asks owners that were spared so far, until as many as wanted have answered or are asked. */
  #askSpare(): void {
    let expected = this.#those('held') | this.#those('asked')
    for (let i = 0; i < this.#owners.length && !this.#done; i++) {
      const { bit, state: before } = this.#owners[i]!
      if (before !== 'spare' || !isWanted(this.#wanted, expected, bit)) continue
      // Only the first in line sends the record at once; of the others the version is enough.
      this.#ask(i, i === 0 || this.#settled.length === 0)
      const state = this.#state(i)
      if (state === 'asked' || state === 'held') expected |= bit
    }
  }

  #ask(position: number, full: boolean): void {
    const owner = this.#owners[position]!
    const replica = this.#routing.replicas[owner.member]!
    if (!replica.up) {
      this.#miss(owner, 'failed')
      return
    }
    owner.state = 'asked'
    owner.fetching = full
    const { trace } = this.#settler
    trace?.asked(this.#idOf(owner))
    replica.read(this.#key, full, this, this.#base + position, trace)
  }

  /** Someone holds a newer version than the records that we have: get it from one who does. */
  #fetch(): boolean {
    if (this.#owners.some((owner) => owner.fetching)) return false
    for (let i = 0; i < this.#owners.length; i++) {
      const owner = this.#owners[i]!
      if (!this.#holdsNewest(owner)) continue
      this.#hedgeAtMs = this.#context.clock.monotonicMs() + limits.readHedgeMs
      this.#ask(i, true)
      return true
    }
    // Its holders are gone. It may have been acknowledged, so nothing older may be returned: perhaps a spare has it.
    for (let i = 0; i < this.#owners.length; i++) {
      if (this.#owners[i]!.state === 'spare' && this.#isRead(this.#owners[i]!)) {
        this.#ask(i, true)
        return true
      }
    }
    if ((this.#those('asked') | this.#those('waiting')) !== 0) return false
    this.#fail('unavailable', 'the replica that holds the newest version stopped answering')
    return false
  }

  #writeBack(record: StoredRecord): boolean {
    // A repair must be over when its request is: the owners' floors rely on it. A process may have been stopped meanwhile.
    if (this.#context.clock.monotonicMs() >= this.#options.deadlineMs) {
      this.#fail('timeout', 'the newest version was found after the deadline')
      return false
    }
    for (const [position, owner] of this.#owners.entries()) {
      if (owner.repairing !== undefined || !isToRepair(owner) || this.#agrees(owner)) continue
      const replica = this.#routing.replicas[owner.member]!
      if (!replica.up) continue
      owner.repairing = record
      this.#context.instruments.readRepairs++
      const { trace } = this.#settler
      trace?.asked(this.#idOf(owner))
      replica.write(record, false, this, this.#base + position, true, trace)
    }
    let possible = this.#agreeing()
    if (isMet(this.#settled, possible)) return true
    for (const owner of this.#owners) {
      const isComing = owner.state === 'waiting' || (isToRepair(owner) && this.#returns(owner))
      if (owner.repairing !== undefined || isComing) possible |= owner.bit
    }
    if (!isMet(this.#settled, possible)) {
      this.#fail('unavailable', `the newest version could not be brought to enough replicas${this.#refillingNote()}`)
    }
    return false
  }

  /** The asked ones take too long: ask the spare ones as well, and a hung holder's record elsewhere. */
  #hedge(): void {
    this.#hedged = true
    this.#asking = true
    const lacking = this.#newest === undefined
    for (const [position, owner] of this.#owners.entries()) {
      const otherHolder = lacking && this.#holdsNewest(owner)
      if (owner.state === 'spare' || otherHolder) this.#ask(position, true)
    }
    this.#asking = false
    this.#advance()
  }

  /** Whether the newest record can be had from it. */
  #holdsNewest(owner: KeyOwner): boolean {
    return owner.state === 'held' && this.#isRead(owner) && compareVersions(owner.version, this.#highest) === 0
  }

  /** Owners that hold the newest version; what one has said to hold is on its disk, even if it has fallen silent. */
  #agreeing(): number {
    let agreeing = 0
    for (const owner of this.#owners) if (this.#agrees(owner)) agreeing |= owner.bit
    return agreeing
  }

  /**
   * Whether an owner need not be told of the newest version. Two that have nothing under floors of different height agree
   * as well: when the higher one rose, both held the same up to it, and so neither will ever take anything below it.
   */
  #agrees({ version }: KeyOwner): boolean {
    if (compareVersions(version, this.#highest) >= 0) return true
    return isFloorVersion(version) && isFloorVersion(this.#highest)
  }

  #those(state: KeyOwner['state']): number {
    let those = 0
    for (const owner of this.#owners) if (owner.state === state) those |= owner.bit
    return those
  }

  #answered(): string {
    return `${countVoters(this.#those('held'))} of ${this.#owners.length} replicas answered`
  }

  #state(position: number): KeyOwner['state'] {
    return this.#owners[position]!.state
  }

  #succeed(record: StoredRecord | undefined): boolean {
    // As for a write: what is late stays late.
    const nowMs = this.#context.clock.monotonicMs()
    if (nowMs >= this.#options.deadlineMs) {
      this.#fail('timeout', 'the replicas answered after the deadline')
      return false
    }
    this.#end()
    if (record !== undefined && this.#settled.length > 0) this.#repairStale(record)
    this.#settler.resolve(record !== undefined && this.#isLive(record) ? record : undefined, nowMs)
    return false
  }

  /** The wall clock is read only for what can expire. */
  #isLive(record: StoredRecord): boolean {
    return isLive(record, record.expiresAtMs === 0 ? 0 : this.#context.clock.wallMs())
  }

  /** Brings the newest record to those that are known to lack it; nobody waits for that. */
  #repairStale(record: StoredRecord): void {
    for (const [position, owner] of this.#owners.entries()) {
      if (owner.state !== 'held' || owner.repairing !== undefined || this.#agrees(owner)) continue
      this.#context.instruments.readRepairs++
      this.#routing.replicas[owner.member]!.write(record, false, nobody, position, true, this.#settler.trace)
    }
  }

  #refillingNote(): string {
    const refilling = this.#owners.filter((owner) => owner.refilling).length
    return refillingNote(this.#slot, refilling, this.#owners.length)
  }

  #fail(code: ErrorCode, message: string): void {
    if (this.#done) return
    this.#end()
    this.#settler.reject(new KvError(code, message))
  }

  #end(): void {
    this.#done = true
    this.#context.active.remove(this)
    this.#options.cancellation?.onCancel(undefined)
  }
}

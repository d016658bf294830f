import { type ErrorCode, KvError, limits, type Slot, type WriteOutcome } from '../../base/index.js'
import { compareVersions, type Hlc, hlcMs, hlcOf, type Version } from '../../hlc/index.js'
import { countVoters, isMet, type Quorums } from '../../quorum/index.js'
import { isLive, type StoredRecord } from '../../record/index.js'
import type { Replica, WriteReply } from '../replicas/replica.js'
import { refillingNote } from '../transfer/refilling.js'
import { neededNote, ownersOf, quorumsOf } from '../transfer/slot-quorums.js'
import { ActiveOperation } from './active-operations.js'
import type { OperationOptions } from './operations.js'
import type { OperationContext, Routing } from './routing.js'
import type { WriteSettler } from './settlers.js'
import { type AttemptWatcher, WriteAttempt } from './write-attempt.js'

/** What is to be written, before it has a stamp. */
export interface WriteIntent {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly tombstone: boolean
  readonly expiresAtMs: number
  readonly returnPrevious: boolean
}

/**
 * One put or delete: stamped, sent to all owners of the key, done when enough of them have it on disk. The others'
 * replies are not waited for, but the write is on its way to them all the same.
 *
 * An owner that already has something newer says `stale` (another node's clock ran ahead). Where that costs the
 * quorum, the write is stamped again above what was seen: write quorums overlap, so a write that starts after
 * another was acknowledged cannot reach its own quorum with a lower stamp.
 *
 * What the write replaced is the newest that owners had before it. One that had got this very write by another way when
 * its message came has forgotten; while too few can tell, more of them are waited for, for a moment (docs/adr/0026).
 */
export class WriteOperation extends ActiveOperation implements AttemptWatcher {
  readonly #context: OperationContext
  #routing: Routing
  readonly #slot: Slot
  readonly #intent: WriteIntent
  readonly #options: OperationOptions
  readonly #settler: WriteSettler
  #attempt: WriteAttempt | undefined
  #attempts = 0
  /** An earlier attempt may have been applied somewhere. */
  #mayBeApplied = false
  #settled = false
  /** It is nowhere, too few owners can be reached, and some of them may come back in a moment. */
  #heldBack = false
  /** While it waits for a stamp. */
  #stopWaiting: (() => void) | undefined
  /** The attempt that the caller was told of: its other owners' answers may still come. */
  #acknowledged: WriteAttempt | undefined
  /** The newest version of others that the write replaced, and what it was. */
  #replaced: { version: Version; existed: boolean; record: StoredRecord | undefined } | undefined
  /** The write is acknowledged, and more tellers are waited for until then, in monotonic ms; 0: it is not so far. */
  #tellersUntilMs = 0
  /** There was no room for what it replaced, and the caller wants to be told of it. */
  #withheld = false

  constructor(
    context: OperationContext,
    routing: Routing,
    slot: Slot,
    intent: WriteIntent,
    options: OperationOptions,
    settler: WriteSettler,
  ) {
    super()
    this.#context = context
    this.#routing = routing
    this.#slot = slot
    this.#intent = intent
    this.#options = options
    this.#settler = settler
  }

  start(): void {
    this.#context.active.add(this)
    this.#options.cancellation?.onCancel(() => this.#fail('cancelled', 'the caller stopped waiting'))
    this.#stampAndSend()
  }

  override tick(nowMs: number): void {
    if (nowMs >= this.#options.deadlineMs) this.#fail('timeout', `${this.#progress()} before the deadline`)
    else if (this.#tellersUntilMs !== 0 && this.#attempt !== undefined) this.#judge(this.#attempt)
    if (!this.#settled && this.isTimeToAskAgain(nowMs)) this.#askAgain()
  }

  #askAgain(): void {
    const attempt = this.#attempt
    if (this.#heldBack) {
      this.#stampAndSend()
      return
    }
    // One that waits for a stamp has given its attempt up.
    if (attempt === undefined || this.#stopWaiting !== undefined) return
    const { waiting } = attempt
    attempt.waiting = 0
    attempt.sending = true
    for (let i = 0; i < attempt.owners.length; i++) {
      if ((waiting & (1 << i)) !== 0) this.#sendTo(attempt, i)
    }
    attempt.sending = false
    this.#judge(attempt)
  }

  sendsAgain(to: Replica): boolean {
    return this.waitsFor(to, this.#context.clock)
  }

  /**
   * The same record goes out again, as an attempt of its own: what the attempt before has met does not count with what
   * this one meets, and may have been applied.
   */
  override reroute(routing: Routing): void {
    // It has met its quorum, and only waits to hear what it replaced.
    if (this.#tellersUntilMs !== 0) return
    this.#routing = routing
    this.askNobodyAgain()
    if (this.#heldBack) {
      this.#stampAndSend()
      return
    }
    if (this.#stopWaiting !== undefined || this.#attempt === undefined) return
    if (this.#attempt.mayBeApplied) this.#mayBeApplied = true
    if (this.#isReachable(true)) this.#send(this.#attempt.record)
  }

  override forget(replica: Replica, slots: ReadonlySet<number>): void {
    if (!slots.has(this.#slot)) return
    const attempt = this.#attempt
    if (attempt === undefined) return
    for (let i = 0; i < attempt.owners.length; i++) {
      const counted = attempt.replica(i) === replica && attempt.tally.hasSucceeded(i)
      if (counted) this.#fail('unavailable', 'a replica that had acknowledged the write lost its data')
    }
  }

  /** @internal From any attempt, at any time. */
  replied(attempt: WriteAttempt, position: number, reply: WriteReply): void {
    const isRead = (attempt.quorums.reading & (1 << position)) !== 0
    if (reply.kind === 'applied' && isRead && !this.#settled) this.#noteReplaced(attempt, reply)
    if (reply.kind === 'wrong-epoch' && attempt === this.#attempt) {
      this.askAgainLater(this.#context.clock.monotonicMs())
    }
    if (attempt === this.#acknowledged) this.#leaveHints(attempt)
    this.#settler.trace?.answered(attempt.ownerId(position), reply.code ?? reply.kind)
    if (this.#settled || attempt !== this.#attempt || attempt.sending || this.#isHeldUp) return
    this.#judge(attempt)
  }

  /** It has given its attempt up, and cannot make another one yet. */
  get #isHeldUp(): boolean {
    return this.#stopWaiting !== undefined || this.#heldBack
  }

  #stampAndSend(): void {
    this.#heldBack = false
    if (!this.#isReachable()) return
    const stamp = this.#stamp()
    if (stamp === undefined) return
    this.#attempts++
    this.#send(this.#stamped(stamp))
  }

  /**
   * Whether enough owners can be sent something; otherwise the operation has failed, or is held back. Only while it is
   * nowhere: stamped after a while, it would supersede what came after one who has read it. What goes out as it was
   * stamped (`again`) goes to those that are there, and to others with their next link.
   */
  #isReachable(again = false): boolean {
    const { replicas } = this.#routing
    const owners = ownersOf(this.#routing, this.#slot)
    const quorums = quorumsOf(this.#routing, this.#slot).written[this.#options.consistency]
    const bytes = this.#intent.key.length + this.#intent.value.length
    let up = 0
    let accepting = 0
    let lacking = 0
    let returning = 0
    for (let i = 0; i < owners.length; i++) {
      const replica = replicas[owners[i]!]!
      if (!replica.up) {
        if (this.sendsAgain(replica)) returning |= 1 << i
        continue
      }
      if (replica.lacks(this.#slot)) {
        lacking++
        continue
      }
      up |= 1 << i
      if (replica.accepts(bytes)) accepting |= 1 << i
    }
    if (isMet(quorums, accepting)) return true
    const isComing = !isMet(quorums, up) && isMet(quorums, up | returning)
    if (isComing && !this.#mayYetBeApplied) {
      this.#heldBack = true
      return false
    }
    if (isComing && again) return true
    const [code, what] = isMet(quorums, up) ? (['overloaded', 'used'] as const) : (['unavailable', 'reached'] as const)
    const note = refillingNote(this.#slot, lacking, owners.length)
    const count = `${countVoters(accepting)} of ${owners.length} replicas`
    this.#fail(code, `${count} can be ${what}, ${neededNote(quorums)} are needed${note}`)
    return false
  }

  #send(record: StoredRecord): void {
    const { consistency } = this.#options
    const attempt = new WriteAttempt(this, record, this.#routing, this.#slot, consistency, this.#attempt)
    this.#attempt = attempt
    this.#settler.trace?.attempted()
    for (let i = 0; i < attempt.owners.length; i++) this.#sendTo(attempt, i)
    attempt.sending = false
    this.#judge(attempt)
  }

  #sendTo(attempt: WriteAttempt, position: number): void {
    const { trace } = this.#settler
    trace?.asked(attempt.ownerId(position))
    attempt.replica(position).write(attempt.record, this.#intent.returnPrevious, attempt, position, false, trace)
  }

  /** Undefined: there will be another attempt when the clock may move on, or the operation has failed. */
  #stamp(): Hlc | undefined {
    const { stampAboveMs = 0, stampLimitMs = 0 } = this.#options
    try {
      if (stampAboveMs > 0) this.#context.raiseClock(hlcOf(stampAboveMs, 0xffff))
      const stamp = this.#context.stamp()
      if (stamp !== undefined) {
        if (stampLimitMs === 0 || hlcMs(stamp) <= stampLimitMs) return stamp
        this.#fail('unavailable', 'the write came too late: its client may have repeated it meanwhile')
        return undefined
      }
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      this.#fail(error.code, error.message)
      return undefined
    }
    this.#stopWaiting = this.#context.whenStampable(() => {
      this.#stopWaiting = undefined
      if (!this.#settled) this.#stampAndSend()
    })
    return undefined
  }

  #stamped({ hi, lo }: Hlc): StoredRecord {
    const { key, value, tombstone, expiresAtMs } = this.#intent
    return { hi, lo, node: this.#context.nodeNumber, key, tombstone, expiresAtMs, value }
  }

  #judge(attempt: WriteAttempt): void {
    const verdict = attempt.tally.verdict
    switch (verdict) {
      case 'pending':
        if (attempt.couldBeMetAtOnce) this.#stampAgain(attempt)
        return
      case 'met':
        if (!this.#awaitsTellers(attempt)) this.#succeed(attempt)
        return
      case 'impossible':
        break
      default:
        verdict satisfies never
    }
    if (attempt.stale !== 0 && attempt.couldBeMet) this.#stampAgain(attempt)
    else this.#fail(attempt.refusal ?? 'unavailable', this.#progress())
  }

  #stampAgain(attempt: WriteAttempt): void {
    if (attempt.mayBeApplied) this.#mayBeApplied = true
    if (this.#attempts >= limits.writeAttemptsMax) {
      this.#fail('unavailable', `newer versions kept appearing through ${this.#attempts} attempts`)
      return
    }
    try {
      if (attempt.highestSeen !== undefined) this.#context.raiseClock(attempt.highestSeen)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      this.#fail(error.code, error.message)
      return
    }
    this.#stampAndSend()
  }

  #noteReplaced(attempt: WriteAttempt, reply: WriteReply): void {
    const { seen } = reply
    // What an attempt meets of this write itself is not what the caller replaced.
    if (seen === undefined || attempt.own(seen) !== undefined) return
    if (this.#replaced !== undefined && compareVersions(seen, this.#replaced.version) <= 0) return
    const { existed, previous } = reply
    this.#withheld = previous !== undefined && !this.#settler.hold(previous.value.length)
    this.#replaced = { version: seen, existed, record: this.#withheld ? undefined : previous }
  }

  /**
   * Of an attempt that has met its quorum: whether the caller has asked what was replaced, and may be told by waiting.
   * Never for long: who is acknowledged shall not time out for it.
   */
  #awaitsTellers(attempt: WriteAttempt): boolean {
    if (this.#isReplacedKnown(attempt) || !isMet(this.#tellers(attempt), attempt.tellers | attempt.pending))
      return false
    if (!this.#intent.returnPrevious && !this.#intent.tombstone) return false
    const nowMs = this.#context.clock.monotonicMs()
    if (this.#tellersUntilMs === 0) {
      const leftMs = this.#options.deadlineMs - nowMs
      this.#tellersUntilMs = nowMs + Math.min(limits.replacedWaitMs, leftMs / 2)
    }
    return nowMs < this.#tellersUntilMs
  }

  /**
   * Which owners must tell what the write replaced. As many as a read asks: so one of them has had whatever was
   * acknowledged, or returned by a read, before the write was called.
   */
  #tellers({ quorums }: WriteAttempt): Quorums {
    return quorums.answered[this.#options.consistency === 'one' ? 'one' : 'quorum']
  }

  #isReplacedKnown(attempt: WriteAttempt): boolean {
    return isMet(this.#tellers(attempt), attempt.tellers)
  }

  #progress(): string {
    const owners = ownersOf(this.#routing, this.#slot).length
    const quorums = quorumsOf(this.#routing, this.#slot).written[this.#options.consistency]
    const note = refillingNote(this.#slot, this.#attempt?.refilling ?? 0, owners)
    const acknowledged = `${this.#attempt?.applied ?? 0} of ${owners} replicas acknowledged`
    return `${acknowledged}, ${neededNote(quorums)} are needed${note}`
  }

  #succeed(attempt: WriteAttempt): void {
    // A process that was stopped for a while finds answers before it finds its timers. What is late stays late: the
    // `Refiller` of another node may rely on no operation counting anything beyond its deadline.
    const nowMs = this.#context.clock.monotonicMs()
    if (nowMs >= this.#options.deadlineMs) {
      this.#fail('timeout', `${this.#progress()}, but only after the deadline`)
      return
    }
    this.#settle()
    this.#acknowledged = attempt
    this.#leaveHints(attempt)
    const replacedKnown = this.#isReplacedKnown(attempt)
    if (this.#withheld && replacedKnown) {
      // It says nothing about the outcome, and so leaves it unknown: the write has been applied.
      this.#settler.reject(new KvError('overloaded', 'too much that was replaced waits for other replicas'))
      return
    }
    const replaced = replacedKnown ? this.#replaced : undefined
    const existed = replaced?.existed === true
    const { record } = replaced ?? {}
    const previous =
      existed && record !== undefined && isLive(record, this.#context.clock.wallMs()) ? record : undefined
    const { hi, lo, node } = attempt.record
    const acks = attempt.applied
    this.#settler.resolve({ version: { hi, lo, node }, acks, replacedKnown, existed, previous }, nowMs)
  }

  /**
   * For the owners that have missed what was acknowledged; nothing else is worth a hint: a write that failed may have
   * been told to be nowhere.
   */
  #leaveHints(attempt: WriteAttempt): void {
    // Nobody asks the waiting ones again.
    const missed = attempt.missed | attempt.waiting
    if (missed === 0) return
    const { routing, owners } = attempt
    for (let i = 0; i < owners.length; i++) {
      const member = owners[i]!
      if ((missed & (1 << i)) === 0 || member === routing.self) continue
      this.#context.missed(routing.table.members[member]!, attempt.record)
    }
    attempt.missed = 0
    attempt.waiting = 0
  }

  #fail(code: ErrorCode, message: string): void {
    if (this.#settled) return
    this.#settle()
    const outcome: WriteOutcome = this.#mayYetBeApplied ? 'unknown' : 'not-applied'
    this.#settler.reject(new KvError(code, message, { outcome }))
  }

  get #mayYetBeApplied(): boolean {
    return this.#mayBeApplied || this.#attempt?.mayBeApplied === true
  }

  #settle(): void {
    this.#settled = true
    this.#stopWaiting?.()
    this.#context.active.remove(this)
    this.#options.cancellation?.onCancel(undefined)
  }
}

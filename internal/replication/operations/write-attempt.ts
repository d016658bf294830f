import type { ErrorCode, NodeId, Slot } from '../../base/index.js'
import { compareVersions, type Version } from '../../hlc/index.js'
import { countVoters, firstVoters, isMet, Tally } from '../../quorum/index.js'
import type { StoredRecord } from '../../record/index.js'
import type { Replica, WriteReply, WriteWaiter } from '../replicas/replica.js'
import { ownersOf, quorumsOf, type SlotQuorums } from '../transfer/slot-quorums.js'
import type { Consistency } from './operations.js'
import type { Routing } from './routing.js'

/** Who is told of every answer that an attempt gets, and from which of its owners, after the attempt has counted it. */
export interface AttemptWatcher {
  /** Whether an owner that cannot be reached is to be sent it again in a moment. */
  sendsAgain(to: Replica): boolean
  replied(attempt: WriteAttempt, position: number, reply: WriteReply): void
}

/** One stamp's way through the owners under one epoch, and what they have answered. Masks have a bit for each position. */
export class WriteAttempt implements WriteWaiter {
  readonly record: StoredRecord
  readonly routing: Routing
  /** Who is asked, by their indexes in the routing. */
  readonly owners: ArrayLike<number>
  readonly quorums: SlotQuorums
  readonly tally: Tally
  readonly before: WriteAttempt | undefined
  /** Replies that come while requests still go out are judged at the end. */
  sending = true
  stale = 0
  /** Owners that have not answered. */
  pending: number
  /** On how many owners it is durable, as they have said. */
  applied = 0
  highestSeen: Version | undefined
  refusal: ErrorCode | undefined
  /** Replicas that have it, or what beat it there, and have no say in its slot. */
  refilling = 0
  /** A bit for each position whose owner certainly or perhaps has not got it, as long as nobody has seen to it. */
  missed = 0
  /** The same for owners that go by another epoch, or whose link has gone: they are to be sent it again. */
  waiting = 0
  /** Owners that are, or were, to be sent it again because their link had gone. */
  #sentAgain = 0
  /** Owners of the side that is read that have told what they had before the first attempt came to them. */
  tellers = 0
  #lost = 0
  readonly #watcher: AttemptWatcher

  /** `before`: the attempt before, so that this one can tell its own traces. */
  constructor(
    watcher: AttemptWatcher,
    record: StoredRecord,
    routing: Routing,
    slot: Slot,
    consistency: Consistency,
    before: WriteAttempt | undefined,
  ) {
    this.#watcher = watcher
    this.record = record
    this.before = before
    this.routing = routing
    this.owners = ownersOf(routing, slot)
    this.quorums = quorumsOf(routing, slot)
    this.tally = new Tally(this.quorums.written[consistency], this.owners.length)
    this.pending = firstVoters(this.owners.length)
    if (before?.record === record) this.#inherit(before)
  }

  /** The same record goes out under another topology: whoever may have had it before may have it still. */
  #inherit(before: WriteAttempt): void {
    for (let i = 0; i < before.owners.length; i++) {
      if ((before.#sentAgain & (1 << i)) === 0) continue
      for (let j = 0; j < this.owners.length; j++) if (this.replica(j) === before.replica(i)) this.#sentAgain |= 1 << j
    }
  }

  replica(position: number): Replica {
    return this.routing.replicas[this.owners[position]!]!
  }

  ownerId(position: number): NodeId {
    return this.routing.table.members[this.owners[position]!]!.id
  }

  /** Whether the quorum might come about if those that call it stale took it under another stamp. */
  get couldBeMet(): boolean {
    return isMet(this.tally.quorums, this.tally.inFavour | this.pending | this.stale)
  }

  /** The same without waiting for anybody whose link has gone. */
  get couldBeMetAtOnce(): boolean {
    if (this.stale === 0 || (this.pending & ~(this.waiting & this.#sentAgain)) !== 0) return false
    return isMet(this.tally.quorums, this.tally.inFavour | this.stale)
  }

  /** Some replica has it, or may have it, or may get it yet. */
  get mayBeApplied(): boolean {
    const underWay = countVoters(this.pending & ~this.waiting)
    return this.applied + this.refilling + this.#lost + underWay > 0
  }

  /** The attempt, this one or one before it, that has this version. */
  own(version: Version): WriteAttempt | undefined {
    for (let own: WriteAttempt | undefined = this; own !== undefined; own = own.before) {
      if (compareVersions(own.record, version) === 0) return own
    }
    return undefined
  }

  /**
   * Whether an owner that has applied it, and met `seen`, has now told what it had before. One that met the attempt
   * before has, if it did when it was asked about that. One that met this very attempt got it by another way (a read's
   * write-back, a comparison, a hint), and no longer knows what that replaced.
   */
  #tells(position: number, seen: Version | undefined): boolean {
    let own = seen === undefined ? undefined : this.own(seen)
    if (own === undefined) return true
    // After a change of the topology the same record was sent again, perhaps to other owners.
    const replica = this.replica(position)
    for (; own !== undefined; own = own.before) {
      for (let i = 0; i < own.owners.length; i++) {
        if ((own.tellers & (1 << i)) !== 0 && own.replica(i) === replica) return true
      }
    }
    return false
  }

  /** A link that has gone ends what is on it as lost; while there is none, an owner is told to be unavailable. */
  #isToSendAgain(position: number, { kind, code }: WriteReply): boolean {
    return (kind === 'lost' || code === 'unavailable') && this.#watcher.sendsAgain(this.replica(position))
  }

  writeReplied(position: number, reply: WriteReply): void {
    const bit = 1 << position
    if (reply.kind === 'wrong-epoch' || this.#isToSendAgain(position, reply)) {
      if (reply.kind !== 'wrong-epoch') this.#sentAgain |= bit
      if (reply.kind === 'lost') this.#lost++
      this.waiting |= bit
      this.#watcher.replied(this, position, reply)
      return
    }
    this.pending &= ~bit
    switch (reply.kind) {
      case 'applied':
        this.applied++
        this.tally.succeed(position)
        // Who only comes lacks what was there before, and may be one that is read when the record is sent again.
        if ((this.quorums.reading & bit) !== 0 && this.#tells(position, reply.seen)) this.tellers |= bit
        break
      case 'stale':
        if ((this.quorums.newcomers & bit) !== 0) {
          this.tally.succeed(position)
          break
        }
        // It may have had the record meanwhile, and others may have read it before they wrote what is newer: under a
        // higher stamp it would come back.
        if ((this.#sentAgain & bit) !== 0) {
          this.tally.fail(position)
          break
        }
        this.stale |= bit
        if (reply.seen !== undefined) {
          const higher = this.highestSeen === undefined || compareVersions(reply.seen, this.highestSeen) > 0
          if (higher) this.highestSeen = reply.seen
        }
        this.tally.fail(position)
        break
      case 'refused':
        this.refusal ??= reply.code
        this.missed |= bit
        this.tally.fail(position)
        break
      case 'refilling':
        this.refilling++
        this.tally.fail(position)
        break
      case 'lost':
        this.#lost++
        this.missed |= bit
        this.tally.fail(position)
        break
      default:
        reply.kind satisfies never
    }
    this.#watcher.replied(this, position, reply)
  }
}

import type { ErrorCode } from '../base/index.js'
import { compareVersions, type Version } from '../hlc/index.js'
import { Tally } from '../quorum/index.js'
import type { StoredRecord } from '../record/index.js'
import type { Replica, WriteReply, WriteWaiter } from './replica.js'
import type { Routing } from './routing.js'

/** Who is told of every answer that an attempt gets, after the attempt has counted it. */
export interface AttemptWatcher {
  replied(attempt: WriteAttempt, reply: WriteReply): void
}

/** One stamp's way through the owners under one epoch, and what they have answered. */
export class WriteAttempt implements WriteWaiter {
  readonly record: StoredRecord
  readonly routing: Routing
  /** Who is asked, by their indexes in the routing. */
  readonly owners: ArrayLike<number>
  readonly tally: Tally
  readonly before: WriteAttempt | undefined
  /** Replies that come while requests still go out are judged at the end. */
  sending = true
  stale = 0
  pending: number
  highestSeen: Version | undefined
  refusal: ErrorCode | undefined
  /** Replicas that have it, or what beat it there, and have no say in its slot. */
  refilling = 0
  /** A bit for each position whose owner certainly or perhaps has not got it, as long as nobody has seen to it. */
  missed = 0
  /** The same for owners that go by another epoch: they certainly have not got it, and may be sent it again. */
  waiting = 0
  /** How many owners have told what they had before the first attempt came to them. */
  tellers = 0
  /** A bit for each of their positions. */
  #told = 0
  #lost = 0
  readonly #watcher: AttemptWatcher

  /** `needed` of the owners must acknowledge it. `before`: the attempt before, so that this one can tell its own traces. */
  constructor(
    watcher: AttemptWatcher,
    record: StoredRecord,
    routing: Routing,
    owners: ArrayLike<number>,
    needed: number,
    before: WriteAttempt | undefined,
  ) {
    this.#watcher = watcher
    this.record = record
    this.before = before
    this.routing = routing
    this.owners = owners
    this.tally = new Tally(needed, owners.length)
    this.pending = owners.length
  }

  replica(position: number): Replica {
    return this.routing.replicas[this.owners[position]!]!
  }

  isWaiting(position: number): boolean {
    return (this.waiting & (1 << position)) !== 0
  }

  /** Some replica has it, or may have it, or may get it yet. */
  get mayBeApplied(): boolean {
    let underWay = this.pending
    for (let i = 0; i < this.owners.length; i++) if (this.isWaiting(i)) underWay--
    return this.tally.succeeded + this.refilling + this.#lost + underWay > 0
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
        if ((own.#told & (1 << i)) !== 0 && own.replica(i) === replica) return true
      }
    }
    return false
  }

  writeReplied(position: number, reply: WriteReply): void {
    if (reply.kind === 'wrong-epoch') {
      this.waiting |= 1 << position
      this.#watcher.replied(this, reply)
      return
    }
    this.pending--
    switch (reply.kind) {
      case 'applied':
        this.tally.succeed(position)
        if (this.#tells(position, reply.seen)) {
          this.#told |= 1 << position
          this.tellers++
        }
        break
      case 'stale':
        this.stale++
        if (reply.seen !== undefined) {
          const higher = this.highestSeen === undefined || compareVersions(reply.seen, this.highestSeen) > 0
          if (higher) this.highestSeen = reply.seen
        }
        this.tally.fail(position)
        break
      case 'refused':
        this.refusal ??= reply.code
        this.missed |= 1 << position
        this.tally.fail(position)
        break
      case 'refilling':
        this.refilling++
        this.tally.fail(position)
        break
      case 'lost':
        this.#lost++
        this.missed |= 1 << position
        this.tally.fail(position)
        break
      default:
        reply.kind satisfies never
    }
    this.#watcher.replied(this, reply)
  }
}

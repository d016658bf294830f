import { KvError, limits, type Slot } from '../../base/index.js'
import { compareVersions } from '../../hlc/index.js'
import { countVoters, firstVoters, isMet } from '../../quorum/index.js'
import { isFloorVersion, type StoredRecord } from '../../record/index.js'
import type { Replica, WriteReply, WriteWaiter } from '../replicas/replica.js'
import { refillingNote } from '../transfer/refilling.js'
import { neededNote, ownersOf, quorumsOf, type SlotQuorums } from '../transfer/slot-quorums.js'
import { ActiveOperation } from './active-operations.js'
import type { OperationOptions } from './operations.js'
import type { OperationContext, Routing } from './routing.js'

/**
 * What became of a record that was to be restored with the version that it had:
 * - `stored`: a write quorum holds it now.
 * - `superseded`: a write quorum holds it or something newer, and somebody has something newer.
 * - `deleted`: an owner lacks it under a floor that covers it: it has been deleted since, and stays so.
 */
export type RestoreOutcome = 'stored' | 'superseded' | 'deleted'

export interface RestoreSettler {
  restored(outcome: RestoreOutcome): void
  failed(error: KvError): void
}

/**
 * Brings one record of a backup to the owners of its key, under its own version. It is sent as repairs are, because its
 * stamp is old by nature; unlike theirs, no owner need have held it. So every owner that can be reached is heard, for a
 * moment, before the outcome is told: one that has raised its floor meanwhile, where the others have not yet, says that
 * the record is deleted, and the others will be told so by it (docs/adr/0049-backup.md).
 */
export class RestoreOperation extends ActiveOperation implements WriteWaiter {
  readonly #context: OperationContext
  #routing: Routing
  readonly #slot: Slot
  readonly #record: StoredRecord
  readonly #options: OperationOptions
  readonly #settler: RestoreSettler
  #owners: ArrayLike<number> = []
  #quorums: SlotQuorums
  /** The number of the first owner in requests under this routing: lower ones were given up. */
  #base = 0
  /** A bit for each owner: who has not answered, who goes by another epoch, who has it or something newer, who will not have it. */
  #pending = 0
  #waiting = 0
  #holders = 0
  #refilling = 0
  #superseded = false
  #deleted = false
  #refusal: KvError['code'] | undefined
  /** A quorum holds it, and the others are waited for until then, in monotonic ms; 0: it is not so far. */
  #othersUntilMs = 0
  #sending = false
  #settled = false

  constructor(
    context: OperationContext,
    routing: Routing,
    slot: Slot,
    record: StoredRecord,
    options: OperationOptions,
    settler: RestoreSettler,
  ) {
    super()
    this.#context = context
    this.#routing = routing
    this.#slot = slot
    this.#record = record
    this.#options = options
    this.#settler = settler
    this.#quorums = quorumsOf(routing, slot)
  }

  start(): void {
    this.#context.active.add(this)
    this.#send()
  }

  override reroute(routing: Routing): void {
    this.#base += this.#owners.length
    this.#routing = routing
    this.askNobodyAgain()
    this.#send()
  }

  override tick(nowMs: number): void {
    if (this.#options.cancellation?.cancelled) this.#fail(new KvError('cancelled', 'the caller stopped waiting'))
    else if (nowMs >= this.#options.deadlineMs) {
      this.#fail(new KvError('timeout', `${this.#progress()} before the deadline`, { outcome: 'unknown' }))
    } else if (this.#othersUntilMs !== 0) this.#judge(nowMs)
    if (!this.#settled && this.isTimeToAskAgain(nowMs)) this.#askAgain()
  }

  override forget(replica: Replica, slots: ReadonlySet<number>): void {
    if (!slots.has(this.#slot)) return
    for (let i = 0; i < this.#owners.length; i++) {
      if ((this.#holders & (1 << i)) === 0 || this.#replica(i) !== replica) continue
      this.#fail(new KvError('unavailable', 'a replica that had acknowledged the record lost its data'))
      return
    }
  }

  writeReplied(number: number, reply: WriteReply): void {
    const position = number - this.#base
    if (this.#settled || position < 0) return
    const bit = 1 << position
    if (reply.kind === 'wrong-epoch') {
      this.#waiting |= bit
      this.askAgainLater(this.#context.clock.monotonicMs())
      return
    }
    this.#pending &= ~bit
    if (reply.kind === 'applied' || reply.kind === 'stale') this.#holders |= bit
    // What those who only come have is left over from an earlier time, and says nothing.
    if (reply.kind === 'stale' && (this.#quorums.newcomers & bit) === 0) this.#noteStale(reply)
    if (reply.kind === 'refilling') this.#refilling++
    if (reply.kind === 'refused') this.#refusal ??= reply.code
    if (!this.#sending) this.#judge(this.#context.clock.monotonicMs())
  }

  #noteStale({ seen }: WriteReply): void {
    if (seen === undefined) return
    if (isFloorVersion(seen)) this.#deleted = true
    else if (compareVersions(seen, this.#record) > 0) this.#superseded = true
  }

  #replica(position: number): Replica {
    return this.#routing.replicas[this.#owners[position]!]!
  }

  #send(): void {
    this.#owners = ownersOf(this.#routing, this.#slot)
    this.#quorums = quorumsOf(this.#routing, this.#slot)
    this.#pending = 0
    this.#waiting = 0
    this.#holders = 0
    this.#refilling = 0
    this.#othersUntilMs = 0
    const bytes = this.#record.key.length + this.#record.value.length
    let crowded = false
    for (let i = 0; i < this.#owners.length; i++) {
      const replica = this.#replica(i)
      if (replica.up && replica.accepts(bytes)) this.#pending |= 1 << i
      else if (replica.up) crowded = true
    }
    if (!isMet(this.#written, this.#pending)) {
      this.#refusal = crowded ? 'overloaded' : undefined
      this.#judge(this.#context.clock.monotonicMs())
      return
    }
    this.#sending = true
    this.#sendTo(this.#pending)
    this.#sending = false
    this.#judge(this.#context.clock.monotonicMs())
  }

  #sendTo(owners: number): void {
    for (let i = 0; i < this.#owners.length; i++) {
      if ((owners & (1 << i)) !== 0) this.#replica(i).write(this.#record, false, this, this.#base + i, true)
    }
  }

  #askAgain(): void {
    const waiting = this.#waiting
    this.#waiting = 0
    this.#sendTo(waiting)
  }

  get #written(): SlotQuorums['written']['quorum'] {
    return this.#quorums.written.quorum
  }

  #judge(nowMs: number): void {
    if (this.#settled) return
    if (!isMet(this.#written, this.#holders | this.#pending)) {
      this.#fail(new KvError(this.#refusal ?? 'unavailable', this.#progress(), { outcome: 'unknown' }))
      return
    }
    if (!isMet(this.#written, this.#holders)) return
    if (this.#pending !== 0 && this.#othersUntilMs === 0) {
      const leftMs = this.#options.deadlineMs - nowMs
      this.#othersUntilMs = nowMs + Math.min(limits.restoreOthersMs, leftMs / 2)
    }
    if (this.#pending !== 0 && nowMs < this.#othersUntilMs) return
    // As for a write: what is late stays late.
    if (nowMs >= this.#options.deadlineMs) return
    this.#settle()
    this.#settler.restored(this.#deleted ? 'deleted' : this.#superseded ? 'superseded' : 'stored')
  }

  #progress(): string {
    const note = refillingNote(this.#slot, this.#refilling, this.#owners.length)
    const held = `${countVoters(this.#holders & firstVoters(this.#owners.length))} of ${this.#owners.length} replicas`
    return `${held} have a record of slot ${this.#slot}, ${neededNote(this.#written)} are needed${note}`
  }

  #fail(error: KvError): void {
    if (this.#settled) return
    this.#settle()
    this.#settler.failed(error)
  }

  #settle(): void {
    this.#settled = true
    this.#context.active.remove(this)
  }
}

/** What became of some records. */
export interface RestoreTally {
  stored: number
  superseded: number
  deleted: number
}

/** Restores some records side by side. Rejects with the first KvError, when all of them have ended. */
export function restoreAll(
  context: OperationContext,
  routing: Routing,
  records: readonly { readonly slot: Slot; readonly record: StoredRecord }[],
  options: OperationOptions,
): Promise<RestoreTally> {
  return new Promise((resolve, reject) => {
    const tally: RestoreTally = { stored: 0, superseded: 0, deleted: 0 }
    let left = records.length
    let failure: KvError | undefined
    const ended = (): void => {
      left--
      if (left > 0) return
      if (failure === undefined) resolve(tally)
      else reject(failure)
    }
    const settler: RestoreSettler = {
      restored: (outcome) => {
        tally[outcome]++
        ended()
      },
      failed: (error) => {
        failure ??= error
        ended()
      },
    }
    if (left === 0) resolve(tally)
    for (const { slot, record } of records) {
      new RestoreOperation(context, routing, slot, record, options, settler).start()
    }
  })
}

import { KvError, limits, type Slot } from '../../base/index.js'
import { countVoters, firstVoters, isMet, isWanted, type Quorum, type Quorums } from '../../quorum/index.js'
import { isFloorVersion, type StoredRecord } from '../../record/index.js'
import { ActiveOperation } from '../operations/active-operations.js'
import type { OperationOptions } from '../operations/operations.js'
import type { OperationContext, Routing } from '../operations/routing.js'
import { preferenceList } from '../replicas/key-owner.js'
import {
  nobody,
  type PageReply,
  type PageRequest,
  type PageWaiter,
  type Replica,
  type WriteReply,
  type WriteWaiter,
} from '../replicas/replica.js'
import { mergePages } from './merge-pages.js'
import { refillingNote } from './refilling.js'
import { quorumsOf, type SlotQuorums } from './slot-quorums.js'

/** The newest record of each key in one stretch of a slot, tombstones included, in byte order. */
export interface SlotStretch {
  readonly records: readonly StoredRecord[]
  /** There may be more behind the last record. */
  readonly more: boolean
  /** The highest floor of the owners that were read (`PageReply.floorMs`). */
  readonly floorMs: number
}

interface Settler {
  resolve(stretch: SlotStretch): void
  reject(error: KvError): void
}

/** What is known of one owner of the slot. */
interface SlotOwner {
  readonly replica: Replica
  /** Its bit in quorums. */
  readonly bit: number
  /** `waiting`: it goes by another epoch or has no link at the moment, and is asked again at the next turn. */
  state: 'spare' | 'asked' | 'waiting' | 'held' | 'failed' | 'refilling'
  page: PageReply | undefined
}

/** A write-back on its way to one owner. */
interface SlotRepair {
  readonly record: StoredRecord
  readonly owner: SlotOwner
}

/**
 * Reads one stretch of a slot from enough of its owners, merges it key by key, and writes back what too few of them
 * hold: the scan's form of a read operation.
 */
export class SlotRead extends ActiveOperation implements PageWaiter, WriteWaiter {
  readonly #context: OperationContext
  #routing: Routing
  readonly #request: PageRequest
  readonly #options: OperationOptions
  readonly #settler: Settler
  #quorums: SlotQuorums
  #owners: SlotOwner[] = []
  /** The number of the first owner in requests under this routing. Lower ones belong to requests that were given up. */
  #base = 0
  #hedgeAtMs = 0
  #asking = false
  #done = false
  #stretch: SlotStretch | undefined
  /** Write-backs that must still succeed before the reply: who has the record, and who may still answer. */
  readonly #repairsNeeded = new Map<StoredRecord, { holders: number; pending: number }>()
  /** The write-backs, by their numbers. */
  readonly #repairs: SlotRepair[] = []
  /** Numbers of those whose owners go by another epoch, or have no link: they are sent again at the next turn. */
  #repairsAgain: number[] = []

  constructor(
    context: OperationContext,
    routing: Routing,
    request: PageRequest,
    options: OperationOptions,
    settler: Settler,
  ) {
    super()
    this.#context = context
    this.#routing = routing
    this.#request = request
    this.#options = options
    this.#settler = settler
    this.#quorums = quorumsOf(routing, this.#slot)
    this.#chooseOwners()
  }

  #chooseOwners(): void {
    const { replicas } = this.#routing
    this.#quorums = quorumsOf(this.#routing, this.#slot)
    this.#owners = preferenceList(this.#routing, this.#slot, this.#needed).map(({ member, bit }) => {
      const replica = replicas[member]!
      return { replica, bit, state: replica.up || this.#returns(replica) ? 'spare' : 'failed', page: undefined }
    })
    this.#hedgeAtMs = this.#context.clock.monotonicMs() + limits.scanHedgeMs
  }

  get #slot(): Slot {
    return this.#request.slot as Slot
  }

  /** Owners whose pages are needed: enough to see what has settled. */
  get #needed(): Quorums {
    return this.#quorums.asked[this.#options.consistency]
  }

  /** Owners that must hold a record before it is returned. */
  get #settled(): Quorums {
    return this.#quorums.settled[this.#options.consistency]
  }

  start(): void {
    this.#context.active.add(this)
    this.#ask(this.#needed)
  }

  override reroute(routing: Routing): void {
    this.#base += this.#owners.length
    this.#routing = routing
    this.#stretch = undefined
    this.#repairsNeeded.clear()
    this.#repairsAgain = []
    this.askNobodyAgain()
    this.#chooseOwners()
    this.#ask(this.#needed)
  }

  override tick(nowMs: number): void {
    if (this.#options.cancellation?.cancelled) this.#fail(new KvError('cancelled', 'the caller stopped waiting'))
    else if (nowMs >= this.#options.deadlineMs) {
      this.#fail(new KvError('timeout', `slot ${this.#slot} was not read before the deadline`))
    } else if (nowMs >= this.#hedgeAtMs && this.#stretch === undefined) {
      this.#hedgeAtMs = Number.POSITIVE_INFINITY
      this.#ask(this.#everybody())
    } else if (this.isTimeToAskAgain(nowMs)) this.#askAgain()
  }

  #everybody(): Quorums {
    const all: Quorum = { group: firstVoters(this.#owners.length), needed: this.#owners.length }
    return [all]
  }

  #askAgain(): void {
    for (const owner of this.#owners) if (owner.state === 'waiting') owner.state = 'spare'
    if (this.#stretch === undefined) this.#ask(this.#needed)
    const again = this.#repairsAgain
    this.#repairsAgain = []
    for (const number of again) {
      const { record, owner } = this.#repairs[number]!
      owner.replica.write(record, false, this, number, true)
    }
  }

  override forget(replica: Replica, slots: ReadonlySet<number>): void {
    if (!slots.has(this.#slot)) return
    const owner = this.#owners.find((one) => one.replica === replica)
    if (owner === undefined) return
    // Whether it has acknowledged a write-back is not kept: one that was sent to it may have counted.
    const counted = owner.state === 'held' || this.#stretch !== undefined
    if (counted) this.#fail(new KvError('unavailable', 'a replica that had answered lost its data'))
  }

  pageReplied(number: number, reply: PageReply): void {
    const owner = this.#owners[number - this.#base]
    if (this.#done || this.#stretch !== undefined || owner === undefined) return
    if (reply.kind === 'wrong-epoch') {
      owner.state = 'waiting'
      this.askAgainLater(this.#context.clock.monotonicMs())
    } else owner.state = reply.kind === 'failed' && this.#returns(owner.replica) ? 'waiting' : reply.kind
    if (reply.kind === 'held') owner.page = reply
    if (!this.#asking) this.#ask(this.#needed)
  }

  /** From a write-back; `number` is that of the repair. Who has something newer counts as having it. */
  writeReplied(number: number, reply: WriteReply): void {
    if (this.#done) return
    const { record, owner } = this.#repairs[number]!
    const repair = this.#repairsNeeded.get(record)
    if (repair === undefined) return
    const failed = reply.kind === 'lost' || reply.kind === 'refused'
    if (reply.kind === 'wrong-epoch' || (failed && this.#returns(owner.replica))) {
      this.#repairsAgain.push(number)
      this.askAgainLater(this.#context.clock.monotonicMs())
      return
    }
    repair.pending &= ~owner.bit
    const isBuried = reply.kind === 'stale' && reply.seen !== undefined && isFloorVersion(reply.seen)
    if (isBuried && !record.tombstone && (owner.bit & this.#quorums.reading) !== 0) {
      // The newest copy came from an old disk, and where it is now known to be deleted it was not known before.
      this.#fail(new KvError('unavailable', `slot ${this.#slot} was compared with others meanwhile`))
      return
    }
    if (reply.kind === 'applied' || reply.kind === 'stale') repair.holders |= owner.bit
    if (isMet(this.#settled, repair.holders)) this.#repairsNeeded.delete(record)
    if (!this.#asking) this.#finishIfRepaired()
  }

  /** Whether it has no link, and is waited for. */
  #returns(replica: Replica): boolean {
    return this.waitsFor(replica, this.#context.clock)
  }

  #those(state: SlotOwner['state']): number {
    let those = 0
    for (const owner of this.#owners) if (owner.state === state) those |= owner.bit
    return those
  }

  #ask(wanted: Quorums): void {
    this.#asking = true
    for (const [i, owner] of this.#owners.entries()) {
      if (owner.state !== 'spare' || !isWanted(wanted, this.#those('held') | this.#those('asked'), owner.bit)) continue
      owner.state = 'asked'
      owner.replica.page(this.#request, this, this.#base + i)
    }
    this.#asking = false
    const held = this.#those('held')
    if (isMet(this.#needed, held)) this.#merge()
    else if (!isMet(this.#needed, held | this.#those('asked') | this.#those('waiting'))) {
      const note = refillingNote(this.#slot, countVoters(this.#those('refilling')), this.#owners.length)
      this.#fail(new KvError('unavailable', `${countVoters(held)} replicas answered for slot ${this.#slot}${note}`))
    }
  }

  #merge(): void {
    // As in a read: repairs do not outlive their request.
    if (this.#context.clock.monotonicMs() >= this.#options.deadlineMs) {
      this.#fail(new KvError('timeout', `slot ${this.#slot} was read after the deadline`))
      return
    }
    const pages = this.#owners.flatMap(({ page, bit }) => (page === undefined ? [] : [{ page, bit }]))
    const { records, more } = mergePages(pages, this.#quorums.reading)
    const floorMs = Math.max(...pages.map(({ page, bit }) => ((bit & this.#quorums.reading) === 0 ? 0 : page.floorMs)))
    this.#stretch = { records: records.map(({ record }) => record), more, floorMs }
    const answered = this.#those('held')
    this.#asking = true
    for (const { record, holders } of records) {
      if (this.#settled.length > 0 && holders !== answered) this.#repair(record, holders)
    }
    this.#asking = false
    this.#finishIfRepaired()
  }

  /** Sends a record to all owners but its holders; until it has settled there is no reply. */
  #repair(record: StoredRecord, holders: number): void {
    const lacking = this.#owners.filter(
      ({ bit, replica }) => (bit & holders) === 0 && (replica.up || this.#returns(replica)),
    )
    if (isMet(this.#settled, holders)) {
      this.#context.instruments.readRepairs += lacking.length
      for (const { replica } of lacking) replica.write(record, false, nobody, 0, true)
      return
    }
    const pending = lacking.reduce((sum, { bit }) => sum | bit, 0)
    this.#repairsNeeded.set(record, { holders, pending })
    for (const owner of lacking) {
      this.#repairs.push({ record, owner })
      this.#context.instruments.readRepairs++
      owner.replica.write(record, false, this, this.#repairs.length - 1, true)
    }
  }

  #finishIfRepaired(): void {
    if (this.#done || this.#stretch === undefined) return
    for (const { holders, pending } of this.#repairsNeeded.values()) {
      if (!isMet(this.#settled, holders | pending)) {
        this.#fail(new KvError('unavailable', 'a newest version could not be brought to enough replicas'))
        return
      }
    }
    if (this.#repairsNeeded.size > 0) return
    // As for a write: what is late stays late.
    if (this.#context.clock.monotonicMs() >= this.#options.deadlineMs) {
      this.#fail(new KvError('timeout', `slot ${this.#slot} was read after the deadline`))
      return
    }
    this.#end()
    this.#settler.resolve(this.#stretch)
  }

  #fail(error: KvError): void {
    if (this.#done) return
    this.#end()
    this.#settler.reject(error)
  }

  #end(): void {
    this.#done = true
    this.#context.active.remove(this)
  }
}

/** Rejects with KvError, as operations do. */
export function readStretch(
  context: OperationContext,
  routing: Routing,
  request: PageRequest,
  options: OperationOptions,
): Promise<SlotStretch> {
  return new Promise((resolve, reject) => {
    new SlotRead(context, routing, request, options, { resolve, reject }).start()
  })
}

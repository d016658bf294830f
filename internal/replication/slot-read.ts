import { compareBytes, equalBytes, KvError, limits, type Slot } from '../base/index.js'
import { compareVersions, hlcMs } from '../hlc/index.js'
import { compareRecords, floorTombstone, isFloorVersion, type StoredRecord } from '../record/index.js'
import { ActiveOperation } from './active-operations.js'
import { keyName } from './adopt-floor.js'
import type { OperationOptions } from './operations.js'
import { refillingNote } from './refilling.js'
import {
  nobody,
  type PageReply,
  type PageRequest,
  type PageWaiter,
  type Replica,
  type WriteReply,
  type WriteWaiter,
} from './replica.js'
import { type OperationContext, type Routing, settledCount } from './routing.js'

/** The newest record of each key in one stretch of a slot, tombstones included, in byte order. */
export interface SlotStretch {
  readonly records: readonly StoredRecord[]
  /** There may be more behind the last record. */
  readonly more: boolean
}

interface Settler {
  resolve(stretch: SlotStretch): void
  reject(error: KvError): void
}

/** `wrong-epoch`: it is asked again at the next turn. */
type OwnerState = 'spare' | 'asked' | PageReply['kind']

/** A write-back on its way to one owner. */
interface SlotRepair {
  readonly record: StoredRecord
  readonly replica: Replica
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
  #owners: readonly number[] = []
  #states: OwnerState[] = []
  #pages: (PageReply | undefined)[] = []
  /** The number of the first owner in requests under this routing. Lower ones belong to requests that were given up. */
  #base = 0
  #needed = 0
  #settled = 0
  #hedgeAtMs = 0
  #asking = false
  #done = false
  #stretch: SlotStretch | undefined
  /** Write-backs that must still succeed before the reply, and those that may still answer. */
  readonly #repairsNeeded = new Map<StoredRecord, { needed: number; pending: number }>()
  /** The write-backs, by their numbers. */
  readonly #repairs: SlotRepair[] = []
  /** Numbers of those whose owners go by another epoch: they are sent again at the next turn. */
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
    this.#chooseOwners()
  }

  #chooseOwners(): void {
    const { consistency } = this.#options
    const routing = this.#routing
    const owners = Array.from<number>(routing.table.owners(this.#request.slot as Slot))
    this.#owners = [...owners.filter((o) => o === routing.self), ...owners.filter((o) => o !== routing.self)]
    this.#states = this.#owners.map((member) => (routing.replicas[member]!.up ? 'spare' : 'failed'))
    this.#pages = this.#owners.map(() => undefined)
    this.#settled = consistency === 'one' ? 0 : settledCount(routing)
    const quorum = consistency === 'one' ? 1 : consistency === 'all' ? owners.length : routing.readQuorum
    this.#needed = Math.max(quorum, this.#settled)
    this.#hedgeAtMs = this.#context.clock.monotonicMs() + limits.scanHedgeMs
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
      this.#fail(new KvError('timeout', `slot ${this.#request.slot} was not read before the deadline`))
    } else if (nowMs >= this.#hedgeAtMs && this.#stretch === undefined) {
      this.#hedgeAtMs = Number.POSITIVE_INFINITY
      this.#ask(this.#owners.length)
    } else if (this.isTimeToAskAgain(nowMs)) this.#askAgain()
  }

  #askAgain(): void {
    this.#states = this.#states.map((state) => (state === 'wrong-epoch' ? 'spare' : state))
    if (this.#stretch === undefined) this.#ask(this.#needed)
    const again = this.#repairsAgain
    this.#repairsAgain = []
    for (const number of again) {
      const { record, replica } = this.#repairs[number]!
      replica.write(record, false, this, number, true)
    }
  }

  override forget(replica: Replica, slots: ReadonlySet<number>): void {
    if (!slots.has(this.#request.slot)) return
    const position = this.#owners.findIndex((member) => this.#routing.replicas[member] === replica)
    if (position < 0) return
    // Whether it has acknowledged a write-back is not kept: one that was sent to it may have counted.
    const counted = this.#states[position] === 'held' || this.#stretch !== undefined
    if (counted) this.#fail(new KvError('unavailable', 'a replica that had answered lost its data'))
  }

  pageReplied(number: number, reply: PageReply): void {
    const position = number - this.#base
    if (this.#done || this.#stretch !== undefined || position < 0) return
    this.#states[position] = reply.kind
    if (reply.kind === 'wrong-epoch') this.askAgainLater(this.#context.clock.monotonicMs())
    if (reply.kind === 'held') this.#pages[position] = reply
    if (!this.#asking) this.#ask(this.#needed)
  }

  /** From a write-back; `number` is that of the repair. Who has something newer counts as having it. */
  writeReplied(number: number, reply: WriteReply): void {
    if (this.#done) return
    const { record } = this.#repairs[number]!
    const repair = this.#repairsNeeded.get(record)
    if (repair === undefined) return
    if (reply.kind === 'wrong-epoch') {
      this.#repairsAgain.push(number)
      this.askAgainLater(this.#context.clock.monotonicMs())
      return
    }
    repair.pending--
    if (reply.kind === 'stale' && !record.tombstone && reply.seen !== undefined && isFloorVersion(reply.seen)) {
      // The newest copy came from an old disk, and where it is now known to be deleted it was not known before.
      this.#fail(new KvError('unavailable', `slot ${this.#request.slot} was compared with others meanwhile`))
      return
    }
    if (reply.kind === 'applied' || reply.kind === 'stale') repair.needed--
    if (repair.needed <= 0) this.#repairsNeeded.delete(record)
    if (!this.#asking) this.#finishIfRepaired()
  }

  #count(state: OwnerState): number {
    return this.#states.filter((s) => s === state).length
  }

  #ask(wanted: number): void {
    this.#asking = true
    for (let i = 0; i < this.#owners.length; i++) {
      if (this.#count('held') + this.#count('asked') >= wanted) break
      if (this.#states[i] !== 'spare') continue
      this.#states[i] = 'asked'
      this.#routing.replicas[this.#owners[i]!]!.page(this.#request, this, this.#base + i)
    }
    this.#asking = false
    if (this.#count('held') >= this.#needed) this.#merge()
    else if (this.#count('held') + this.#count('asked') + this.#count('wrong-epoch') < this.#needed) {
      const { slot } = this.#request
      const note = refillingNote(slot as Slot, this.#count('refilling'), this.#owners.length)
      this.#fail(new KvError('unavailable', `${this.#count('held')} replicas answered for slot ${slot}${note}`))
    }
  }

  #merge(): void {
    // As in a read: repairs do not outlive their request.
    if (this.#context.clock.monotonicMs() >= this.#options.deadlineMs) {
      this.#fail(new KvError('timeout', `slot ${this.#request.slot} was read after the deadline`))
      return
    }
    const pages = this.#pages.filter((page) => page !== undefined)
    const bound = stretchEnd(pages)
    const newest = new Map<string, { record: StoredRecord; holders: number }>()
    for (const page of pages) {
      for (const record of page.records) {
        if (bound !== undefined && compareBytes(record.key, bound) > 0) break
        const name = keyName(record.key)
        const known = newest.get(name)
        const order = known === undefined ? 1 : compareVersions(record, known.record)
        if (order > 0) newest.set(name, { record, holders: 1 })
        else if (order === 0) {
          known!.holders++
          // One replica may have purged the expired value and another not yet: the same write all the same.
          if (compareRecords(record, known!.record) > 0) known!.record = record
        }
      }
    }
    for (const item of newest.values()) if (item.holders < pages.length) buryUnderFloors(item, pages)
    const merged = [...newest.values()].sort((a, b) => compareBytes(a.record.key, b.record.key))
    this.#stretch = { records: merged.map(({ record }) => record), more: bound !== undefined }
    this.#asking = true
    for (const { record, holders } of merged) {
      if (this.#settled > 0 && holders < pages.length) this.#repair(record, this.#settled - holders)
    }
    this.#asking = false
    this.#finishIfRepaired()
  }

  /** Sends a record to every owner; `needed` of those that lacked it must have it before the reply. */
  #repair(record: StoredRecord, needed: number): void {
    // Owners that already hold it answer as well: they are told from the others by what they sent.
    const lacking = this.#owners.filter((_, i) => {
      const page = this.#pages[i]
      return page === undefined || !page.records.some((held) => compareVersions(held, record) === 0)
    })
    if (needed <= 0) {
      for (const member of lacking) {
        if (this.#routing.replicas[member]!.up) this.#routing.replicas[member]!.write(record, false, nobody, 0, true)
      }
      return
    }
    const up = lacking.filter((member) => this.#routing.replicas[member]!.up)
    this.#repairsNeeded.set(record, { needed, pending: up.length })
    for (const member of up) {
      const replica = this.#routing.replicas[member]!
      this.#repairs.push({ record, replica })
      replica.write(record, false, this, this.#repairs.length - 1, true)
    }
  }

  #finishIfRepaired(): void {
    if (this.#done || this.#stretch === undefined) return
    for (const { needed, pending } of this.#repairsNeeded.values()) {
      if (pending < needed) {
        this.#fail(new KvError('unavailable', 'a newest version could not be brought to enough replicas'))
        return
      }
    }
    if (this.#repairsNeeded.size > 0) return
    // As for a write: what is late stays late.
    if (this.#context.clock.monotonicMs() >= this.#options.deadlineMs) {
      this.#fail(new KvError('timeout', `slot ${this.#request.slot} was read after the deadline`))
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

/**
 * Those that lack a key under a floor that covers its newest record hold a tombstone of it, and that is newer. A floor
 * covers all of a page: what was cut off is behind the stretch.
 */
function buryUnderFloors(item: { record: StoredRecord; holders: number }, pages: readonly PageReply[]): void {
  const { key } = item.record
  const over = pages.filter(
    ({ floorMs, records }) =>
      floorMs > 0 && hlcMs(item.record) <= floorMs && !records.some((held) => equalBytes(held.key, key)),
  )
  if (over.length === 0) return
  item.record = floorTombstone(key, Math.max(...over.map(({ floorMs }) => floorMs)))
  item.holders = over.length
}

/** Pages that were cut short are known only up to their last key: the stretch ends at the lowest of those. */
function stretchEnd(pages: readonly PageReply[]): Uint8Array | undefined {
  let end: Uint8Array | undefined
  for (const page of pages) {
    if (!page.more) continue
    const last = page.records.at(-1)?.key
    if (last !== undefined && (end === undefined || compareBytes(last, end) < 0)) end = last
  }
  return end
}

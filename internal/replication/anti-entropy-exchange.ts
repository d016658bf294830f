import { DigestLevel } from '@quorumkv/proto/kv/peer/v1/messages'
import { compareBytes, emptyBytes, KvError, limits, type Slot } from '../base/index.js'
import type { Clock } from '../env/index.js'
import { hlcMs } from '../hlc/index.js'
import { compareEntries, differingPositions, type Entry, groupOf } from '../merkle/index.js'
import {
  encodedRecordBytes,
  floorTombstone,
  isDeadAtFloor,
  isFloorVersion,
  type StoredRecord,
} from '../record/index.js'
import type { Store } from '../store/index.js'
import type { ByteRate } from './byte-rate.js'
import { type ComparedReplica, type EntryAnswer, failedDigests, failedEntries } from './compared-replica.js'
import type { Pauses } from './pauses.js'
import type { ReadReply, WriteReply } from './replica.js'
import type { Routing } from './routing.js'
import type { ScanSlices } from './scan-slices.js'
import type { SharedSlots } from './shared-slots.js'
import { bucketDigests, entriesBetween } from './slot-entries.js'

/** What an exchange has found and done so far; it counts on in place. */
export interface ExchangeTally {
  /** Slots that were found to differ, twice, and those of them that have been made equal since. */
  differing: number
  repaired: number
  /** Slots that are lost here or there: they are refilled, and not compared. */
  skipped: number
  /** Records that were missing or older here, and there. */
  pulled: number
  pushed: number
  /** Of those records, in both directions. */
  bytes: number
}

export function emptyTally(): ExchangeTally {
  return { differing: 0, repaired: 0, skipped: 0, pulled: 0, pushed: 0, bytes: 0 }
}

export interface ExchangeOptions {
  readonly clock: Clock
  readonly pauses: Pauses
  readonly rate: ByteRate
  readonly store: Store
  readonly shared: SharedSlots
  readonly slices: ScanSlices
  /** The one in force now. */
  routing(): Routing
  /** With whom, by its index in the routing. */
  readonly member: number
  readonly peer: ComparedReplica
  /** Only this slot, which both own; undefined: all that they share. */
  readonly slot: Slot | undefined
  readonly tally: ExchangeTally
}

/** What comes with digests. */
class Told {
  readonly lost: Set<number> = new Set()
  floorMs = 0
}

/** A batch of replies, each in the place of its request. */
class Gathered<Reply> {
  readonly #replies: Reply[] = []
  #missing: number
  readonly #complete: (replies: Reply[]) => void

  constructor(count: number, complete: (replies: Reply[]) => void) {
    this.#missing = count
    this.#complete = complete
  }

  add(position: number, reply: Reply): void {
    this.#replies[position] = reply
    if (--this.#missing === 0) this.#complete(this.#replies)
  }
}

/**
 * One comparison of this node with one other member, and the exchange of what differs (DeCandia and others, "Dynamo",
 * 2007, 4.7, with digests that are kept instead of built). Replicas that are equal exchange one digest. Otherwise it goes
 * down: the groups of slots that differ, their slots, the buckets of each slot, the keys and versions of those buckets,
 * and then the records, whichever way they are missing.
 *
 * Whatever travels is merged by version, as any write: what is older than what is there changes nothing, and what one side has
 * never heard of never wins against what the other has. So it does not matter what is written meanwhile, nor that
 * several members repair the same slot at once. Writes under way make slots differ for a moment: they are looked
 * at again a second later, and only what differs still is read.
 *
 * All state is in this object, and the other member keeps none: an exchange that breaks off is simply made again.
 */
export class Exchange {
  readonly #options: ExchangeOptions
  readonly #routing: Routing
  readonly #name: string
  #obstacle = ''

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#routing = options.routing()
    this.#name = this.#routing.table.members[options.member]!.id
  }

  /** Resolves when both hold the same, with nothing; or when that is not to be had now, with the reason. */
  async run(): Promise<string> {
    const suspects = await this.#differingSlots(await this.#differingGroups())
    if (suspects.length === 0) return this.#obstacle
    await this.#options.pauses.pause(limits.antiEntropySettleMs)
    const again = new Set(await this.#differingSlots([...new Set(suspects.map(groupOf))]))
    const slots = suspects.filter((slot) => again.has(slot))
    this.#options.tally.differing += slots.length
    await this.#repair(this.#rotated(slots))
    return this.#obstacle
  }

  /**
   * Members that repair the same slots at the same time begin at different places: what one has done already the
   * others then find equal.
   */
  #rotated(slots: readonly Slot[]): Slot[] {
    const { self, replicas } = this.#routing
    const first = Math.floor((slots.length * self) / replicas.length)
    return [...slots.slice(first), ...slots.slice(0, first)]
  }

  async #repair(slots: Slot[]): Promise<void> {
    const { tally } = this.#options
    const workers = Array.from({ length: limits.antiEntropySlotsMax }, async () => {
      for (let slot = slots.shift(); slot !== undefined && this.#goesOn; slot = slots.shift()) {
        if (await this.#repairSlot(slot)) tally.repaired++
      }
    })
    await Promise.all(workers)
  }

  get #goesOn(): boolean {
    const { pauses, peer, routing } = this.#options
    if (this.#obstacle !== '') return false
    if (pauses.stopped) this.#obstacle = 'this node stops'
    else if (routing().epoch !== this.#routing.epoch) this.#obstacle = 'the topology has changed'
    else if (!peer.up) this.#obstacle = `${this.#name} cannot be reached`
    return this.#obstacle === ''
  }

  // --- the tree, from its root down

  async #differingGroups(): Promise<readonly number[]> {
    const { slot, shared, member } = this.#options
    if (slot !== undefined) return [groupOf(slot)]
    if (shared.with(member, this.#routing).length === 0) return []
    const root = await this.#differing(DigestLevel.ROOT, [], () => this.#tree().root())
    return root.length === 0 ? [] : this.#differing(DigestLevel.GROUPS, [], () => this.#tree().groups())
  }

  async #differingSlots(groups: readonly number[]): Promise<Slot[]> {
    if (groups.length === 0) return []
    const { store, slot: only, tally } = this.#options
    const tree = this.#tree()
    const slots = tree.slotsIn(groups)
    const told = new Told()
    const positions = await this.#differing(DigestLevel.LEAVES, groups, () => this.#tree().leaves(groups), told)
    tally.skipped = 0
    return positions
      .map((position) => slots[position]!)
      .filter((slot) => {
        if (only !== undefined && slot !== only) return false
        if (!told.lost.has(slot) && !store.isLost(slot)) return true
        tally.skipped++
        return false
      })
  }

  #tree() {
    const { shared, member, store } = this.#options
    return shared.tree(member, this.#routing, store)
  }

  /** Where the other's digests differ from `mine`, which are taken when the answer is there. Fills `told`. */
  async #differing(
    level: DigestLevel,
    places: readonly number[],
    mine: () => Uint8Array | Promise<Uint8Array>,
    told?: Told,
  ): Promise<number[]> {
    if (!(await this.#turn())) return []
    const { pauses, peer } = this.#options
    const ask = { level, member: this.#routing.self, places }
    const answer = await pauses.answer(limits.antiEntropyReplyMs, failedDigests, (resolve) =>
      peer.digests(ask, resolve),
    )
    if (!this.#goesOn) return []
    if (answer.kind !== 'held') {
      this.#obstacle = this.#refusal(answer.kind)
      return []
    }
    for (const slot of answer.lost) told?.lost.add(slot)
    if (told !== undefined) told.floorMs = answer.floorMs
    const positions = differingPositions(await mine(), answer.digests)
    if (positions === undefined) this.#obstacle = `${this.#name} compares other slots`
    return positions ?? []
  }

  // --- one slot

  /** Makes one slot equal on both sides; whether that has been done, as far as both knew what they held. */
  async #repairSlot(slot: Slot): Promise<boolean> {
    const { store, slices } = this.#options
    const mine = (): Promise<Uint8Array> => slices.result(() => bucketDigests(store, slot))
    const told = new Told()
    const buckets = await this.#differing(DigestLevel.BUCKETS, [slot], mine, told)
    const tracks = { clean: true }
    let after: Uint8Array = emptyBytes
    while (this.#goesOn) {
      if (buckets.length === 0) return this.#adopt(slot, told.floorMs)
      const page = await this.#entries(slot, buckets, after)
      const last = page.entries.at(-1)?.key
      const getsOn = !page.more || (last !== undefined && compareBytes(last, after) > 0)
      if (page.kind !== 'held' || !getsOn) {
        this.#obstacle ||= this.#refusal(page.kind)
        return false
      }
      const [from, through] = [after, page.more ? last : undefined]
      const here = await slices.result(() => entriesBetween(store, slot, buckets, from, through))
      const { lacking, ahead } = compareEntries(here, page.entries)
      for (const batch of batches(lacking)) if (!(await this.#pull(batch))) return false
      for (const batch of batches(ahead)) if (!(await this.#push(batch, tracks))) return false
      if (!page.more) return tracks.clean ? this.#adopt(slot, told.floorMs) : true
      if (last !== undefined) after = last
    }
    return false
  }

  async #entries(slot: Slot, buckets: readonly number[], after: Uint8Array): Promise<EntryAnswer> {
    if (!(await this.#turn())) return failedEntries
    const { pauses, peer } = this.#options
    const [entriesMax, bytesMax] = [limits.antiEntropyPageEntriesMax, limits.antiEntropyPageBytesMax]
    return pauses.answer(limits.antiEntropyReplyMs, failedEntries, (resolve) => {
      peer.entries({ slot, buckets, after, entriesMax, bytesMax }, resolve)
    })
  }

  async #pull(batch: readonly Entry[]): Promise<boolean> {
    if (!(await this.#paid(batch))) return false
    const { pauses, peer, store, tally } = this.#options
    const replies = await pauses.answer<readonly ReadReply[]>(limits.antiEntropyReplyMs, [], (resolve) => {
      const gathered = new Gathered(batch.length, resolve)
      const waiter = { readReplied: (position: number, reply: ReadReply) => gathered.add(position, reply) }
      for (const [i, { key }] of batch.entries()) peer.read(key, true, waiter, i)
    })
    const records = replies.flatMap(({ record }) => (record === undefined ? [] : [record]))
    const merge = async (): Promise<void> => {
      const results = records.length === 0 ? [] : await store.commit(records)
      for (const { applied } of results) if (applied) tally.pulled++
    }
    if (!(await this.#store(merge))) return false
    this.#count(records)
    const failed = replies.find(({ kind }) => kind !== 'held')
    if (replies.length === 0 || failed !== undefined) this.#obstacle ||= this.#refusal(failed?.kind ?? 'failed')
    return this.#goesOn
  }

  /**
   * Everything up to the other's floor is the same here and there now, what was deleted included: takes it over where it
   * is the higher one. It was there before the entries were compared.
   */
  async #adopt(slot: Slot, floorMs: number): Promise<boolean> {
    return floorMs === 0 || (await this.#store(() => this.#options.store.raiseFloors([{ slot, floorMs }])))
  }

  /** Whether this node's store took it. */
  async #store(act: () => Promise<unknown>): Promise<boolean> {
    try {
      await act()
      return true
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      this.#obstacle = `nothing can be stored here: ${error.message}`
      return false
    }
  }

  /** `tracks.clean` becomes false where the other has something else by now than what was compared. */
  async #push(batch: readonly Entry[], tracks: { clean: boolean }): Promise<boolean> {
    if (!(await this.#paid(batch))) return false
    const { pauses, peer, store, tally } = this.#options
    const found = batch.map(({ key }) => store.get(key))
    const records = found.filter((record) => record !== undefined)
    if (records.length === 0) return true
    const replies = await pauses.answer<readonly WriteReply[]>(limits.antiEntropyReplyMs, [], (resolve) => {
      const gathered = new Gathered(records.length, resolve)
      const waiter = { writeReplied: (position: number, reply: WriteReply) => gathered.add(position, reply) }
      for (const [i, record] of records.entries()) peer.write(record, false, waiter, i, true)
    })
    const buried: StoredRecord[] = []
    for (const [i, { kind, seen }] of replies.entries()) {
      if (kind === 'applied') tally.pushed++
      // The other has nothing under a floor: it was deleted there, and what is here is an old copy.
      else if (kind === 'stale' && seen !== undefined && isFloorVersion(seen)) {
        const floorMs = hlcMs(seen)
        if (!isDeadAtFloor(records[i]!, floorMs)) buried.push(floorTombstone(records[i]!.key, floorMs))
      } else {
        tracks.clean = false
      }
    }
    if (buried.length > 0 && !(await this.#store(() => store.commit(buried)))) return false
    this.#count(records)
    const failed = replies.find(({ kind }) => kind !== 'applied' && kind !== 'stale')
    if (failed?.code === 'read-only') this.#obstacle ||= `the disk of ${this.#name} is full`
    else if (failed !== undefined || replies.length === 0) this.#obstacle ||= this.#refusal(failed?.kind ?? 'failed')
    return this.#goesOn
  }

  /**
   * Waits for the time in which records of this size may travel, and for the link. They are not in memory before that:
   * what many slots move at once is bounded by the rate.
   */
  async #paid(batch: readonly Entry[]): Promise<boolean> {
    await this.#options.rate.pay(batch.reduce((sum, { bytes }) => sum + bytes, 0))
    return await this.#turn()
  }

  #count(records: readonly StoredRecord[]): void {
    for (const record of records) this.#options.tally.bytes += encodedRecordBytes(record)
  }

  /** Waits while the link is busy with what clients want; false: it does not get free, or there is no going on. */
  async #turn(): Promise<boolean> {
    const { clock, pauses, peer } = this.#options
    const giveUpMs = clock.monotonicMs() + limits.antiEntropyReplyMs
    while (this.#goesOn && peer.busy) {
      if (clock.monotonicMs() >= giveUpMs) this.#obstacle = `the link to ${this.#name} is overloaded`
      else await pauses.pause(limits.antiEntropyYieldMs)
    }
    return this.#goesOn
  }

  #refusal(kind: string): string {
    return kind === 'refilling' ? `${this.#name} has lost a slot` : `${this.#name} does not answer`
  }
}

/** In their order, each of at most so many records and bytes, or of a single record. */
function batches(entries: readonly Entry[]): Entry[][] {
  const all: Entry[][] = []
  let bytes = 0
  for (const entry of entries) {
    const last = all.at(-1)
    bytes += entry.bytes
    const fits = last !== undefined && last.length < limits.antiEntropyBatchRecordsMax
    if (fits && bytes <= limits.antiEntropyBatchBytesMax) last.push(entry)
    else {
      all.push([entry])
      bytes = entry.bytes
    }
  }
  return all
}

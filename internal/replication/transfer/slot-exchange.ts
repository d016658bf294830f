import { DigestLevel } from '@quorumkv/proto/kv/peer/v1/messages'
import { compareBytes, emptyBytes, limits, type Slot } from '../../base/index.js'
import { hlcMs } from '../../hlc/index.js'
import { compareEntries, type Entry } from '../../merkle/index.js'
import {
  encodedRecordBytes,
  floorTombstone,
  isDeadAtFloor,
  isFloorVersion,
  type StoredRecord,
} from '../../record/index.js'
import { type EntryAnswer, failedEntries } from '../repair/compared-replica.js'
import { type Counterpart, type ExchangeOptions, Told } from '../repair/counterpart.js'
import type { ReadReply, WriteReply } from '../replicas/replica.js'
import { bucketDigests, entriesBetween } from './slot-entries.js'

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

/** Makes one slot equal here and at the other member, whichever way records are missing. One for each slot. */
export class SlotExchange {
  readonly #options: ExchangeOptions
  readonly #other: Counterpart
  readonly #slot: Slot
  /** Whether the other still has what was compared, or less. */
  #clean = true

  constructor(options: ExchangeOptions, other: Counterpart, slot: Slot) {
    this.#options = options
    this.#other = other
    this.#slot = slot
  }

  /** Whether that has been done, as far as both knew what they held. */
  async run(): Promise<boolean> {
    const { store, slices } = this.#options
    const [slot, other] = [this.#slot, this.#other]
    const mine = (): Promise<Uint8Array> => slices.result(() => bucketDigests(store, slot))
    const told = new Told()
    const buckets = [...(await other.differing(DigestLevel.BUCKETS, [slot], mine, told)).keys()]
    let after: Uint8Array = emptyBytes
    while (other.goesOn) {
      if (buckets.length === 0) return this.#adopt(told.floorMs)
      const page = await this.#entries(buckets, after)
      const last = page.entries.at(-1)?.key
      const getsOn = !page.more || (last !== undefined && compareBytes(last, after) > 0)
      if (page.kind !== 'held' || !getsOn) return other.refused(page.kind)
      const [from, through] = [after, page.more ? last : undefined]
      const here = await slices.result(() => entriesBetween(store, slot, buckets, from, through))
      const { lacking, ahead } = compareEntries(here, page.entries)
      for (const batch of batches(lacking)) if (!(await this.#pull(batch))) return false
      for (const batch of batches(ahead)) if (!(await this.#push(batch))) return false
      if (!page.more) return this.#clean ? this.#adopt(told.floorMs) : true
      if (last !== undefined) after = last
    }
    return false
  }

  async #entries(buckets: readonly number[], after: Uint8Array): Promise<EntryAnswer> {
    if (!(await this.#other.turn())) return failedEntries
    const { pauses, peer } = this.#options
    const [entriesMax, bytesMax] = [limits.antiEntropyPageEntriesMax, limits.antiEntropyPageBytesMax]
    return pauses.answer(limits.antiEntropyReplyMs, failedEntries, (resolve) => {
      peer.entries({ slot: this.#slot, buckets, after, entriesMax, bytesMax }, resolve)
    })
  }

  async #pull(batch: readonly Entry[]): Promise<boolean> {
    if (!(await this.#other.paid(batch))) return false
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
    if (!(await this.#other.stored(merge))) return false
    this.#count(records)
    const failed = replies.find(({ kind }) => kind !== 'held')
    if (replies.length === 0 || failed !== undefined) this.#other.refused(failed?.kind ?? 'failed')
    return this.#other.goesOn
  }

  /**
   * Everything up to the other's floor is the same here and there now, what was deleted included: takes it over where it
   * is the higher one. It was there before the entries were compared. Not under another topology: this node may have
   * emptied the slot since, and would call deleted under that floor whatever it lacks.
   */
  async #adopt(floorMs: number): Promise<boolean> {
    if (!this.#other.goesOn) return false
    const raise = (): Promise<unknown> => this.#options.store.raiseFloors([{ slot: this.#slot, floorMs }])
    return floorMs === 0 || (await this.#other.stored(raise))
  }

  async #push(batch: readonly Entry[]): Promise<boolean> {
    if (!(await this.#other.paid(batch))) return false
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
        this.#clean = false
      }
    }
    if (buried.length > 0 && !(await this.#other.stored(() => store.commit(buried)))) return false
    this.#count(records)
    const failed = replies.find(({ kind }) => kind !== 'applied' && kind !== 'stale')
    if (failed?.code === 'read-only') this.#other.fail(`the disk of ${this.#other.name} is full`)
    else if (failed !== undefined || replies.length === 0) this.#other.refused(failed?.kind ?? 'failed')
    return this.#other.goesOn
  }

  #count(records: readonly StoredRecord[]): void {
    for (const record of records) this.#options.tally.bytes += encodedRecordBytes(record)
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

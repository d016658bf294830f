import { compareBytes, emptyBytes, KvError, limits, type NodeId, type Slot } from '../../base/index.js'
import { encodedRecordBytes, type StoredRecord } from '../../record/index.js'
import type { Store } from '../../store/index.js'
import { adoptFloor, keyName } from '../repair/adopt-floor.js'
import type { ByteRate } from './byte-rate.js'
import { type CopyAnswer, type CopyPart, type CopySource, failedCopy } from './copy-source.js'
import type { Pauses } from './pauses.js'
import type { WorkPace } from './work-pace.js'

export interface SlotMergeOptions {
  readonly store: Store
  readonly pauses: Pauses
  readonly rate: ByteRate
  readonly pace: WorkPace
  /** Asks for what was admitted before the request as well, however slow the other's disk: see `CopyAsk.settled`. */
  readonly settled: boolean
  /** Where copies of a member's slots come from. By its id: its index may be another's before the slot is here. */
  readonly source: (id: NodeId) => CopySource
  /** So many bytes of others' copies have been stored here. */
  readonly moved: (bytes: number) => void
  /** Why a slot could not be merged, for people. */
  readonly hindered: (obstacle: string) => void
}

/** Another owner of a slot. */
export interface CopyHolder {
  readonly id: NodeId
  /** Of this life of it, where that matters: under this it is remembered that its copy has been merged. */
  readonly name: string
}

/** A slot that is to be merged from other owners' copies. */
export interface WantedSlot {
  readonly slot: Slot
  /** Copies of so many of them make it whole. */
  readonly needed: number
  /** In the order in which they are asked. */
  readonly from: readonly CopyHolder[]
  /** Names of those of them whose copies have been merged; it grows. */
  readonly merged: Set<string>
}

/** A slot of which one other owner's copy is being merged. */
interface Merging {
  readonly slot: Slot
  /** Behind this key it goes on. */
  after: Uint8Array
  /**
   * The lowest floor there of all parts so far. What an earlier part lacks was not dropped by a later floor; and where the other has
   * lost, emptied and got back the slot meanwhile, what a later part lacks was not dropped by an earlier one.
   */
  floorMs: number | undefined
  /** The keys of all records so far, where the floor will have to be taken over. */
  names: Set<string> | undefined
}

/**
 * Fills slots from other replicas' copies: what a refill and a handover have in common. Many slots are asked for in one
 * message, and of what is here already nothing travels: it is told by the digest that goes along with the question.
 */
export class SlotMerge {
  readonly #options: SlotMergeOptions

  constructor(options: SlotMergeOptions) {
    this.#options = options
  }

  /**
   * Merges some slots from as many copies as each needs, and tells which have got them, as they do. `goesOn`: whether the
   * slots have come to this node, or been its own, all the time since this began.
   *
   * What one message has brought is completed from the other owners before more is asked for: so large slots become whole one
   * after the other, not all in the end.
   */
  async fill(wanted: readonly WantedSlot[], goesOn: () => boolean, whole: (slots: Slot[]) => void): Promise<void> {
    const left = wanted.map((each): Filling => ({ ...each, next: 0 }))
    let lacking = left.filter(isLacking)
    whole(left.flatMap((each) => (mergedOf(each) >= each.needed ? [each.slot] : [])))
    while (lacking.length > 0 && !this.#options.pauses.stopped && goesOn()) {
      const begun = lacking.filter(({ next }) => next > 0)
      const asked = new Map<NodeId, Filling[]>()
      for (const each of begun.length > 0 ? begun : lacking) {
        const { id } = each.from[each.next]!
        const together = asked.get(id)
        if (together === undefined) asked.set(id, [each])
        else together.push(each)
      }
      for (const [id, together] of asked) {
        const slots = together.map(({ slot }) => slot)
        const { merged, tried } = await this.#merge(slots, id, goesOn)
        for (const each of together) {
          if (merged.has(each.slot)) each.merged.add(each.from[each.next]!.name)
          if (tried.has(each.slot)) each.next++
        }
        whole(together.flatMap((each) => (merged.has(each.slot) && mergedOf(each) >= each.needed ? [each.slot] : [])))
      }
      lacking = lacking.filter(isLacking)
    }
  }

  /**
   * Merges what one other replica holds of some slots, as many as one message brings, and takes over its floors; returns
   * those that were tried, and those of which that was all.
   */
  async #merge(slots: readonly Slot[], id: NodeId, goesOn: () => boolean): Promise<Merged> {
    const { pauses, hindered } = this.#options
    const merged = new Set<Slot>()
    const tried = new Set<Slot>()
    let left = slots.map((slot): Merging => ({ slot, after: emptyBytes, floorMs: undefined, names: undefined }))
    while (left.length > 0 && !pauses.stopped && goesOn()) {
      const { kind, parts } = await this.#ask(left, id)
      if (kind !== 'held' || parts.length === 0 || parts.length > left.length) {
        hindered(`slot ${left[0]!.slot}: ${id} does not answer`)
        for (const { slot } of left) tried.add(slot)
        break
      }
      const now = left.slice(0, parts.length)
      for (const { slot } of now) tried.add(slot)
      const last = now.at(-1)!
      const goesFurther = parts.at(-1)!.more && isAhead(parts.at(-1)!, last)
      if (!(await this.#store(parts.flatMap((part) => part.records)))) break
      for (const [i, part] of parts.entries()) {
        if (await this.#took(now[i]!, part, id, goesOn)) merged.add(now[i]!.slot)
      }
      left = goesFurther ? [last] : []
    }
    return { merged, tried }
  }

  /** Whether the records are here now, and paid for. */
  async #store(records: readonly StoredRecord[]): Promise<boolean> {
    if (records.length === 0) return true
    const { moved, pace, rate, store } = this.#options
    if (!(await pace.work(() => this.stored(() => store.commit(records))))) return false
    const bytes = records.reduce((sum, record) => sum + encodedRecordBytes(record), 0)
    moved(bytes)
    await rate.pay(bytes)
    return true
  }

  /** The records of this part have been stored; whether they were the last, and the floor is here as well. */
  async #took(merging: Merging, part: CopyPart, id: NodeId, goesOn: () => boolean): Promise<boolean> {
    const { store, hindered } = this.#options
    const { slot } = merging
    if (part.kind === 'equal') return goesOn()
    if (part.kind === 'refilling' || (part.more && !isAhead(part, merging))) {
      hindered(`slot ${slot}: ${id} ${part.kind === 'refilling' ? 'has lost it too' : 'does not answer'}`)
      return false
    }
    if (merging.floorMs === undefined && part.floorMs > store.floorMs(slot)) merging.names = new Set()
    merging.floorMs = Math.min(merging.floorMs ?? part.floorMs, part.floorMs)
    if (merging.names !== undefined) for (const { key } of part.records) merging.names.add(keyName(key))
    merging.after = part.records.at(-1)?.key ?? merging.after
    return !part.more && (await this.#adopt(merging, merging.floorMs, goesOn))
  }

  async #adopt({ slot, names }: Merging, floorMs: number, goesOn: () => boolean): Promise<boolean> {
    // Without names the floor here was no lower, and floors only rise while the slot stays.
    if (names === undefined) return goesOn()
    const { store } = this.#options
    let adopted = false
    const stored = await this.stored(async () => {
      adopted = await adoptFloor(store, { slot, floorMs }, names, goesOn)
    })
    return stored && adopted
  }

  /** Whether the store took it. It may be overloaded or full, which passes; it may have failed, which ends the process. */
  async stored(act: () => Promise<unknown>): Promise<boolean> {
    try {
      await act()
      return true
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      this.#options.hindered(`nothing can be stored here: ${error.message}`)
      return false
    }
  }

  #ask(left: readonly Merging[], id: NodeId): Promise<CopyAnswer> {
    const { pauses, rate, settled, source, store } = this.#options
    const slots = left.map(({ slot }) => ({ slot, digest: store.digest(slot), floorMs: store.floorMs(slot) }))
    // A low rate is kept by small messages, not by long waits between large ones.
    const bytesMax = Math.max(1, Math.min(limits.refillPageBytesMax, Math.round(rate.bytesPerSecond / 4)))
    const ask = { slots, after: left[0]!.after, recordsMax: limits.refillPageEntriesMax, bytesMax, settled }
    return pauses.answer(limits.refillReplyMs, failedCopy, (resolve) => source(id).copy(ask, resolve))
  }
}

/** A slot that is being made whole. */
interface Filling extends WantedSlot {
  /** Which of the other owners is asked next. */
  next: number
}

interface Merged {
  readonly merged: ReadonlySet<Slot>
  readonly tried: ReadonlySet<Slot>
}

function mergedOf({ from, merged }: WantedSlot): number {
  // Mostly none has been, and all slots are looked at for each message.
  if (merged.size === 0) return 0
  return from.reduce((sum, { name }) => sum + (merged.has(name) ? 1 : 0), 0)
}

/** Whether it needs another copy, and there is one that has not been tried; that one is next then. */
function isLacking(each: Filling): boolean {
  const { from, merged, needed } = each
  while (each.next < from.length && merged.has(from[each.next]!.name)) each.next++
  return each.next < from.length && mergedOf(each) < needed
}

/** Whether a part that is not the last brings the merge any further. */
function isAhead({ records }: CopyPart, { after }: Merging): boolean {
  const last = records.at(-1)?.key
  return last !== undefined && compareBytes(last, after) > 0
}

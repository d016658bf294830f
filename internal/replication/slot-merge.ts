import { compareBytes, emptyBytes, KvError, limits, type Slot } from '../base/index.js'
import { encodedRecordBytes } from '../record/index.js'
import type { Store } from '../store/index.js'
import { adoptFloor, keyName } from './adopt-floor.js'
import type { ByteRate } from './byte-rate.js'
import type { Pauses } from './pauses.js'
import { failedPage, type PageReply, type PageRequest, type Replica } from './replica.js'

export interface SlotMergeOptions {
  readonly store: Store
  readonly pauses: Pauses
  readonly rate: ByteRate
  /** Asks for what was admitted before the request as well, however slow the other's disk: see `PageRequest.settled`. */
  readonly settled: boolean
  /** A page of so many bytes has been stored here. */
  readonly moved: (bytes: number) => void
  /** Why a slot could not be merged, for people. */
  readonly hindered: (obstacle: string) => void
}

/** Fills slots from other replicas' copies, page by page: what a refill and a handover have in common. */
export class SlotMerge {
  readonly #options: SlotMergeOptions

  constructor(options: SlotMergeOptions) {
    this.#options = options
  }

  /**
   * Merges what one other replica holds of a slot, and takes over its floor; whether that was all of it. `name`: of the
   * other, for people. Merging is by version, so it does not matter what is written here meanwhile. `goesOn`: whether
   * the slot has come to this node, or been its own, all the time since the merge began.
   */
  async merge(slot: Slot, replica: () => Replica, name: string, goesOn: () => boolean): Promise<boolean> {
    const { store, pauses, rate, moved, hindered } = this.#options
    const names = new Set<string>()
    let floorMs: number | undefined
    let after: Uint8Array = emptyBytes
    while (!pauses.stopped && goesOn()) {
      const page = await this.#page(replica(), slot, after)
      const last = page.records.at(-1)?.key
      const getsOn = !page.more || (last !== undefined && compareBytes(last, after) > 0)
      if (page.kind !== 'held' || !getsOn) {
        hindered(`slot ${slot}: ${name} ${page.kind === 'refilling' ? 'has lost it too' : 'does not answer'}`)
        return false
      }
      if (!(await this.stored(() => store.commit(page.records)))) return false
      // Of the first page: what an earlier page lacks was not dropped by a floor that rose behind it.
      floorMs ??= page.floorMs
      for (const { key } of page.records) names.add(keyName(key))
      const bytes = page.records.reduce((sum, record) => sum + encodedRecordBytes(record), 0)
      moved(bytes)
      await rate.pay(bytes)
      if (!page.more) return await this.#adopt(slot, floorMs, names, goesOn)
      if (last !== undefined) after = last
    }
    return false
  }

  async #adopt(slot: Slot, floorMs: number, names: ReadonlySet<string>, goesOn: () => boolean): Promise<boolean> {
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

  #page(replica: Replica, slot: Slot, after: Uint8Array): Promise<PageReply> {
    const { pauses, settled } = this.#options
    const request: PageRequest = {
      slot,
      prefix: emptyBytes,
      after,
      recordsMax: limits.refillPageEntriesMax,
      bytesMax: limits.refillPageBytesMax,
      ...(settled ? { settled: true } : {}),
    }
    return pauses.answer(limits.refillReplyMs, failedPage, (resolve) => {
      replica.page(request, { pageReplied: (_, reply) => resolve(reply) }, 0)
    })
  }
}

import { type CopyReply, CopyState, ReadStatus } from '@quorumkv/proto/kv/peer/v1/messages'
import type { Slot } from '../../base/index.js'
import { decodeRecords, RecordFormatError, type StoredRecord } from '../../record/index.js'
import type { Digest } from '../../store/index.js'
import { toldMs } from '../repair/floor-peer.js'

/** What the asking node holds of a slot. */
export interface OwnCopy {
  readonly slot: Slot
  readonly digest: Digest
  readonly floorMs: number
}

/** What do you hold of these slots? */
export interface CopyAsk {
  /** At least one; answered in this order, as far as one answer goes. */
  readonly slots: readonly OwnCopy[]
  /** Of the first slot only keys behind this one; empty: from the start. */
  readonly after: Uint8Array
  readonly recordsMax: number
  /** Of records; one record comes in any case. */
  readonly bytesMax: number
  /** The answer holds everything that the replica had admitted when it was asked, also what was not durable yet. */
  readonly settled: boolean
}

/** What another replica says of one slot. */
export interface CopyPart {
  /**
   * `held`: its records are here; `equal`: the asking node holds the same, under no lower floor; `refilling`: it has lost
   * part of the slot, so that what it holds says nothing.
   */
  readonly kind: 'held' | 'equal' | 'refilling'
  /** In the byte order of keys, tombstones included. */
  readonly records: readonly StoredRecord[]
  /** There are more behind the last one. True of the last part only. */
  readonly more: boolean
  /** The slot's floor there when the records were read: what they lack was deleted at it (`Store.floorMs`). */
  readonly floorMs: number
}

export interface CopyAnswer {
  /** `failed`: it cannot answer, goes by another epoch, or nobody knows. */
  readonly kind: 'held' | 'failed'
  /** For the first of the slots, at least for one. */
  readonly parts: readonly CopyPart[]
}

/** The way to another replica, for copies of its slots. Every request is answered exactly once, perhaps at once. */
export interface CopySource {
  copy(ask: CopyAsk, answered: (answer: CopyAnswer) => void): void
}

export const failedCopy: CopyAnswer = { kind: 'failed', parts: [] }

const kinds: Partial<Record<CopyState, CopyPart['kind']>> = {
  [CopyState.HELD]: 'held',
  [CopyState.EQUAL]: 'equal',
  [CopyState.REFILLING]: 'refilling',
}

/** Reads a reply. Throws RecordFormatError when it is malformed. */
export function copyAnswer({ status, states, counts, floorMs, records, more }: CopyReply): CopyAnswer {
  if (status !== ReadStatus.RECORD) return failedCopy
  for (const { length } of [counts, floorMs]) {
    if (length !== states.length) throw new RecordFormatError(0, `${states.length} slots beside ${length} others`)
  }
  const promised = counts.reduce((sum, count) => sum + count, 0)
  const all = decodeRecords(records, promised)
  let from = 0
  const parts = states.map((state, i): CopyPart => {
    const kind = kinds[state]
    if (kind === undefined) throw new RecordFormatError(0, `a copy in state ${state}`)
    const part = all.slice(from, from + counts[i]!)
    from += counts[i]!
    return { kind, records: part, more: more && i === states.length - 1, floorMs: toldMs(floorMs[i]!) }
  })
  return { kind: 'held', parts }
}

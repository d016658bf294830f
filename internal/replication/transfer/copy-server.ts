import { type CopyRequest, CopyState, type PeerMessage, ReadStatus } from '@quorumkv/proto/kv/peer/v1/messages'
import { emptyBytes, limits, type Slot } from '../../base/index.js'
import { encodedRecordBytes, encodeRecords, RecordFormatError, type StoredRecord } from '../../record/index.js'
import { slotCount } from '../../slots/index.js'
import type { Store } from '../../store/index.js'
import type { Routing } from '../operations/routing.js'
import type { ScanSlices } from '../operations/scan-slices.js'
import { asBuffer } from '../replicas/outbox.js'
import type { PeerLink } from '../replicas/peer-link.js'
import { readSlotPage } from './slot-page.js'

/**
 * Hands out copies of slots to nodes that are to hold them, many small slots to a message: what costs is the message, not
 * the slot. Of a slot that the other holds already, which the digests tell, nothing travels.
 */
export class CopyServer {
  readonly #store: Store
  readonly #slices: ScanSlices
  readonly #routing: () => Routing
  /** Questions that wait until what was committed before them has settled, and then for their slice. */
  #waiting = 0

  constructor(store: Store, slices: ScanSlices, routing: () => Routing) {
    this.#store = store
    this.#slices = slices
    this.#routing = routing
  }

  /**
   * Answers what a message asks that was sent under this node's own epoch. Throws RecordFormatError when it makes no
   * sense.
   */
  serve(message: PeerMessage, link: PeerLink): void {
    for (const request of message.copyRequests) {
      check(request)
      if (this.#waiting + this.#slices.waiting >= limits.antiEntropyScansMax) {
        refuse(request.id, ReadStatus.OVERLOADED, link)
      } else this.#admit(request, link)
    }
  }

  #admit(request: CopyRequest, link: PeerLink): void {
    const { epoch } = this.#routing()
    const answer = (): void => {
      // While it waited this node may have left the slots, and emptied them: nothing in them is no answer.
      if (this.#routing().epoch === epoch) this.#answer(request, link)
      else refuse(request.id, ReadStatus.WRONG_EPOCH, link)
    }
    if (!request.settled) {
      this.#slices.add(answer)
      return
    }
    this.#waiting++
    void this.#store.settled().then(() => {
      this.#waiting--
      this.#slices.add(answer)
    })
  }

  /** Refuses all of it: the sender goes by another topology. */
  refuse(message: PeerMessage, link: PeerLink): void {
    for (const { id } of message.copyRequests) refuse(id, ReadStatus.WRONG_EPOCH, link)
  }

  #answer(request: CopyRequest, link: PeerLink): void {
    if (link.overloaded) {
      refuse(request.id, ReadStatus.OVERLOADED, link)
      return
    }
    const states: CopyState[] = []
    const counts: number[] = []
    const floorMs: number[] = []
    const records: StoredRecord[] = []
    const recordsMax = Math.min(request.recordsMax, limits.refillPageEntriesMax)
    const bytesMax = Math.min(request.bytesMax, limits.refillPageBytesMax)
    let bytes = 0
    let more = false
    for (let i = 0; i < request.slots.length && !more; i++) {
      // The first slot is answered in any case, so that every reply gets on.
      if (i > 0 && (records.length >= recordsMax || bytes >= bytesMax)) break
      const slot = request.slots[i]! as Slot
      counts.push(0)
      floorMs.push(this.#store.floorMs(slot))
      if (this.#store.isLost(slot)) states.push(CopyState.REFILLING)
      else if (this.#isEqual(request, i)) states.push(CopyState.EQUAL)
      else {
        states.push(CopyState.HELD)
        const page = readSlotPage(this.#store, {
          slot,
          prefix: emptyBytes,
          after: i === 0 ? request.after : emptyBytes,
          recordsMax: recordsMax - records.length,
          bytesMax: bytesMax - bytes,
        })
        for (const record of page.records) {
          records.push(record)
          bytes += encodedRecordBytes(record)
        }
        counts[i] = page.records.length
        more = page.more
      }
    }
    const encoded = asBuffer(encodeRecords(records))
    const reply = { id: request.id, status: ReadStatus.RECORD, states, counts, floorMs, records: encoded, more }
    link.outbox(encoded.length).addCopyReply(reply)
  }

  /**
   * What the other holds under a lower floor is not the same, even where the digests are: what it gets in the meantime may have
   * been deleted here.
   */
  #isEqual({ slots, digestHi, digestLo, floorMs }: CopyRequest, i: number): boolean {
    const slot = slots[i]! as Slot
    if (this.#store.floorMs(slot) > floorMs[i]!) return false
    const { hi, lo } = this.#store.digest(slot)
    return hi === digestHi[i]! && lo === digestLo[i]!
  }
}

function check({ slots, digestHi, digestLo, floorMs, recordsMax }: CopyRequest): void {
  if (slots.length === 0 || slots.length > limits.copySlotsMax) throw senseless(`${slots.length} slots`)
  for (const slot of slots) if (slot >= slotCount) throw senseless(`slot ${slot} of ${slotCount}`)
  for (const { length } of [digestHi, digestLo, floorMs]) {
    if (length !== slots.length) throw senseless(`${slots.length} slots beside ${length} others`)
  }
  if (recordsMax === 0) throw senseless('no records')
}

function senseless(what: string): RecordFormatError {
  return new RecordFormatError(0, `it asks for copies of ${what}`)
}

function refuse(id: number, status: ReadStatus, link: PeerLink): void {
  const nothing = { states: [], counts: [], floorMs: [], records: Buffer.alloc(0), more: false }
  link.outbox(0).addCopyReply({ id, status, ...nothing })
}

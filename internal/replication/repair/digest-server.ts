import {
  DigestLevel,
  type DigestRequest,
  type EntryRequest,
  type PeerMessage,
  ReadStatus,
} from '@quorumkv/proto/kv/peer/v1/messages'
import { limits, type Slot } from '../../base/index.js'
import { bucketCount, groupCount } from '../../merkle/index.js'
import { RecordFormatError } from '../../record/index.js'
import { slotCount } from '../../slots/index.js'
import type { Store } from '../../store/index.js'
import type { Routing } from '../operations/routing.js'
import type { ScanSlices } from '../operations/scan-slices.js'
import { asBuffer } from '../replicas/outbox.js'
import type { PeerLink } from '../replicas/peer-link.js'
import type { SharedSlots } from '../transfer/shared-slots.js'
import { bucketDigests, entryPage } from '../transfer/slot-entries.js'

const noBytes = Buffer.alloc(0)

/** Tells other nodes what this one holds, as far as they need it to find out where they differ. Keeps nothing of them. */
export class DigestServer {
  readonly #store: Store
  readonly #shared: SharedSlots
  readonly #slices: ScanSlices
  readonly #routing: () => Routing

  constructor(store: Store, shared: SharedSlots, slices: ScanSlices, routing: () => Routing) {
    this.#store = store
    this.#shared = shared
    this.#slices = slices
    this.#routing = routing
  }

  /**
   * Answers what a message asks that was sent under this node's own epoch. Throws RecordFormatError when it makes no
   * sense.
   */
  serve(message: PeerMessage, link: PeerLink): void {
    for (const request of message.digestRequests) {
      this.#check(request)
      if (this.#overloaded(link)) refuseDigests(request.id, ReadStatus.OVERLOADED, link)
      else if (request.level === DigestLevel.BUCKETS) this.#slices.add(() => this.#buckets(request, link))
      else this.#digests(request, link)
    }
    for (const request of message.entryRequests) {
      checkEntryRequest(request)
      if (this.#overloaded(link)) refuseEntries(request.id, ReadStatus.OVERLOADED, link)
      else this.#slices.add(() => this.#entries(request, link))
    }
  }

  /** Refuses all of it: the sender's topology is another one, and so would be the slots that it compares. */
  refuse(message: PeerMessage, link: PeerLink): void {
    for (const { id } of message.digestRequests) refuseDigests(id, ReadStatus.WRONG_EPOCH, link)
    for (const { id } of message.entryRequests) refuseEntries(id, ReadStatus.WRONG_EPOCH, link)
  }

  #overloaded(link: PeerLink): boolean {
    return link.overloaded || this.#slices.waiting >= limits.antiEntropyScansMax
  }

  #digests({ id, level, member, places }: DigestRequest, link: PeerLink): void {
    const tree = this.#shared.tree(member, this.#routing(), this.#store)
    let digests: Uint8Array
    let lost: number[] = []
    if (level === DigestLevel.ROOT) digests = tree.root()
    else if (level === DigestLevel.GROUPS) digests = tree.groups()
    else {
      digests = tree.leaves(places)
      if (this.#store.lostCount > 0) lost = tree.slotsIn(places).filter((slot) => this.#store.isLost(slot))
    }
    replyDigests(id, digests, { lost, floorMs: 0 }, link)
  }

  #buckets({ id, places }: DigestRequest, link: PeerLink): void {
    const slot = places[0]! as Slot
    if (this.#store.isLost(slot)) refuseDigests(id, ReadStatus.REFILLING, link)
    else replyDigests(id, bucketDigests(this.#store, slot), { lost: [], floorMs: this.#store.floorMs(slot) }, link)
  }

  #entries(request: EntryRequest, link: PeerLink): void {
    const slot = request.slot as Slot
    if (this.#store.isLost(slot)) {
      refuseEntries(request.id, ReadStatus.REFILLING, link)
      return
    }
    const { entries, more } = entryPage(this.#store, {
      slot,
      buckets: request.buckets,
      after: request.after,
      entriesMax: Math.min(request.entriesMax, limits.antiEntropyPageEntriesMax),
      bytesMax: Math.min(request.bytesMax, limits.antiEntropyPageBytesMax),
    })
    link.outbox(limits.antiEntropyPageBytesMax).addEntryPage({
      id: request.id,
      status: ReadStatus.RECORD,
      keys: entries.map(({ key }) => asBuffer(key)),
      versionHi: entries.map(({ version }) => version.hi),
      versionLo: entries.map(({ version }) => version.lo),
      versionNode: entries.map(({ version }) => version.node),
      recordBytes: entries.map(({ bytes }) => bytes),
      more,
    })
  }

  #check({ level, member, places }: DigestRequest): void {
    const { self, replicas } = this.#routing()
    if (member >= replicas.length || member === self) throw senseless(`digests for member ${member}`)
    switch (level) {
      case DigestLevel.ROOT:
      case DigestLevel.GROUPS:
        if (places.length > 0) throw senseless('digests of the whole tree, and of places')
        return
      case DigestLevel.LEAVES:
        if (!ascendingBelow(places, groupCount)) throw senseless(`leaves of groups ${places.join(', ')}`)
        return
      case DigestLevel.BUCKETS:
        if (places.length !== 1 || places[0]! >= slotCount) throw senseless(`buckets of slots ${places.join(', ')}`)
        return
      default:
        throw senseless(`digests of level ${level}`)
    }
  }
}

function checkEntryRequest({ slot, buckets }: EntryRequest): void {
  if (slot >= slotCount) throw senseless(`entries of slot ${slot}`)
  if (!ascendingBelow(buckets, bucketCount)) throw senseless(`entries of buckets ${buckets.join(', ')}`)
}

function ascendingBelow(places: readonly number[], bound: number): boolean {
  return places.every((place, i) => place < bound && (i === 0 || place > places[i - 1]!))
}

function senseless(what: string): RecordFormatError {
  return new RecordFormatError(0, `it asks for ${what}`)
}

function replyDigests(
  id: number,
  digests: Uint8Array,
  told: { lost: number[]; floorMs: number },
  link: PeerLink,
): void {
  link.outbox(digests.length).addDigestReply({ id, status: ReadStatus.RECORD, digests: asBuffer(digests), ...told })
}

function refuseDigests(id: number, status: ReadStatus, link: PeerLink): void {
  link.outbox(0).addDigestReply({ id, status, digests: noBytes, lost: [], floorMs: 0 })
}

function refuseEntries(id: number, status: ReadStatus, link: PeerLink): void {
  const nothing = { keys: [], versionHi: [], versionLo: [], versionNode: [], recordBytes: [], more: false }
  link.outbox(0).addEntryPage({ id, status, ...nothing })
}

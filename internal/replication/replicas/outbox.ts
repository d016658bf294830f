import {
  type CopyReply,
  type CopyRequest,
  type DigestReply,
  type DigestRequest,
  type EntryPage,
  type EntryRequest,
  type FloorRaise,
  type FloorReply,
  type FloorRequest,
  type ItemTrace,
  PeerMessage,
  type ReadMode,
  type ReadStatus,
  type SlotPage,
  type SlotScan,
  type WriteVerdict,
} from '@quorumkv/proto/kv/peer/v1/messages'
import { limits, type OperationTrace } from '../../base/index.js'
import type { Hlc, Version } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'
import { ItemWriter, writeFlags } from '../operations/items.js'
import { emptyPeerMessage, encodeItems } from './message-codec.js'

/** Of what is counted by estimate: what one part has besides its bytes. */
const partBytes = 24

/** Collects what is to be said to one peer until it leaves as one message. */
export class Outbox {
  readonly #items = new ItemWriter()
  /** An upper estimate of the encoded size of everything else. */
  #otherBytes = 0
  #control: Partial<PeerMessage> = {}
  #scans: SlotScan[] = []
  #pages: SlotPage[] = []
  #traces: ItemTrace[] = []
  #ofSlots = emptyOfSlots()

  /** An upper estimate of the encoded size. */
  get bytes(): number {
    return this.#items.length + this.#otherBytes
  }

  get empty(): boolean {
    return this.bytes === 0
  }

  /** Whether something of this size still fits into the same message. */
  hasRoom(bytes: number): boolean {
    return this.bytes === 0 || this.bytes + bytes <= limits.batchBytesMax
  }

  addControl(part: Partial<PeerMessage>): void {
    Object.assign(this.#control, part)
    this.#otherBytes += 4096
  }

  addWrite(id: number, record: StoredRecord, wantPrevious: boolean, isRepair: boolean): void {
    const flags = (wantPrevious ? writeFlags.wantPrevious : 0) | (isRepair ? writeFlags.isRepair : 0)
    this.#items.addWrite(id, flags, record)
  }

  addWriteReply(
    id: number,
    verdict: WriteVerdict,
    seen: Version | undefined,
    existed: boolean,
    previous: StoredRecord | undefined,
  ): void {
    this.#items.addWriteReply(id, verdict, seen, existed, previous)
  }

  addRead(id: number, mode: ReadMode, key: Uint8Array): void {
    this.#items.addRead(id, mode, key)
  }

  /** `record` is there when `status` is RECORD, and goes along then. */
  addReadReply(id: number, status: ReadStatus, version: Version, record: StoredRecord | undefined): void {
    this.#items.addReadReply(id, status, version, record)
  }

  /** Says whose doing an item is that was just added. Nothing travels of what is not sampled. */
  addTrace(id: number, read: boolean, { traceparent }: OperationTrace): void {
    if (traceparent === '') return
    this.#traces.push({ id, read, traceparent })
    this.#otherBytes += partBytes + traceparent.length
  }

  addScan(scan: SlotScan): void {
    this.#scans.push(scan)
    this.#otherBytes += partBytes + scan.prefix.length + scan.after.length
  }

  addPage(page: SlotPage): void {
    this.#pages.push(page)
    this.#otherBytes += partBytes + page.records.length
  }

  addDigestRequest(request: DigestRequest): void {
    this.#ofSlots.digestRequests.push(request)
    this.#otherBytes += partBytes + 4 * request.places.length
  }

  addDigestReply(reply: DigestReply): void {
    this.#ofSlots.digestReplies.push(reply)
    this.#otherBytes += partBytes + reply.digests.length + 4 * reply.lost.length
  }

  addEntryRequest(request: EntryRequest): void {
    this.#ofSlots.entryRequests.push(request)
    this.#otherBytes += partBytes + 4 * request.buckets.length + request.after.length
  }

  addEntryPage(page: EntryPage): void {
    this.#ofSlots.entryPages.push(page)
    this.#otherBytes += partBytes + page.keys.reduce((sum, key) => sum + partBytes + key.length, 0)
  }

  addCopyRequest(request: CopyRequest): void {
    this.#ofSlots.copyRequests.push(request)
    this.#otherBytes += partBytes * (1 + request.slots.length) + request.after.length
  }

  addCopyReply(reply: CopyReply): void {
    this.#ofSlots.copyReplies.push(reply)
    this.#otherBytes += partBytes * (1 + reply.states.length) + reply.records.length
  }

  addFloorRequest(request: FloorRequest): void {
    this.#ofSlots.floorRequests.push(request)
    this.#otherBytes += partBytes
  }

  addFloorReply(reply: FloorReply): void {
    this.#ofSlots.floorReplies.push(reply)
    this.#otherBytes += 2 * partBytes
  }

  addFloorRaise(raise: FloorRaise): void {
    this.#ofSlots.floorRaises.push(raise)
    this.#otherBytes += partBytes
  }

  /** The message, encoded; the outbox is empty afterwards. */
  encode(hlc: Hlc, epoch: number, wallMs: number): Uint8Array {
    const bytes =
      this.#otherBytes === 0 ? encodeItems(hlc, epoch, wallMs, this.#items) : this.#encodeAll(hlc, epoch, wallMs)
    this.clear()
    return bytes
  }

  #encodeAll(hlc: Hlc, epoch: number, wallMs: number): Uint8Array {
    const message = emptyPeerMessage()
    Object.assign(message, this.#control, this.#ofSlots)
    message.hlcHi = hlc.hi
    message.hlcLo = hlc.lo
    message.epoch = epoch
    message.wallMs = wallMs
    message.items = asBuffer(this.#items.view())
    message.scans = this.#scans
    message.pages = this.#pages
    message.traces = this.#traces
    return PeerMessage.encode(message).finish()
  }

  clear(): void {
    this.#items.clear()
    if (this.#otherBytes === 0) return
    this.#otherBytes = 0
    this.#control = {}
    this.#scans = []
    this.#pages = []
    this.#traces = []
    this.#ofSlots = emptyOfSlots()
  }
}

/** What is said about whole slots: by anti-entropy, by the collection of tombstones, and by who copies slots. */
function emptyOfSlots(): Pick<
  PeerMessage,
  | 'digestRequests'
  | 'digestReplies'
  | 'entryRequests'
  | 'entryPages'
  | 'floorRequests'
  | 'floorReplies'
  | 'floorRaises'
  | 'copyRequests'
  | 'copyReplies'
> {
  const floors = { floorRequests: [], floorReplies: [], floorRaises: [] }
  const copies = { copyRequests: [], copyReplies: [] }
  return { digestRequests: [], digestReplies: [], entryRequests: [], entryPages: [], ...floors, ...copies }
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

import {
  type DigestReply,
  type DigestRequest,
  type EntryPage,
  type EntryRequest,
  type FloorRaise,
  type FloorReply,
  type FloorRequest,
  PeerMessage,
  type ReadMode,
  ReadStatus,
  type SlotPage,
  type SlotScan,
  type WriteVerdict,
} from '@quorumkv/proto/kv/peer/v1/messages'
import { limits } from '../base/index.js'
import { type Hlc, hlcToBigint, type Version, zeroVersion } from '../hlc/index.js'
import { encodedRecordBytes, encodeRecords, type StoredRecord } from '../record/index.js'

/** A message that says nothing yet. */
export function emptyPeerMessage(): PeerMessage {
  return {
    hlc: 0n,
    epoch: 0n,
    hello: undefined,
    topology: undefined,
    writes: undefined,
    writeReplies: undefined,
    reads: undefined,
    readReplies: undefined,
    scans: [],
    pages: [],
    ping: 0,
    pong: 0,
    refusal: undefined,
    wallMs: 0,
    forget: undefined,
    forgotten: 0,
    registerRequest: undefined,
    registerReply: undefined,
    linkQuestion: undefined,
    linkAnswer: undefined,
    handoverReport: undefined,
    drained: '',
    addressWish: undefined,
    standingRequest: undefined,
    standing: undefined,
    gossip: undefined,
    topologyWanted: false,
    absenceQuestion: undefined,
    absenceAnswer: undefined,
    ...emptyComparison(),
  }
}

const itemBytes = 24

/** Bits of `WriteBatch.flags`. */
export const writeFlags = { wantPrevious: 1, isRepair: 2 } as const

/** Collects what is to be said to one peer until it leaves as one message. */
export class Outbox {
  /** An upper estimate of the encoded size. */
  bytes = 0
  #control: Partial<PeerMessage> = {}
  #writeIds: number[] = []
  #writeFlags: number[] = []
  #writeRecords: StoredRecord[] = []
  #writeReplies = emptyWriteReplies()
  #previousRecords: StoredRecord[] = []
  #reads: { ids: number[]; modes: ReadMode[]; keys: Buffer[] } = { ids: [], modes: [], keys: [] }
  #readReplies = emptyReadReplies()
  #readRecords: StoredRecord[] = []
  #scans: SlotScan[] = []
  #pages: SlotPage[] = []
  #comparison = emptyComparison()

  get empty(): boolean {
    return this.bytes === 0
  }

  /** Whether something of this size still fits into the same message. */
  hasRoom(bytes: number): boolean {
    return this.bytes === 0 || this.bytes + bytes <= limits.batchBytesMax
  }

  addControl(part: Partial<PeerMessage>): void {
    Object.assign(this.#control, part)
    this.bytes += 4096
  }

  addWrite(id: number, record: StoredRecord, wantPrevious: boolean, isRepair: boolean): void {
    this.#writeIds.push(id)
    this.#writeFlags.push((wantPrevious ? writeFlags.wantPrevious : 0) | (isRepair ? writeFlags.isRepair : 0))
    this.#writeRecords.push(record)
    this.bytes += itemBytes + encodedRecordBytes(record)
  }

  addWriteReply(
    id: number,
    verdict: WriteVerdict,
    seen: Version | undefined,
    existed: boolean,
    previous: StoredRecord | undefined,
  ): void {
    const replies = this.#writeReplies
    const version = seen ?? zeroVersion
    replies.ids.push(id)
    replies.verdicts.push(verdict)
    replies.seenHi.push(version.hi)
    replies.seenLo.push(version.lo)
    replies.seenNode.push(version.node)
    replies.existed.push(existed)
    this.bytes += itemBytes
    if (previous !== undefined) {
      replies.previousIds.push(id)
      this.#previousRecords.push(previous)
      this.bytes += encodedRecordBytes(previous)
    }
  }

  addRead(id: number, mode: ReadMode, key: Uint8Array): void {
    this.#reads.ids.push(id)
    this.#reads.modes.push(mode)
    this.#reads.keys.push(Buffer.from(key.buffer, key.byteOffset, key.byteLength))
    this.bytes += itemBytes + key.length
  }

  /** `record` goes along exactly when `status` is RECORD. */
  addReadReply(id: number, status: ReadStatus, version: Version, record: StoredRecord | undefined): void {
    const replies = this.#readReplies
    replies.ids.push(id)
    replies.statuses.push(status)
    replies.versionHi.push(version.hi)
    replies.versionLo.push(version.lo)
    replies.versionNode.push(version.node)
    this.bytes += itemBytes
    if (status === ReadStatus.RECORD && record !== undefined) {
      this.#readRecords.push(record)
      this.bytes += encodedRecordBytes(record)
    }
  }

  addScan(scan: SlotScan): void {
    this.#scans.push(scan)
    this.bytes += itemBytes + scan.prefix.length + scan.after.length
  }

  addPage(page: SlotPage): void {
    this.#pages.push(page)
    this.bytes += itemBytes + page.records.length
  }

  addDigestRequest(request: DigestRequest): void {
    this.#comparison.digestRequests.push(request)
    this.bytes += itemBytes + 4 * request.places.length
  }

  addDigestReply(reply: DigestReply): void {
    this.#comparison.digestReplies.push(reply)
    this.bytes += itemBytes + reply.digests.length + 4 * reply.lost.length
  }

  addEntryRequest(request: EntryRequest): void {
    this.#comparison.entryRequests.push(request)
    this.bytes += itemBytes + 4 * request.buckets.length + request.after.length
  }

  addEntryPage(page: EntryPage): void {
    this.#comparison.entryPages.push(page)
    this.bytes += itemBytes + page.keys.reduce((sum, key) => sum + itemBytes + key.length, 0)
  }

  addFloorRequest(request: FloorRequest): void {
    this.#comparison.floorRequests.push(request)
    this.bytes += itemBytes
  }

  addFloorReply(reply: FloorReply): void {
    this.#comparison.floorReplies.push(reply)
    this.bytes += 2 * itemBytes
  }

  addFloorRaise(raise: FloorRaise): void {
    this.#comparison.floorRaises.push(raise)
    this.bytes += itemBytes
  }

  /** The message, encoded; the outbox is empty afterwards. */
  encode(hlc: Hlc, epoch: number, wallMs: number): Uint8Array {
    const message = emptyPeerMessage()
    Object.assign(message, this.#control, this.#comparison)
    message.hlc = hlcToBigint(hlc)
    message.epoch = BigInt(epoch)
    message.wallMs = wallMs
    if (this.#writeIds.length > 0) {
      const records = asBuffer(encodeRecords(this.#writeRecords))
      message.writes = { ids: this.#writeIds, flags: this.#writeFlags, records }
    }
    if (this.#writeReplies.ids.length > 0) {
      if (this.#previousRecords.length > 0) {
        this.#writeReplies.previousRecords = asBuffer(encodeRecords(this.#previousRecords))
      }
      message.writeReplies = this.#writeReplies
    }
    if (this.#reads.ids.length > 0) message.reads = this.#reads
    if (this.#readReplies.ids.length > 0) {
      if (this.#readRecords.length > 0) this.#readReplies.records = asBuffer(encodeRecords(this.#readRecords))
      message.readReplies = this.#readReplies
    }
    message.scans = this.#scans
    message.pages = this.#pages
    this.clear()
    return PeerMessage.encode(message).finish()
  }

  clear(): void {
    this.bytes = 0
    this.#control = {}
    this.#writeIds = []
    this.#writeFlags = []
    this.#writeRecords = []
    this.#writeReplies = emptyWriteReplies()
    this.#previousRecords = []
    this.#reads = { ids: [], modes: [], keys: [] }
    this.#readReplies = emptyReadReplies()
    this.#readRecords = []
    this.#scans = []
    this.#pages = []
    this.#comparison = emptyComparison()
  }
}

/** What anti-entropy and the collection of tombstones have to say. */
function emptyComparison(): Pick<
  PeerMessage,
  'digestRequests' | 'digestReplies' | 'entryRequests' | 'entryPages' | 'floorRequests' | 'floorReplies' | 'floorRaises'
> {
  const floors = { floorRequests: [], floorReplies: [], floorRaises: [] }
  return { digestRequests: [], digestReplies: [], entryRequests: [], entryPages: [], ...floors }
}

function emptyWriteReplies(): NonNullable<PeerMessage['writeReplies']> {
  return {
    ids: [],
    verdicts: [],
    seenHi: [],
    seenLo: [],
    seenNode: [],
    existed: [],
    previousIds: [],
    previousRecords: Buffer.alloc(0),
  }
}

function emptyReadReplies(): NonNullable<PeerMessage['readReplies']> {
  return { ids: [], statuses: [], versionHi: [], versionLo: [], versionNode: [], records: Buffer.alloc(0) }
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

import {
  type DigestReply,
  type EntryPage,
  type FloorReply,
  type PeerMessage,
  ReadMode,
  ReadStatus,
  type SlotPage,
  WriteVerdict,
} from '@quorumkv/proto/kv/peer/v1/messages'
import { compareBytes, type ErrorCode, limits, type NodeId, type OperationTrace, type Slot } from '../../base/index.js'
import {
  decodeRecords,
  encodedRecordBytes,
  type Floor,
  RecordFormatError,
  type StoredRecord,
} from '../../record/index.js'
import { ItemReader, itemKind } from '../operations/items.js'
import { Pending, PendingCount } from '../operations/pending.js'
import {
  type ComparedReplica,
  type DigestAnswer,
  type DigestAsk,
  type EntryAnswer,
  type EntryAsk,
  failedDigests,
  failedEntries,
  refillingDigests,
  refillingEntries,
} from '../repair/compared-replica.js'
import {
  type FloorAnswer,
  type FloorAsk,
  type FloorPeer,
  failedFloors,
  refillingFloors,
  toldMs,
} from '../repair/floor-peer.js'
import { type CopyAnswer, type CopyAsk, type CopySource, copyAnswer, failedCopy } from '../transfer/copy-source.js'
import { asBuffer } from './outbox.js'
import type { PeerLink } from './peer-link.js'
import {
  absentRead,
  failedPage,
  failedRead,
  lostWrite,
  type PageRequest,
  type PageWaiter,
  type ReadReply,
  type ReadWaiter,
  refillingPage,
  refillingRead,
  refillingWrite,
  refusedWrite,
  type WriteReply,
  type WriteWaiter,
  wrongEpochPage,
  wrongEpochRead,
  wrongEpochWrite,
} from './replica.js'

/** Learns whether another node has forgotten what it was asked to; false: nobody knows. Called once. */
export interface ForgetWaiter {
  forgotten(done: boolean): void
}

/**
 * Another node's copy, reached over a link that comes and goes. Requests that were on their way when the link broke
 * end as `lost` or `failed`; none waits here for the next link. Bounded by `limits.peerPendingMax` and the link's queue.
 */
export class RemoteReplica implements ComparedReplica, FloorPeer, CopySource {
  #link: PeerLink | undefined
  /** The first call, or the one after a link broke, has not failed yet. */
  #awaited = true
  /** Which life of the node is at the other end of the link. */
  #life = ''
  /** The link that `keepOnly` gave up last: what may still come over it does not bring it back. */
  #givenUp: PeerLink | undefined
  readonly #waiting = new PendingCount()
  readonly #writes = new Pending<WriteWaiter>(this.#waiting)
  readonly #reads = new Pending<ReadWaiter>(this.#waiting)
  readonly #pages = new Pending<PageWaiter>(this.#waiting)
  readonly #forgets = new Pending<ForgetWaiter>(this.#waiting)
  readonly #digests = new Pending<(answer: DigestAnswer) => void>(this.#waiting)
  readonly #entries = new Pending<(answer: EntryAnswer) => void>(this.#waiting)
  readonly #floors = new Pending<(answer: FloorAnswer) => void>(this.#waiting)
  readonly #copies = new Pending<(answer: CopyAnswer) => void>(this.#waiting)

  /** See `Replica`; set by whoever runs failure detection. */
  doubted = false

  get up(): boolean {
    return this.#link !== undefined
  }

  get returning(): boolean {
    return this.#link === undefined && this.#awaited
  }

  get pending(): number {
    return this.#waiting.total
  }

  get busy(): boolean {
    const link = this.#usable()
    return link === undefined || link.queuedBytes > limits.antiEntropyQueueBytesMax
  }

  accepts(bytes: number): boolean {
    const link = this.#usable()
    return link !== undefined && link.queuedBytes + bytes <= limits.linkQueueBytesMax
  }

  /** It never knows: a node that has lost a slot says so in its answers. */
  lacks(): boolean {
    return false
  }

  attach(link: PeerLink, life: string): void {
    if (link === this.#givenUp) return
    this.detach()
    this.#link = link
    this.#life = life
  }

  /** Gives up a link to another life of the node than this one: its answers would be those of a dead process. */
  keepOnly(life: string): void {
    const link = this.#link
    if (link === undefined || this.#life === life) return
    this.#givenUp = link
    this.detach()
    link.close('that life of the node has ended')
  }

  /** There is no link, and none in sight: whoever waits for one need not wait any longer. */
  giveUp(): void {
    this.#awaited = false
  }

  /** Ends everything that waits for the link; nothing if another link has taken its place. */
  detach(link: PeerLink | undefined = this.#link): void {
    if (link !== this.#link || link === undefined) return
    this.#link = undefined
    this.#awaited = true
    this.#writes.takeAll((waiter, position) => waiter.writeReplied(position, lostWrite))
    this.#reads.takeAll((waiter, position) => waiter.readReplied(position, failedRead))
    this.#pages.takeAll((waiter, position) => waiter.pageReplied(position, failedPage))
    this.#forgets.takeAll((waiter) => waiter.forgotten(false))
    this.#digests.takeAll((answered) => answered(failedDigests))
    this.#entries.takeAll((answered) => answered(failedEntries))
    this.#floors.takeAll((answered) => answered(failedFloors))
    this.#copies.takeAll((answered) => answered(failedCopy))
  }

  write(
    record: StoredRecord,
    wantPrevious: boolean,
    waiter: WriteWaiter,
    position: number,
    isRepair = false,
    trace?: OperationTrace,
  ): void {
    const link = this.#usable()
    if (link === undefined) {
      waiter.writeReplied(position, refusedWrite(this.up ? 'overloaded' : 'unavailable'))
      return
    }
    const id = this.#writes.add(waiter, position)
    const outbox = link.outbox(encodedRecordBytes(record))
    outbox.addWrite(id, record, wantPrevious, isRepair)
    if (trace !== undefined) outbox.addTrace(id, false, trace)
  }

  read(key: Uint8Array, full: boolean, waiter: ReadWaiter, position: number, trace?: OperationTrace): void {
    const link = this.#usable()
    if (link === undefined) {
      waiter.readReplied(position, failedRead)
      return
    }
    const id = this.#reads.add(waiter, position)
    const outbox = link.outbox(key.length)
    outbox.addRead(id, full ? ReadMode.FULL : ReadMode.VERSION, key)
    if (trace !== undefined) outbox.addTrace(id, true, trace)
  }

  page(request: PageRequest, waiter: PageWaiter, position: number): void {
    const link = this.#usable()
    if (link === undefined) {
      waiter.pageReplied(position, failedPage)
      return
    }
    const id = this.#pages.add(waiter, position)
    link.outbox(request.prefix.length + request.after.length).addScan({
      id,
      slot: request.slot,
      prefix: asBuffer(request.prefix),
      after: asBuffer(request.after),
      recordsMax: request.recordsMax,
      bytesMax: request.bytesMax,
    })
  }

  get life(): string {
    return this.#life
  }

  floors(ask: FloorAsk, answered: (answer: FloorAnswer) => void): void {
    const link = this.#usable()
    if (link === undefined) {
      answered(failedFloors)
      return
    }
    link.outbox(0).addFloorRequest({ id: this.#floors.add(answered, 0), ...ask })
  }

  raiseFloor(floor: Floor, life: string): void {
    if (this.#life === life) this.#usable()?.outbox(0).addFloorRaise(floor)
  }

  digests({ level, member, places }: DigestAsk, answered: (answer: DigestAnswer) => void): void {
    const link = this.#usable()
    if (link === undefined) {
      answered(failedDigests)
      return
    }
    const id = this.#digests.add(answered, 0)
    link.outbox(0).addDigestRequest({ id, level, member, places: [...places] })
  }

  entries(ask: EntryAsk, answered: (answer: EntryAnswer) => void): void {
    const link = this.#usable()
    if (link === undefined) {
      answered(failedEntries)
      return
    }
    const id = this.#entries.add(answered, 0)
    const { slot, after, entriesMax, bytesMax } = ask
    const buckets = [...ask.buckets]
    link.outbox(after.length).addEntryRequest({ id, slot, buckets, after: asBuffer(after), entriesMax, bytesMax })
  }

  copy({ slots, ...ask }: CopyAsk, answered: (answer: CopyAnswer) => void): void {
    const link = this.#usable()
    if (link === undefined) {
      answered(failedCopy)
      return
    }
    const id = this.#copies.add(answered, 0)
    link.outbox(ask.after.length).addCopyRequest({
      id,
      ...ask,
      after: asBuffer(ask.after),
      slots: slots.map(({ slot }) => slot),
      digestHi: slots.map(({ digest }) => digest.hi),
      digestLo: slots.map(({ digest }) => digest.lo),
      floorMs: slots.map(({ floorMs }) => floorMs),
    })
  }

  /** Has the node forget what earlier lives of `nodeId`, this node, said of `slots`. Told to the waiter when it has. */
  forget(nodeId: NodeId, life: string, slots: readonly Slot[], waiter: ForgetWaiter): void {
    const link = this.#usable()
    if (link === undefined) {
      waiter.forgotten(false)
      return
    }
    const id = this.#forgets.add(waiter, 0)
    link.sendNow({ forget: { id, nodeId, life, slots: [...slots] } })
  }

  /** Says something that no waiter here waits for; nothing happens while there is no link. */
  tell(part: Partial<PeerMessage>): void {
    this.#usable()?.sendNow(part)
  }

  /** Settles what the message answers. Throws RecordFormatError when it is malformed. */
  received(message: PeerMessage): void {
    if (message.items.length > 0) this.#replies(message.items)
    for (const page of message.pages) this.#pageReply(page)
    // Decoded first, all of them: who waits is told of what is malformed by the end of the link.
    for (const reply of message.floorReplies) {
      const answer = floorAnswer(reply)
      this.#floors.take(reply.id)?.(answer)
    }
    for (const reply of message.digestReplies) {
      const answer = digestAnswer(reply)
      this.#digests.take(reply.id)?.(answer)
    }
    for (const page of message.entryPages) {
      const answer = entryAnswer(page)
      this.#entries.take(page.id)?.(answer)
    }
    for (const reply of message.copyReplies) {
      const answer = copyAnswer(reply)
      this.#copies.take(reply.id)?.(answer)
    }
    if (message.forgotten !== 0) this.#forgets.take(message.forgotten)?.forgotten(true)
  }

  #usable(): PeerLink | undefined {
    const link = this.#link
    if (link === undefined || link.overloaded || this.pending >= limits.peerPendingMax) return undefined
    return link
  }

  #replies(items: Uint8Array): void {
    const item = new ItemReader(items)
    while (item.next()) {
      if (item.kind === itemKind.writeReply) {
        const waiter = this.#writes.take(item.id)
        waiter?.writeReplied(this.#writes.takenPosition, writeReply(item))
      } else if (item.kind === itemKind.readReply) {
        const waiter = this.#reads.take(item.id)
        waiter?.readReplied(this.#reads.takenPosition, readReply(item))
      } else throw new RecordFormatError(0, `an item of kind ${item.kind} among replies`)
    }
  }

  #pageReply(page: SlotPage): void {
    let reply = failedPage
    if (page.status === ReadStatus.REFILLING) reply = refillingPage
    else if (page.status === ReadStatus.WRONG_EPOCH) reply = wrongEpochPage
    else if (page.status === ReadStatus.RECORD) {
      reply = {
        kind: 'held',
        records: decodeRecords(page.records, page.count),
        more: page.more,
        floorMs: toldMs(page.floorMs),
      }
    }
    const waiter = this.#pages.take(page.id)
    waiter?.pageReplied(this.#pages.takenPosition, reply)
  }
}

function floorAnswer(reply: FloorReply): FloorAnswer {
  if (reply.status === ReadStatus.REFILLING) return refillingFloors
  if (reply.status !== ReadStatus.RECORD) return failedFloors
  const [floorMs, horizonMs] = [toldMs(reply.floorMs), toldMs(reply.horizonMs)]
  const agreed = { hi: reply.agreedHi, lo: reply.agreedLo }
  return { kind: 'held', floorMs, horizonMs, agreed, candidate: { hi: reply.candidateHi, lo: reply.candidateLo } }
}

function digestAnswer({ status, digests, lost, floorMs }: DigestReply): DigestAnswer {
  if (status === ReadStatus.REFILLING) return refillingDigests
  return status === ReadStatus.RECORD ? { kind: 'held', digests, lost, floorMs: toldMs(floorMs) } : failedDigests
}

function entryAnswer({ status, keys, versionHi, versionLo, versionNode, recordBytes, more }: EntryPage): EntryAnswer {
  if (status === ReadStatus.REFILLING) return refillingEntries
  if (status !== ReadStatus.RECORD) return failedEntries
  for (const { length } of [versionHi, versionLo, versionNode, recordBytes]) {
    if (length !== keys.length) throw new RecordFormatError(0, `${keys.length} keys beside ${length} others`)
  }
  const entries = keys.map((key, i) => {
    // They decide how long a batch waits for its turn.
    if (recordBytes[i]! > limits.messageBytesMax) throw new RecordFormatError(0, `a record of ${recordBytes[i]} bytes`)
    if (i > 0 && compareBytes(keys[i - 1]!, key) >= 0) throw new RecordFormatError(0, 'keys that do not ascend')
    return { key, version: { hi: versionHi[i]!, lo: versionLo[i]!, node: versionNode[i]! }, bytes: recordBytes[i]! }
  })
  return { kind: 'held', entries, more }
}

const refusalCodes: Readonly<Record<number, ErrorCode>> = {
  [WriteVerdict.READ_ONLY]: 'read-only',
  [WriteVerdict.OVERLOADED]: 'overloaded',
  [WriteVerdict.UNAVAILABLE]: 'unavailable',
}

function writeReply({ code: verdict, version: seen, existed, record: previous }: ItemReader): WriteReply {
  if (verdict === WriteVerdict.APPLIED) return { kind: 'applied', seen, existed, previous, code: undefined }
  if (verdict === WriteVerdict.STALE) return { kind: 'stale', seen, existed, previous, code: undefined }
  if (verdict === WriteVerdict.REFILLING) return refillingWrite
  if (verdict === WriteVerdict.WRONG_EPOCH) return wrongEpochWrite
  const code = refusalCodes[verdict]
  return code === undefined ? lostWrite : refusedWrite(code)
}

function readReply({ code: status, record, version = record }: ItemReader): ReadReply {
  if (version !== undefined) return { kind: 'held', version, record }
  if (status === ReadStatus.ABSENT) return absentRead
  if (status === ReadStatus.REFILLING) return refillingRead
  if (status === ReadStatus.WRONG_EPOCH) return wrongEpochRead
  return failedRead
}

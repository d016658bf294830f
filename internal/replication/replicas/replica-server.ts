import {
  type PeerMessage,
  ReadMode,
  ReadStatus,
  type SlotScan,
  WriteVerdict,
} from '@quorumkv/proto/kv/peer/v1/messages'
import { type ErrorCode, type Instruments, KvError, limits, type PartTrace, type TraceWatch } from '../../base/index.js'
import type { Clock } from '../../env/index.js'
import { hlcMs, zeroVersion } from '../../hlc/index.js'
import {
  encodedRecordBytes,
  encodeRecords,
  floorVersion,
  RecordFormatError,
  type StoredRecord,
} from '../../record/index.js'
import { slotCount } from '../../slots/index.js'
import { type CommitResult, prefetchKeysMax, type Store } from '../../store/index.js'
import { ItemReader, itemKind, writeFlags } from '../operations/items.js'
import { TracedItems } from '../operations/traced-items.js'
import { type Horizon, noHorizon } from '../repair/horizon.js'
import { isRefilling } from '../transfer/refilling.js'
import { readSlotPage } from '../transfer/slot-page.js'
import { writeReplyOfFailure } from './local-replica.js'
import { asBuffer } from './outbox.js'
import type { PeerLink } from './peer-link.js'
import type { WriteReply } from './replica.js'

/** The writes of a message, side by side. */
interface Writes {
  readonly ids: readonly number[]
  readonly flags: readonly number[]
  readonly records: readonly StoredRecord[]
}

/** Its reads. */
interface Reads {
  readonly ids: readonly number[]
  readonly modes: readonly number[]
  readonly keys: readonly Uint8Array[]
}

/** What the answers are counted with. */
export interface ReplicaServerParts {
  readonly clock: Clock
  readonly instruments: Instruments
}

/** Answers other nodes' requests from the store. */
export class ReplicaServer {
  readonly #clock: Clock
  readonly #served: Instruments['served']
  readonly #traces: TraceWatch | undefined
  readonly #store: Store
  readonly #horizon: Horizon
  #requests = 0

  constructor({ clock, instruments }: ReplicaServerParts, store: Store, horizon: Horizon = noHorizon) {
    this.#clock = clock
    this.#served = instruments.served
    this.#traces = instruments.traces
    this.#store = store
    this.#horizon = horizon
  }

  /**
   * Answers everything in a message that was sent under this node's own epoch. Throws RecordFormatError when its
   * records are malformed; nothing of the message has been applied then.
   */
  serve(message: PeerMessage, link: PeerLink): void {
    checkScans(message.scans)
    if (message.items.length > 0) this.#items(message, link)
    for (const scan of message.scans) this.#scan(scan, link)
  }

  /** Messages so far that have asked for reads and writes of keys. */
  get requests(): number {
    return this.#requests
  }

  #items({ items, traces }: PeerMessage, link: PeerLink): void {
    this.#requests++
    const watch = this.#traces
    const traced = watch?.listensToParts === true ? new TracedItems(watch, link.peer, traces) : undefined
    const writes = { ids: [] as number[], flags: [] as number[], records: [] as StoredRecord[] }
    const reads = { ids: [] as number[], modes: [] as number[], keys: [] as Uint8Array[] }
    const item = new ItemReader(items)
    while (item.next()) {
      if (item.kind === itemKind.write) {
        writes.ids.push(item.id)
        writes.flags.push(item.code)
        writes.records.push(item.record!)
      } else if (item.kind === itemKind.read) {
        reads.ids.push(item.id)
        reads.modes.push(item.code)
        reads.keys.push(item.key)
      } else throw notAsked(item)
    }
    if (writes.ids.length > 0) this.#writes(writes, link, traced)
    if (reads.ids.length > 0) this.#reads(reads, link, traced)
  }

  #scan(scan: SlotScan, link: PeerLink): void {
    const startedMs = this.#clock.monotonicMs()
    if (link.overloaded) {
      this.#served.scan.failed('overloaded')
      refuseScan(scan.id, ReadStatus.OVERLOADED, link)
      return
    }
    const page = readSlotPage(this.#store, {
      slot: scan.slot,
      prefix: scan.prefix,
      after: scan.after,
      recordsMax: Math.min(scan.recordsMax, limits.scanPageEntriesMax),
      bytesMax: Math.min(scan.bytesMax, limits.scanPageBytesMax),
    })
    if (page.kind === 'refilling') {
      this.#served.scan.failed('unavailable')
      refuseScan(scan.id, ReadStatus.REFILLING, link)
      return
    }
    const records = asBuffer(encodeRecords(page.records))
    link.outbox(records.length).addPage({
      id: scan.id,
      status: ReadStatus.RECORD,
      records,
      count: page.records.length,
      more: page.more,
      floorMs: page.floorMs,
    })
    this.#served.scan.succeeded(startedMs, this.#clock.monotonicMs())
  }

  /** Refuses everything in a message that was sent under another epoch: certainly nothing of it is applied. */
  refuse(message: PeerMessage, link: PeerLink): void {
    const item = new ItemReader(message.items)
    while (item.next()) {
      const outbox = link.outbox(0)
      if (item.kind === itemKind.write) {
        outbox.addWriteReply(item.id, WriteVerdict.WRONG_EPOCH, undefined, false, undefined)
      } else if (item.kind === itemKind.read) {
        outbox.addReadReply(item.id, ReadStatus.WRONG_EPOCH, zeroVersion, undefined)
      } else throw notAsked(item)
    }
    for (const { id } of message.scans) refuseScan(id, ReadStatus.WRONG_EPOCH, link)
  }

  #writes(batch: Writes, link: PeerLink, traced: TracedItems | undefined): void {
    const { ids, flags, records } = this.#admitted(batch, link)
    if (ids.length === 0) return
    const wantPrevious = flags.map((flag) => (flag & writeFlags.wantPrevious) !== 0)
    const fresh = flags.every((flag) => (flag & writeFlags.isRepair) === 0)
    const refilling = this.#store.lostCount === 0 ? undefined : records.map(({ key }) => isRefilling(this.#store, key))
    const startedMs = this.#clock.monotonicMs()
    const parts = traced && ids.map((id, i) => traced.write(id, records[i]!, (flags[i]! & writeFlags.isRepair) !== 0))
    this.#store.commit(records, { wantPrevious, fresh }).then(
      (results) => {
        this.#countWrites(records, startedMs)
        parts?.forEach((part, i) => {
          part.ended(verdictOf(results[i]!, refilling?.[i] === true))
        })
        replyToWrites(ids, results, refilling, link)
      },
      (error: unknown) => {
        const code = error instanceof KvError ? error.code : 'unavailable'
        this.#served.put.failed(code, ids.length)
        parts?.forEach((part) => {
          part.ended(code)
        })
        refuseWrites(ids, error, link)
      },
    )
  }

  #countWrites(records: readonly StoredRecord[], startedMs: number): void {
    const nowMs = this.#clock.monotonicMs()
    let deletes = 0
    for (let i = 0; i < records.length; i++) if (records[i]!.tombstone) deletes++
    if (deletes > 0) this.#served.delete.succeeded(startedMs, nowMs, deletes)
    if (deletes < records.length) this.#served.put.succeeded(startedMs, nowMs, records.length - deletes)
  }

  /** Without the fresh writes that are late, to which it replies. Mostly there is none, and nothing is copied. */
  #admitted(batch: Writes, link: PeerLink): Writes {
    const { ids, flags, records } = batch
    const horizonMs = this.#horizon.ms()
    const isLate = (i: number): boolean => hlcMs(records[i]!) <= horizonMs && (flags[i]! & writeFlags.isRepair) === 0
    let late = 0
    for (let i = 0; i < ids.length; i++) {
      if (!isLate(i)) continue
      late++
      link.outbox(0).addWriteReply(ids[i]!, WriteVerdict.STALE, floorVersion(horizonMs), false, undefined)
    }
    if (late === 0) return batch
    const inTime = (_: unknown, i: number): boolean => !isLate(i)
    return { ids: ids.filter(inTime), flags: flags.filter(inTime), records: records.filter(inTime) }
  }

  #reads(batch: Reads, link: PeerLink, traced: TracedItems | undefined): void {
    const startedMs = this.#clock.monotonicMs()
    let overloaded = 0
    for (let i = 0; i < batch.ids.length; i++) {
      if (i % prefetchKeysMax === 0 && !link.overloaded) this.#store.prefetch(batch.keys, i, batch.keys.length)
      const id = batch.ids[i]!
      const key = batch.keys[i]!
      const part: PartTrace | undefined = traced?.read(id, key)
      if (link.overloaded) {
        // It does not read what it asked for: from here on a few bytes each, instead of values.
        overloaded++
        link.outbox(0).addReadReply(id, ReadStatus.OVERLOADED, zeroVersion, undefined)
        part?.ended('overloaded')
      } else {
        const answer = this.#read(id, key, batch.modes[i]!, link)
        part?.ended(answer)
      }
    }
    if (overloaded > 0) this.#served.get.failed('overloaded', overloaded)
    const told = batch.ids.length - overloaded
    if (told > 0) this.#served.get.succeeded(startedMs, this.#clock.monotonicMs(), told)
  }

  /** Answers one read, and returns what the answer is called for who follows it. */
  #read(id: number, key: Uint8Array, mode: number, link: PeerLink): 'held' | 'absent' | 'refilling' {
    if (isRefilling(this.#store, key)) {
      link.outbox(0).addReadReply(id, ReadStatus.REFILLING, zeroVersion, undefined)
      return 'refilling'
    }
    if (mode === ReadMode.FULL) {
      const record = this.#store.get(key)
      if (record === undefined) link.outbox(0).addReadReply(id, ReadStatus.ABSENT, zeroVersion, undefined)
      else link.outbox(encodedRecordBytes(record)).addReadReply(id, ReadStatus.RECORD, record, record)
      return record === undefined ? 'absent' : 'held'
    }
    const version = this.#store.getVersion(key)
    const status = version === undefined ? ReadStatus.ABSENT : ReadStatus.VERSION
    link.outbox(0).addReadReply(id, status, version ?? zeroVersion, undefined)
    return version === undefined ? 'absent' : 'held'
  }
}

/** Before anything is done. */
function checkScans(scans: readonly SlotScan[]): void {
  for (const { slot } of scans) {
    if (slot >= slotCount) throw new RecordFormatError(0, `slot ${slot} of ${slotCount}`)
  }
}

function notAsked({ kind }: ItemReader): RecordFormatError {
  return new RecordFormatError(0, `an item of kind ${kind} among requests`)
}

function refuseScan(id: number, status: ReadStatus, link: PeerLink): void {
  link.outbox(0).addPage({ id, status, records: Buffer.alloc(0), count: 0, more: false, floorMs: 0 })
}

/** `refilling`, where given: of which of them the slot was lost here when they came. */
function replyToWrites(
  ids: readonly number[],
  results: readonly CommitResult[],
  refilling: readonly boolean[] | undefined,
  link: PeerLink,
): void {
  for (let i = 0; i < ids.length; i++) {
    if (refilling?.[i] === true) {
      link.outbox(0).addWriteReply(ids[i]!, WriteVerdict.REFILLING, undefined, false, undefined)
      continue
    }
    const { applied, seen, existed, previous } = results[i]!
    const verdict = applied ? WriteVerdict.APPLIED : WriteVerdict.STALE
    const bytes = previous === undefined ? 0 : encodedRecordBytes(previous)
    link.outbox(bytes).addWriteReply(ids[i]!, verdict, seen, existed, previous)
  }
}

/** What a write came to, for who follows it. */
function verdictOf({ applied }: CommitResult, refilling: boolean): WriteReply['kind'] {
  if (refilling) return 'refilling'
  return applied ? 'applied' : 'stale'
}

const refusals: Partial<Record<ErrorCode, WriteVerdict>> = {
  'read-only': WriteVerdict.READ_ONLY,
  overloaded: WriteVerdict.OVERLOADED,
}

function refuseWrites(ids: readonly number[], error: unknown, link: PeerLink): void {
  const { kind, code } = writeReplyOfFailure(error)
  if (kind !== 'refused' || code === undefined) {
    // Nobody knows what is on the disk. An answer would be a guess, so the link ends, and the writes end as lost.
    link.close('the log failed')
    return
  }
  const verdict = refusals[code] ?? WriteVerdict.UNAVAILABLE
  for (const id of ids) link.outbox(0).addWriteReply(id, verdict, undefined, false, undefined)
}

import {
  type PeerMessage,
  ReadMode,
  ReadStatus,
  type SlotScan,
  WriteVerdict,
} from '@quorumkv/proto/kv/peer/v1/messages'
import { type ErrorCode, limits } from '../base/index.js'
import { hlcMs, zeroVersion } from '../hlc/index.js'
import {
  decodeRecords,
  encodedRecordBytes,
  encodeRecords,
  floorVersion,
  RecordFormatError,
  type StoredRecord,
} from '../record/index.js'
import { slotCount } from '../slots/index.js'
import { type CommitResult, prefetchKeysMax, type Store } from '../store/index.js'
import { type Horizon, noHorizon } from './horizon.js'
import { writeReplyOfFailure } from './local-replica.js'
import { asBuffer, writeFlags } from './outbox.js'
import type { PeerLink } from './peer-link.js'
import { isRefilling } from './refilling.js'
import { readSlotPage } from './slot-page.js'

/** What a batch of writes consists of, side by side. */
interface Writes {
  readonly ids: readonly number[]
  readonly flags: readonly number[]
  readonly records: readonly StoredRecord[]
}

/** Answers other nodes' requests from the store. */
export class ReplicaServer {
  readonly #store: Store
  readonly #horizon: Horizon

  constructor(store: Store, horizon: Horizon = noHorizon) {
    this.#store = store
    this.#horizon = horizon
  }

  /**
   * Answers everything in a message that was sent under this node's own epoch. Throws RecordFormatError when its
   * records are malformed; nothing of the message has been applied then.
   */
  serve(message: PeerMessage, link: PeerLink): void {
    check(message)
    if (message.writes !== undefined) this.#writes(message.writes, link)
    if (message.reads !== undefined) this.#reads(message.reads, link)
    for (const scan of message.scans) {
      if (scan.settled) void this.#store.settled().then(() => this.#scan(scan, link))
      else this.#scan(scan, link)
    }
  }

  #scan(scan: SlotScan, link: PeerLink): void {
    if (link.overloaded) {
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
  }

  /** Refuses everything in a message that was sent under another epoch: certainly nothing of it is applied. */
  refuse(message: PeerMessage, link: PeerLink): void {
    for (const id of message.writes?.ids ?? []) {
      link.outbox(0).addWriteReply(id, WriteVerdict.WRONG_EPOCH, undefined, false, undefined)
    }
    for (const id of message.reads?.ids ?? []) {
      link.outbox(0).addReadReply(id, ReadStatus.WRONG_EPOCH, zeroVersion, undefined)
    }
    for (const { id } of message.scans) refuseScan(id, ReadStatus.WRONG_EPOCH, link)
  }

  #writes(batch: NonNullable<PeerMessage['writes']>, link: PeerLink): void {
    const all = decodeRecords(batch.records, batch.ids.length)
    const { ids, flags, records } = this.#admitted(batch.ids, batch.flags, all, link)
    if (ids.length === 0) return
    const wantPrevious = flags.map((flag) => (flag & writeFlags.wantPrevious) !== 0)
    const refilling = this.#store.lostCount === 0 ? undefined : records.map(({ key }) => isRefilling(this.#store, key))
    this.#store.commit(records, { wantPrevious }).then(
      (results) => replyToWrites(ids, results, refilling, link),
      (error: unknown) => refuseWrites(ids, error, link),
    )
  }

  /** Without the fresh writes that are late, to which it replies. Mostly there is none, and nothing is copied. */
  #admitted(
    ids: readonly number[],
    flags: readonly number[],
    records: readonly StoredRecord[],
    link: PeerLink,
  ): Writes {
    const horizonMs = this.#horizon.ms()
    const isLate = (i: number): boolean => hlcMs(records[i]!) <= horizonMs && (flags[i]! & writeFlags.isRepair) === 0
    let late = 0
    for (let i = 0; i < ids.length; i++) {
      if (!isLate(i)) continue
      late++
      link.outbox(0).addWriteReply(ids[i]!, WriteVerdict.STALE, floorVersion(horizonMs), false, undefined)
    }
    if (late === 0) return { ids, flags, records }
    const inTime = (_: unknown, i: number): boolean => !isLate(i)
    return { ids: ids.filter(inTime), flags: flags.filter(inTime), records: records.filter(inTime) }
  }

  #reads(batch: NonNullable<PeerMessage['reads']>, link: PeerLink): void {
    for (let i = 0; i < batch.ids.length; i++) {
      if (i % prefetchKeysMax === 0 && !link.overloaded) this.#store.prefetch(batch.keys, i, batch.keys.length)
      const id = batch.ids[i]!
      const key = batch.keys[i]!
      if (link.overloaded) {
        // It does not read what it asked for: from here on a few bytes each, instead of values.
        link.outbox(0).addReadReply(id, ReadStatus.OVERLOADED, zeroVersion, undefined)
      } else if (isRefilling(this.#store, key)) {
        link.outbox(0).addReadReply(id, ReadStatus.REFILLING, zeroVersion, undefined)
      } else if (batch.modes[i] === ReadMode.FULL) {
        const record = this.#store.get(key)
        if (record === undefined) link.outbox(0).addReadReply(id, ReadStatus.ABSENT, zeroVersion, undefined)
        else link.outbox(encodedRecordBytes(record)).addReadReply(id, ReadStatus.RECORD, record, record)
      } else {
        const version = this.#store.getVersion(key)
        const status = version === undefined ? ReadStatus.ABSENT : ReadStatus.VERSION
        link.outbox(0).addReadReply(id, status, version ?? zeroVersion, undefined)
      }
    }
  }
}

/** Before anything is done: arrays that belong together are equally long, and slots exist. */
function check({ writes, reads, scans }: PeerMessage): void {
  if (writes !== undefined) checkParallel(writes.ids, writes.flags)
  if (reads !== undefined) {
    checkParallel(reads.ids, reads.modes)
    checkParallel(reads.ids, reads.keys)
  }
  for (const { slot } of scans) {
    if (slot >= slotCount) throw new RecordFormatError(0, `slot ${slot} of ${slotCount}`)
  }
}

function checkParallel(ids: readonly unknown[], other: readonly unknown[]): void {
  if (ids.length !== other.length) throw new RecordFormatError(0, `${ids.length} ids beside ${other.length} others`)
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

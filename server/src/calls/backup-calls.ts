import { emptyBytes, invalidArgument, KvError, limits, type Slot } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { Clock } from '@quorumkv/internal/env'
import { compareHlc, type Hlc, hlcFromBigint, hlcMs, hlcToBigint } from '@quorumkv/internal/hlc'
import {
  decodeRecords,
  encodeRecords,
  isFloorVersion,
  RecordFormatError,
  type StoredRecord,
} from '@quorumkv/internal/record'
import { ByteRate, type ExportedSlot, Pauses, type SlotTransfers } from '@quorumkv/internal/replication'
import { slotCount } from '@quorumkv/internal/slots'
import type {
  BackupSlotsRequest,
  BackupSlotsResponse,
  RestoreSlotsRequest,
  RestoreSlotsResponse,
  SlotContents,
} from '@quorumkv/proto/kv/v1/cluster'
import { bytesOf } from './scan-call.js'
import type { UnaryScope } from './unary.js'

const digestBytes = 8

/**
 * What backups and restores ask of one node: few at a time, and together no faster than its stream rate. Each goes by the rates of who
 * asks: a page is one operation, as of a scan; each record that comes back is one, as of a put.
 */
export class BackupCalls {
  readonly #clock: Clock
  readonly #rate: ByteRate
  #running = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#rate = new ByteRate(clock, new Pauses(clock), limits.streamBytesPerSecond)
  }

  /** One page of slots. Rejects with KvError: `invalid-argument` with the field, `overloaded`, and as reads do. */
  backup(request: BackupSlotsRequest, scope: UnaryScope): Promise<BackupSlotsResponse> {
    const { slot, after, knownDigests: known } = request
    if (slot >= slotCount) throw invalidArgument('slot', `must be 0 to ${slotCount - 1}, got ${slot}`)
    if (after.length > limits.keyBytesMax) throw invalidArgument('after', `must be a key, got ${after.length} bytes`)
    if (known.length % digestBytes !== 0 || known.length > (slotCount - slot) * digestBytes) {
      const most = (slotCount - slot) * digestBytes
      throw invalidArgument('known_digests', `must be ${digestBytes} bytes for each slot, at most ${most} in all`)
    }
    // A slot has keys of everybody.
    scope.principal.checkPrefix(emptyBytes)
    return this.#run(scope, async (node, transfers) => {
      scope.principal.rate?.admit(0)
      const page = await transfers.exportSlots(
        { slot: slot as Slot, after, known: (each) => digestAt(known, each - slot), bytesMax: this.#bytesMax(scope) },
        operationOf(scope),
      )
      for (const { records } of page.slots) scope.principal.rate?.charge(bytesOf(records))
      const slots = page.slots.map(toContents)
      this.#rate.owe(slots.reduce((sum, { records }) => sum + records.length, 0))
      return {
        slots,
        nextSlot: page.next.slot,
        nextAfter: Buffer.from(page.next.after),
        hlc: hlcToBigint(node.clockReading()),
        clusterId: node.topology?.clusterId ?? '',
      }
    })
  }

  /** Rejects with KvError: `invalid-argument` with the field, `overloaded`, and as writes do. */
  restore(request: RestoreSlotsRequest, scope: UnaryScope): Promise<RestoreSlotsResponse> {
    const records = recordsOf(request)
    for (const { key } of records) scope.principal.checkKey(key)
    return this.#run(scope, async (node, transfers) => {
      checkCluster(request.clusterId, node)
      this.#checkStamps(records, hlcFromBigint(request.highestHlc), node)
      scope.principal.rate?.admit(bytesOf(records), records.length)
      const tally = await transfers.restore(records, operationOf(scope))
      this.#rate.owe(request.records.length)
      return tally
    })
  }

  /**
   * What is stamped later than the clock can go along with would lock everybody out of those keys until that time has
   * come: no write could supersede it.
   */
  #checkStamps(records: readonly StoredRecord[], told: Hlc, node: Node): void {
    let highest = told
    for (const record of records) if (compareHlc(record, highest) > 0) highest = record
    if (node.observe(highest)) return
    const aheadMs = hlcMs(highest) - this.#clock.wallMs()
    throw invalidArgument(
      'records',
      `a version is ${aheadMs} ms ahead of the clock of ${node.id}, further than --max-clock-drift allows: ` +
        'set the clocks right, wait until that time has come, or store the values anew',
    )
  }

  async #run<T>(scope: UnaryScope, work: (node: Node, transfers: SlotTransfers) => Promise<T>): Promise<T> {
    const { node, deadlineMs, cancellation } = scope
    if (this.#running >= limits.backupCallsMax) {
      throw new KvError('overloaded', `${this.#running} calls of backups are running`, { outcome: 'not-applied' })
    }
    this.#running++
    try {
      this.#rate.bytesPerSecond = node.handovers?.streamBytesPerSecond ?? this.#rate.bytesPerSecond
      // For what others have moved: who waits here has not begun, and may still be told so.
      if (!(await this.#rate.isPaidBy(deadlineMs, cancellation))) {
        const rate = `${Math.round(this.#rate.bytesPerSecond)} bytes per second`
        throw new KvError('overloaded', `backups have moved more than ${rate} allow so far`, { outcome: 'not-applied' })
      }
      const { coordinator } = node
      if (coordinator === undefined) {
        throw new KvError('unavailable', 'this node does not serve', { outcome: 'not-applied' })
      }
      return await work(node, coordinator)
    } finally {
      this.#running--
    }
  }

  /** A low rate is kept by small pages, not by long waits between large ones. */
  #bytesMax({ principal }: UnaryScope): number {
    const bytesPerSecond = Math.min(
      this.#rate.bytesPerSecond,
      principal.rate?.bytesPerSecond ?? Number.POSITIVE_INFINITY,
    )
    return Math.max(1, Math.min(limits.backupPageBytesMax, Math.round(bytesPerSecond / 4)))
  }
}

function operationOf({ deadlineMs, cancellation, request }: UnaryScope) {
  return { consistency: 'quorum' as const, deadlineMs, cancellation, request }
}

/** Endpoints of two clusters in one list would bring a part of a backup to each. */
function checkCluster(clusterId: string, { topology }: Node): void {
  if (clusterId === '' || clusterId === topology?.clusterId) return
  throw invalidArgument('clusterId', `is ${clusterId}, and this node is of cluster ${topology?.clusterId}`)
}

function digestAt(known: Buffer, position: number): { hi: number; lo: number } | undefined {
  const at = position * digestBytes
  if (at + digestBytes > known.length) return undefined
  return { hi: known.readUInt32BE(at), lo: known.readUInt32BE(at + 4) }
}

function toContents({ slot, records, more, floorMs, unchanged }: ExportedSlot): SlotContents {
  const bytes = encodeRecords(records)
  const encoded = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  return { slot, unchanged, records: encoded, count: records.length, more, floorMs: BigInt(floorMs) }
}

function recordsOf({ records, count }: RestoreSlotsRequest): StoredRecord[] {
  if (count === 0 || count > limits.restoreRecordsMax) {
    throw invalidArgument('count', `must be 1 to ${limits.restoreRecordsMax}, got ${count}`)
  }
  if (records.length > limits.restoreBytesMax && count > 1) {
    throw invalidArgument('records', `are ${records.length} bytes, more than ${limits.restoreBytesMax}`)
  }
  try {
    const decoded = decodeRecords(records, count)
    if (decoded.some(isFloorVersion)) throw invalidArgument('records', 'hold a version that no node stamps')
    return decoded
  } catch (error) {
    if (error instanceof RecordFormatError) throw invalidArgument('records', error.message)
    throw error
  }
}

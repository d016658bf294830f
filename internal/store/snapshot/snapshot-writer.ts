import { limits, type Slot } from '../../base/index.js'
import { type DiskFile, writeFully } from '../../env/index.js'
import { crc32 } from '../../hash/index.js'
import type { Version } from '../../hlc/index.js'
import {
  encodedFloorBytes,
  encodedRecordBytes,
  encodeFloor,
  encodeRecord,
  type StoredRecord,
} from '../../record/index.js'
import { syncFile } from '../../wal/index.js'
import type { SnapshotInfo } from '../store.js'
import {
  blockHeaderBytes,
  chainCrc,
  encodeBlockHeader,
  encodeSnapshotFooter,
  encodeSnapshotHeader,
  type SnapshotHeader,
  snapshotHeaderBytes,
} from './snapshot-format.js'

/**
 * Writes one snapshot file. Records are encoded into a buffer in one turn (`addSlot`) and written in another
 * (`flush`); the buffer grows with what it has to take, to a slice and the largest slot at most. Slots are alike in
 * size, and most stores that take snapshots again and again are small.
 */
export class SnapshotWriter {
  readonly #file: DiskFile
  readonly #sequence: number
  #buffer = new Uint8Array(limits.snapshotBufferBytesMin)
  #length: number
  #written = 0
  #synced = 0
  #blocks = 0
  #records = 0
  #chain = 0
  /** Where the open block's header will be; -1: no block is open. */
  #blockAt = -1
  #blockRecords = 0
  #slot = 0
  readonly #add: (record: StoredRecord) => void = (record) => this.#addRecord(record)

  constructor(file: DiskFile, header: SnapshotHeader) {
    this.#file = file
    this.#sequence = header.sequence
    this.#buffer.set(encodeSnapshotHeader(header))
    this.#length = snapshotHeaderBytes
  }

  get bufferedBytes(): number {
    return this.#length
  }

  /**
   * Takes all records that `scan` visits, and then the floor, as it is at this moment (0: none). Slots must come in
   * order.
   *
   * Of this very moment: with a higher one the log that is replayed over the slot would be refused what it accepted
   * before the floor rose that far, and with a lower one it would bring back what the floor has dropped. Behind the
   * records, because what is live at a floor may be older than it, and could not be merged any more.
   */
  addSlot(slot: Slot, floorMs: number, scan: (slot: Slot, visit: (record: StoredRecord) => void) => void): void {
    this.#slot = slot
    scan(slot, this.#add)
    if (floorMs > 0) {
      this.#openBlock(encodedFloorBytes)
      this.#length = encodeFloor({ slot, floorMs }, this.#buffer, this.#length)
      this.#blockRecords++
    }
    this.#closeBlock()
  }

  async flush(): Promise<void> {
    await writeFully(this.#file, this.#buffer.subarray(0, this.#length), this.#written)
    this.#written += this.#length
    this.#length = 0
    if (this.#written - this.#synced < limits.snapshotSyncBytes) return
    await syncFile(this.#file)
    this.#synced = this.#written
  }

  /** The caller syncs. */
  async finish(highest: Version): Promise<SnapshotInfo> {
    await this.flush()
    const footer = {
      blocks: this.#blocks,
      chain: this.#chain,
      records: this.#records,
      fileBytes: 0,
      sequence: this.#sequence,
      highest,
    }
    const size = encodeSnapshotFooter(footer).length
    const fileBytes = this.#written + size
    await writeFully(this.#file, encodeSnapshotFooter({ ...footer, fileBytes }), this.#written)
    return { sequence: this.#sequence, records: this.#records, bytes: fileBytes }
  }

  #addRecord(record: StoredRecord): void {
    this.#openBlock(encodedRecordBytes(record))
    this.#length = encodeRecord(record, this.#buffer, this.#length)
    this.#blockRecords++
    if (this.#length - this.#blockAt >= limits.snapshotBlockBytes) this.#closeBlock()
  }

  /** Makes room for so much more in the open block, or in a new one. */
  #openBlock(bytes: number): void {
    if (this.#blockAt === -1) {
      this.#makeRoom(blockHeaderBytes)
      this.#blockAt = this.#length
      this.#length += blockHeaderBytes
    }
    this.#makeRoom(bytes)
  }

  #closeBlock(): void {
    if (this.#blockAt === -1) return
    const payloadAt = this.#blockAt + blockHeaderBytes
    const header = {
      payloadBytes: this.#length - payloadAt,
      number: this.#blocks++,
      slot: this.#slot,
      records: this.#blockRecords,
      payloadCrc: crc32(this.#buffer, payloadAt, this.#length),
    }
    this.#chain = chainCrc(this.#chain, encodeBlockHeader(header, this.#buffer, this.#blockAt))
    this.#records += this.#blockRecords
    this.#blockRecords = 0
    this.#blockAt = -1
  }

  #makeRoom(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    const bigger = new Uint8Array(Math.max(needed, this.#buffer.length * 2))
    bigger.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = bigger
  }
}

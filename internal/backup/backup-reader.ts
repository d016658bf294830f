import { compareBytes, emptyBytes } from '../base/index.js'
import { type Disk, DiskError, type DiskFile } from '../env/index.js'
import { crc32, type Hash64, hash64 } from '../hash/index.js'
import { decodeRecords, RecordFormatError, type StoredRecord } from '../record/index.js'
import { slotOf } from '../slots/index.js'
import { blockHeaderBytes, chainCrc, decodeBlockHeader } from '../store/index.js'
import { ChunkReader } from '../wal/index.js'
import { BackupDamage, BackupOfLaterRelease } from './damage.js'
import { hexOfDigest, type Manifest, type SegmentFile, type SlotPlace } from './manifest.js'
import { segmentPath } from './names.js'
import { faultInHeader, segmentHeaderBytes } from './segment-format.js'

/** An incremental backup may need many segments; so many are open at a time. */
const openFilesMax = 8

interface OpenFile {
  readonly path: string
  readonly file: DiskFile
  readonly reader: ChunkReader
}

/** Takes the records of one block. Keys and values are views: whoever keeps them longer than the call copies. */
export type RecordVisitor = (records: readonly StoredRecord[]) => void | Promise<void>

/**
 * Reads the slots of a backup, and checks every byte of what it reads: checksums, counts, digests, and that each key
 * belongs where it is. Calls must not overlap. `close` at the end.
 */
export class BackupReader {
  readonly #disk: Disk
  readonly #manifest: Manifest
  /** By position in the manifest; the one that was used last comes last. */
  readonly #open = new Map<number, OpenFile>()
  readonly #hash: Hash64 = { hi: 0, lo: 0 }

  constructor(disk: Disk, manifest: Manifest) {
    this.#disk = disk
    this.#manifest = manifest
  }

  /** Opens a segment and checks its length and header. Throws BackupDamage, and DiskErrors. */
  async check(position: number): Promise<void> {
    await this.#fileAt(position)
  }

  /**
   * Reads a slot, block by block; what has been visited must be thrown away, or be of no harm, if this throws: BackupDamage,
   * or DiskErrors.
   */
  async read(place: SlotPlace, visit: RecordVisitor): Promise<void> {
    if (place.file === undefined) return
    const { path, reader } = await this.#fileAt(place.file)
    const sum = { hi: 0, lo: 0, records: 0, blocks: 0, chain: 0 }
    let lastKey: Uint8Array = emptyBytes
    let at = place.offset
    const end = place.offset + place.bytes
    while (at < end) {
      const expected = `block ${sum.blocks} of slot ${place.slot}`
      const header = decodeBlockHeader(await reader.view(at, blockHeaderBytes))
      if (header === undefined) throw new BackupDamage(path, at, expected, 'bytes that start no block')
      if (typeof header === 'string') throw new BackupDamage(path, at, expected, header)
      if (header.slot !== place.slot) throw new BackupDamage(path, at, expected, `a block of slot ${header.slot}`)
      const length = blockHeaderBytes + header.payloadBytes
      const block = await reader.view(at, length)
      if (block.length < length || at + length > end)
        throw new BackupDamage(path, at, expected, 'the end of the slot in it')
      if (crc32(block, blockHeaderBytes) !== header.payloadCrc) {
        throw new BackupDamage(path, at, expected, 'a wrong checksum')
      }
      const records = decodeBlock(path, at, block, header.records)
      lastKey = this.#add(records, place.slot, lastKey, sum, (found) => new BackupDamage(path, at, expected, found))
      sum.records += records.length
      sum.blocks++
      sum.chain = chainCrc(sum.chain, header.headerCrc)
      at += length
      await visit(records)
    }
    const fault = faultIn(place, sum)
    if (fault !== undefined) throw new BackupDamage(path, place.offset, `slot ${place.slot} as in the manifest`, fault)
  }

  async close(): Promise<void> {
    const files = [...this.#open.values()]
    this.#open.clear()
    for (const { file } of files) await file.close()
  }

  /** Adds the records to the digest; returns the last key, a copy. */
  #add(
    records: readonly StoredRecord[],
    slot: number,
    before: Uint8Array,
    sum: { hi: number; lo: number },
    damage: (found: string) => BackupDamage,
  ): Uint8Array {
    let last = before
    for (const { key, hi, lo, node } of records) {
      if (slotOf(key) !== slot) throw damage(`a key of slot ${slotOf(key)}`)
      if (compareBytes(key, last) <= 0) throw damage('keys out of order')
      hash64(key, hi, lo, node, this.#hash)
      sum.hi = (sum.hi ^ this.#hash.hi) >>> 0
      sum.lo = (sum.lo ^ this.#hash.lo) >>> 0
      last = key
    }
    return last === before ? before : last.slice()
  }

  async #fileAt(position: number): Promise<OpenFile> {
    const known = this.#open.get(position)
    if (known !== undefined) {
      this.#open.delete(position)
      this.#open.set(position, known)
      return known
    }
    const oldest = this.#open.entries().next().value
    if (oldest !== undefined && this.#open.size >= openFilesMax) {
      this.#open.delete(oldest[0])
      await oldest[1].file.close()
    }
    const opened = await this.#openFile(this.#manifest.files[position]!)
    this.#open.set(position, opened)
    return opened
  }

  async #openFile({ backup, id, segment, bytes }: SegmentFile): Promise<OpenFile> {
    const path = segmentPath(backup, segment)
    const file = await this.#disk.open(path, 'read').catch((error: unknown) => {
      if (!(error instanceof DiskError) || error.code !== 'not-found') throw error
      throw new BackupDamage(path, 0, `a segment of ${bytes} bytes`, 'no such file')
    })
    try {
      const size = await file.size()
      if (size !== bytes)
        throw new BackupDamage(path, Math.min(size, bytes), `a segment of ${bytes} bytes`, `${size} bytes`)
      const reader = await ChunkReader.over(file)
      const origin = { clusterId: this.#manifest.clusterId, id, segment }
      const fault = faultInHeader(await reader.view(0, segmentHeaderBytes), origin)
      if (typeof fault === 'number') throw new BackupOfLaterRelease(path, fault)
      if (fault !== undefined) throw new BackupDamage(path, 0, `segment ${segment} of backup ${id}`, fault)
      return { path, file, reader }
    } catch (error) {
      await file.close()
      throw error
    }
  }
}

function decodeBlock(path: string, at: number, block: Uint8Array, count: number): StoredRecord[] {
  try {
    return decodeRecords(block.subarray(blockHeaderBytes), count)
  } catch (error) {
    if (!(error instanceof RecordFormatError)) throw error
    throw new BackupDamage(path, at, `${count} records`, error.message, error)
  }
}

function faultIn(
  { records, blocks, chain, digest }: SlotPlace,
  sum: { hi: number; lo: number; records: number; blocks: number; chain: number },
): string | undefined {
  if (sum.records !== records) return `${sum.records} records for ${records}`
  if (sum.blocks !== blocks || sum.chain !== chain) return 'other blocks'
  if (sum.hi !== digest.hi || sum.lo !== digest.lo) return `digest ${hexOfDigest(sum)} for ${hexOfDigest(digest)}`
  return undefined
}

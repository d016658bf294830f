import type { ClusterId, FatalError, Incarnation, Slot } from '../../base/index.js'
import { crc32 } from '../../hash/index.js'
import type { Version } from '../../hlc/index.js'
import { RecordFormatError } from '../../record/index.js'
import { ChunkReader, corruption, refuseNewerFormat } from '../../wal/index.js'
import type { SnapshotInfo } from '../store.js'
import type { ReadableFile } from './read-ahead.js'
import {
  blockHeaderBytes,
  chainCrc,
  decodeBlockHeader,
  decodeSnapshotFooter,
  decodeSnapshotHeader,
  snapshotFooterBytes,
  snapshotHeaderBytes,
  snapshotLayout,
} from './snapshot-format.js'

export interface SnapshotOrigin {
  readonly clusterId: ClusterId
  readonly incarnation: Incarnation
  /** From the file's name. */
  readonly sequence: number
}

export interface ReadSnapshot extends SnapshotInfo {
  readonly highest: Version
}

/** Where snapshots are read from: a disk, or one that reads ahead. */
export interface SnapshotSource {
  open(path: string, mode: 'read'): Promise<ReadableFile>
}

/** Takes one block's records, encoded; `payload` holds only during the call. May throw RecordFormatError. */
export type BlockVisitor = (payload: Uint8Array, records: number, slot: Slot) => void

/**
 * Reads a whole snapshot and checks everything in it; blocks are handed on as they come, so what they were used for
 * must be thrown away if this throws: FatalError `corrupt`, or DiskErrors.
 */
export async function readSnapshot(
  disk: SnapshotSource,
  path: string,
  origin: SnapshotOrigin,
  visit: BlockVisitor,
): Promise<ReadSnapshot> {
  const file = await disk.open(path, 'read')
  try {
    return await new SnapshotReader(path, await ChunkReader.over(file), origin).read(visit)
  } finally {
    await file.close()
  }
}

class SnapshotReader {
  readonly #path: string
  readonly #reader: ChunkReader
  readonly #origin: SnapshotOrigin
  #position = 0
  #blocks = 0
  #records = 0
  #chain = 0
  #slot = 0

  constructor(path: string, reader: ChunkReader, origin: SnapshotOrigin) {
    this.#path = path
    this.#reader = reader
    this.#origin = origin
  }

  async read(visit: BlockVisitor): Promise<ReadSnapshot> {
    await this.#readHeader()
    while (await this.#readBlock(visit));
    return await this.#readFooter()
  }

  async #readHeader(): Promise<void> {
    const found = await this.#reader.view(0, snapshotHeaderBytes)
    refuseNewerFormat(this.#path, found, snapshotLayout)
    const header = decodeSnapshotHeader(found)
    const { clusterId, incarnation, sequence } = this.#origin
    if (typeof header === 'string') throw this.#damage('the header of a snapshot', header)
    if (header.clusterId !== clusterId || header.incarnation !== incarnation) {
      const expected = `cluster ${clusterId}, incarnation ${incarnation}`
      throw this.#damage(expected, `cluster ${header.clusterId}, incarnation ${header.incarnation}`)
    }
    if (header.sequence !== sequence) {
      throw this.#damage(`sequence ${sequence}, as in the file's name`, `sequence ${header.sequence}`)
    }
    this.#position = snapshotHeaderBytes
  }

  /** False: the footer starts here. */
  async #readBlock(visit: BlockVisitor): Promise<boolean> {
    const header = decodeBlockHeader(await this.#reader.view(this.#position, blockHeaderBytes))
    if (header === undefined) return false
    const expected = `block ${this.#blocks}`
    if (typeof header === 'string') throw this.#damage(expected, header)
    if (header.number !== this.#blocks) throw this.#damage(expected, `block ${header.number}`)
    if (header.slot < this.#slot) throw this.#damage(`a slot from ${this.#slot}`, `slot ${header.slot}`)
    const block = await this.#reader.view(this.#position, blockHeaderBytes + header.payloadBytes)
    if (block.length < blockHeaderBytes + header.payloadBytes) throw this.#damage(expected, 'the end of the file in it')
    if (crc32(block, blockHeaderBytes) !== header.payloadCrc) throw this.#damage(expected, 'a wrong checksum')
    try {
      visit(block.subarray(blockHeaderBytes), header.records, header.slot as Slot)
    } catch (error) {
      if (error instanceof RecordFormatError) throw this.#damage(expected, error.message, error)
      throw error
    }
    this.#position += block.length
    this.#blocks++
    this.#records += header.records
    this.#chain = chainCrc(this.#chain, header.headerCrc)
    this.#slot = header.slot
    return true
  }

  async #readFooter(): Promise<ReadSnapshot> {
    const footer = decodeSnapshotFooter(await this.#reader.view(this.#position, snapshotFooterBytes))
    if (typeof footer === 'string') throw this.#damage('the footer', footer)
    const fileBytes = this.#position + snapshotFooterBytes
    const found = { blocks: this.#blocks, records: this.#records, chain: this.#chain, fileBytes }
    for (const key of ['blocks', 'records', 'chain', 'fileBytes'] as const) {
      if (footer[key] !== found[key]) throw this.#damage(`${key} ${footer[key]}, as in the footer`, `${found[key]}`)
    }
    if (footer.sequence !== this.#origin.sequence) throw this.#damage('the footer', `sequence ${footer.sequence}`)
    if (this.#reader.size !== fileBytes) throw this.#damage('the end of the file', `${this.#reader.size} bytes`)
    return { sequence: footer.sequence, records: footer.records, bytes: fileBytes, highest: footer.highest }
  }

  #damage(expected: string, found: string, cause?: unknown): FatalError {
    return corruption({ path: this.#path, offset: this.#position, expected, found }, cause)
  }
}

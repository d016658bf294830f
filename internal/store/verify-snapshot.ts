import type { Disk } from '../env/index.js'
import { crc32 } from '../hash/index.js'
import type { Version } from '../hlc/index.js'
import { decodeRecords, RecordFormatError, type StoredRecord } from '../record/index.js'
import { ChunkReader, type Fault, type FaultKind, type FileOrigin } from '../wal/index.js'
import { snapshotPath } from './snapshot-files.js'
import {
  blockHeaderBytes,
  chainCrc,
  type DecodedBlockHeader,
  decodeBlockHeader,
  decodeSnapshotFooter,
  decodeSnapshotHeader,
  snapshotFooterBytes,
  snapshotHeaderBytes,
} from './snapshot-format.js'

const blockMagicFirstByte = 0xf2
const scanStep = 65_536

/** What a snapshot holds that can be read. */
export interface SnapshotReport {
  readonly path: string
  /** From its name. */
  readonly sequence: number
  readonly bytes: number
  readonly blocks: number
  readonly records: number
  /** How many blocks its footer promises; undefined: the footer is damaged. */
  readonly blocksPromised: number | undefined
  /** The highest that the store had seen; undefined: the footer is damaged. */
  readonly highest: Version | undefined
  readonly faults: readonly Fault[]
}

/** Takes the records of one block. Keys and values hold only during the call. */
export type BlockTaker = (records: readonly StoredRecord[]) => void

/**
 * Reads all of a snapshot, going on behind rotten blocks where recovery stops, and hands on every block that can be
 * read, unless the file is someone else's. Changes nothing. Throws DiskErrors.
 */
export async function surveySnapshot(
  disk: Disk,
  sequence: number,
  origin: FileOrigin | undefined,
  take: BlockTaker,
): Promise<SnapshotReport> {
  const path = snapshotPath(sequence)
  const file = await disk.open(path, 'read')
  try {
    return await new SnapshotSurvey(path, sequence, await ChunkReader.over(file), take).run(origin)
  } finally {
    await file.close()
  }
}

class SnapshotSurvey {
  readonly #path: string
  readonly #sequence: number
  readonly #reader: ChunkReader
  readonly #take: BlockTaker
  readonly #faults: Fault[] = []
  /** Where the footer must start. */
  readonly #end: number
  #position = snapshotHeaderBytes
  /** Of the block that must be here. */
  #number = 0
  #slot = 0
  #blocks = 0
  #records = 0
  #chain = 0

  constructor(path: string, sequence: number, reader: ChunkReader, take: BlockTaker) {
    this.#path = path
    this.#sequence = sequence
    this.#reader = reader
    this.#take = take
    this.#end = reader.size - snapshotFooterBytes
  }

  async run(origin: FileOrigin | undefined): Promise<SnapshotReport> {
    let footer: { blocks: number; highest: Version } | undefined
    if (await this.#checkHeader(origin)) {
      while (this.#position < this.#end) if (!(await this.#block())) break
      footer = await this.#checkFooter()
    }
    return {
      path: this.#path,
      sequence: this.#sequence,
      bytes: this.#reader.size,
      blocks: this.#blocks,
      records: this.#records,
      blocksPromised: footer?.blocks,
      highest: footer?.highest,
      faults: this.#faults,
    }
  }

  /** False: it is someone else's, and nothing in it counts. */
  async #checkHeader(origin: FileOrigin | undefined): Promise<boolean> {
    const header = decodeSnapshotHeader(await this.#reader.view(0, snapshotHeaderBytes))
    if (typeof header === 'string') {
      this.#fault(0, 'the header of a snapshot', header)
      return true
    }
    if (header.sequence !== this.#sequence) {
      this.#fault(48, `sequence ${this.#sequence}, as in the file's name`, `sequence ${header.sequence}`, 'foreign')
      return false
    }
    if (origin === undefined) return true
    if (header.clusterId === origin.clusterId && header.incarnation === origin.incarnation) return true
    const expected = `cluster ${origin.clusterId}, incarnation ${origin.incarnation}`
    this.#fault(16, expected, `cluster ${header.clusterId}, incarnation ${header.incarnation}`, 'foreign')
    return false
  }

  /** False: nothing more can be found. */
  async #block(): Promise<boolean> {
    const header = await this.#blockHeader(this.#position)
    let problem: string | undefined
    if (typeof header === 'string') problem = header
    else if (header.number !== this.#number) problem = `block ${header.number}`
    else if (header.slot < this.#slot) problem = `a block of slot ${header.slot} behind one of slot ${this.#slot}`
    if (typeof header === 'string' || problem !== undefined) {
      this.#fault(this.#position, `block ${this.#number}`, problem ?? 'no block')
      return await this.#findNext()
    }
    const block = await this.#reader.view(this.#position, blockHeaderBytes + header.payloadBytes)
    this.#takeBlock(header, block)
    this.#position += blockHeaderBytes + header.payloadBytes
    this.#number++
    this.#slot = header.slot
    this.#chain = chainCrc(this.#chain, header.headerCrc)
    return true
  }

  #takeBlock(header: DecodedBlockHeader, block: Uint8Array): void {
    const expected = `block ${header.number}`
    if (crc32(block, blockHeaderBytes) !== header.payloadCrc) {
      this.#fault(this.#position, expected, 'a block whose payload has a wrong checksum')
      return
    }
    let records: readonly StoredRecord[]
    try {
      records = decodeRecords(block.subarray(blockHeaderBytes), header.records)
    } catch (error) {
      if (!(error instanceof RecordFormatError)) throw error
      this.#fault(this.#position, expected, error.message)
      return
    }
    this.#take(records)
    this.#blocks++
    this.#records += header.records
  }

  /** A checked header of a block that fits into the file, or what is here instead. */
  async #blockHeader(position: number): Promise<DecodedBlockHeader | string> {
    const header = decodeBlockHeader(await this.#reader.view(position, blockHeaderBytes))
    if (header === undefined) return 'a footer in the middle of the file'
    if (typeof header === 'string') return header
    const end = position + blockHeaderBytes + header.payloadBytes
    return end <= this.#end ? header : 'a block that is cut short'
  }

  /**
   * Goes on at the next block from which an unbroken chain of blocks leads to the footer: what looks like a block
   * behind damage may be part of somebody's value.
   */
  async #findNext(): Promise<boolean> {
    const adrift = new Set<number>()
    let at = this.#position + 1
    while (at + blockHeaderBytes <= this.#end) {
      const piece = await this.#reader.view(at, scanStep)
      const found = piece.indexOf(blockMagicFirstByte)
      at += found === -1 ? piece.length : found
      if (found === -1) continue
      const header = await this.#blockHeader(at)
      const later = typeof header !== 'string' && header.number >= this.#number && header.slot >= this.#slot
      if (later && (await this.#reachesEnd(at, header.number, adrift))) {
        this.#position = at
        this.#number = header.number
        return true
      }
      at++
    }
    return false
  }

  async #reachesEnd(from: number, first: number, adrift: Set<number>): Promise<boolean> {
    const chain: number[] = []
    let position = from
    for (let number = first; position !== this.#end; number++) {
      const header = adrift.has(position) ? undefined : await this.#blockHeader(position)
      if (header === undefined || typeof header === 'string' || header.number !== number) {
        for (const at of chain) adrift.add(at)
        return false
      }
      chain.push(position)
      position += blockHeaderBytes + header.payloadBytes
    }
    return true
  }

  async #checkFooter(): Promise<{ blocks: number; highest: Version } | undefined> {
    const at = Math.max(0, this.#end)
    const footer = decodeSnapshotFooter(await this.#reader.view(at, snapshotFooterBytes))
    if (typeof footer === 'string') {
      this.#fault(at, 'the footer of a snapshot', footer)
      return undefined
    }
    const { blocks, highest } = footer
    // Where blocks are damaged the sums cannot be right, and that has been said.
    if (this.#faults.length > 0) return { blocks, highest }
    const bytes = this.#reader.size
    const found = { blocks: this.#blocks, records: this.#records, chain: this.#chain, fileBytes: bytes }
    for (const key of ['blocks', 'records', 'chain', 'fileBytes'] as const) {
      if (footer[key] !== found[key]) this.#fault(at, `${key} ${footer[key]}, as in the footer`, `${found[key]}`)
    }
    if (footer.sequence !== this.#sequence) {
      this.#fault(at, `sequence ${this.#sequence} in the footer`, `sequence ${footer.sequence}`)
    }
    return { blocks, highest }
  }

  #fault(offset: number, expected: string, found: string, kind: FaultKind = 'damaged'): void {
    this.#faults.push({ kind, path: this.#path, offset, expected, found })
  }
}

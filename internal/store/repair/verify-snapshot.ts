import type { Slot } from '../../base/index.js'
import type { Disk } from '../../env/index.js'
import { crc32 } from '../../hash/index.js'
import type { Version } from '../../hlc/index.js'
import { decodeEntries, type Entry, RecordFormatError } from '../../record/index.js'
import { slotCount } from '../../slots/index.js'
import { ChunkReader, type Fault, type FaultKind, type FileOrigin, refuseNewerFormat } from '../../wal/index.js'
import { snapshotPath } from '../snapshot/snapshot-files.js'
import {
  blockHeaderBytes,
  chainCrc,
  type DecodedBlockHeader,
  decodeBlockHeader,
  decodeSnapshotFooter,
  decodeSnapshotHeader,
  type SnapshotFooter,
  snapshotFooterBytes,
  snapshotHeaderBytes,
  snapshotLayout,
} from '../snapshot/snapshot-format.js'

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
  /** Slots of which the file may have held more than can be read: all where it is someone else's. */
  readonly damagedSlots: ReadonlySet<Slot>
}

/** Takes the contents of one block, all of this slot. Keys and values hold only during the call. */
export type BlockTaker = (entries: readonly Entry[], slot: Slot) => void

/** It is whole, and belongs to another store or under another name: nothing in it counts. */
export function isForeign({ faults }: SnapshotReport): boolean {
  return faults.some(({ kind }) => kind === 'foreign')
}

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
  readonly #damagedSlots = new Set<Slot>()
  /** Where the footer must start. */
  readonly #end: number
  #position = snapshotHeaderBytes
  /** Of the block that must be here. */
  #number = 0
  #slot = 0
  #blocks = 0
  #records = 0
  #chain = 0
  /** Every block header so far is sound: `#chain` is over all of them. */
  #chained = true

  constructor(path: string, sequence: number, reader: ChunkReader, take: BlockTaker) {
    this.#path = path
    this.#sequence = sequence
    this.#reader = reader
    this.#take = take
    this.#end = reader.size - snapshotFooterBytes
  }

  async run(origin: FileOrigin | undefined): Promise<SnapshotReport> {
    let footer: SnapshotFooter | undefined
    if (await this.#checkHeader(origin)) {
      const headerIsSound = this.#faults.length === 0
      while (this.#position < this.#end) if (!(await this.#block())) break
      footer = await this.#checkFooter()
      // With both gone nothing says any more which sequence this is.
      if (!headerIsSound && footer === undefined) this.#damage(0)
    } else {
      this.#damage(0)
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
      damagedSlots: this.#damagedSlots,
    }
  }

  /** False: it is someone else's, and nothing in it counts. */
  async #checkHeader(origin: FileOrigin | undefined): Promise<boolean> {
    const found = await this.#reader.view(0, snapshotHeaderBytes)
    refuseNewerFormat(this.#path, found, snapshotLayout)
    const header = decodeSnapshotHeader(found)
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
      this.#chained = false
      // Blocks that are lost may have been of the neighbours' slots too, and of any between.
      const next = await this.#findNext()
      this.#damage(this.#slot, next)
      return next !== undefined
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
      this.#damage(header.slot, header.slot)
      return
    }
    let entries: readonly Entry[]
    try {
      entries = decodeEntries(block.subarray(blockHeaderBytes), header.records)
    } catch (error) {
      if (!(error instanceof RecordFormatError)) throw error
      this.#fault(this.#position, expected, error.message)
      this.#damage(header.slot, header.slot)
      return
    }
    this.#take(entries, header.slot as Slot)
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
   * behind damage may be part of somebody's value. Its slot; undefined: there is none.
   */
  async #findNext(): Promise<number | undefined> {
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
        return header.slot
      }
      at++
    }
    return undefined
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

  /** What the footer says; undefined: it is damaged, or of another snapshot. */
  async #checkFooter(): Promise<SnapshotFooter | undefined> {
    const at = Math.max(0, this.#end)
    const footer = decodeSnapshotFooter(await this.#reader.view(at, snapshotFooterBytes))
    if (typeof footer === 'string') {
      this.#fault(at, 'the footer of a snapshot', footer)
      // A file that is cut between two blocks looks like one whose footer is damaged.
      this.#damage(this.#slot)
      return undefined
    }
    if (footer.sequence !== this.#sequence) {
      this.#fault(at, `sequence ${this.#sequence} in the footer`, `sequence ${footer.sequence}`)
      this.#damage(0)
      return undefined
    }
    this.#checkSums(at, footer)
    return footer
  }

  #checkSums(at: number, footer: SnapshotFooter): void {
    const sums = { blocks: this.#number, chain: this.#chain, fileBytes: this.#reader.size, records: this.#records }
    for (const key of ['blocks', 'chain', 'fileBytes', 'records'] as const) {
      // What depends on blocks that are known to be damaged cannot be right, and that has been said.
      if (key === 'chain' && !this.#chained) continue
      if (key === 'records' && this.#faults.length > 0) continue
      // Behind damage where no block was found nobody has counted.
      if (key === 'blocks' && this.#position !== this.#end) continue
      if (footer[key] === sums[key]) continue
      this.#fault(at, `${key} ${footer[key]}, as in the footer`, `${sums[key]}`)
      this.#damage(0)
    }
  }

  /** Both slots and all between; without a last one all behind the first. */
  #damage(first: number, last: number = slotCount - 1): void {
    for (let slot = first; slot <= last; slot++) this.#damagedSlots.add(slot as Slot)
  }

  #fault(offset: number, expected: string, found: string, kind: FaultKind = 'damaged'): void {
    this.#faults.push({ kind, path: this.#path, offset, expected, found })
  }
}

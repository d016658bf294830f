import { assert } from '../base/index.js'
import { DiskError, type DiskFile, writeFully } from '../env/index.js'
import { syncFile } from './durable.js'
import { encodeFrameHeader, type FrameKind, frameHeaderBytes } from './frame.js'
import { createSegmentFile, segmentPath } from './log-directory.js'
import type { LogTail } from './log-reader.js'
import type { WalOptions } from './options.js'
import { encodeSegmentHeader, type SegmentHeader, segmentHeaderBytes } from './segment-header.js'

/** A disk without room for a whole step is asked for a step again only after so long; single groups may still fit. */
const stepRetryMs = 1_000

/**
 * The segment that is being written: a file, how far it is filled, and how far its blocks are there. Its operations
 * must not overlap. Errors are DiskErrors; after one of `append` or `reserve`, `cutBack` before anything else.
 */
export class SegmentFile {
  readonly number: number
  readonly firstSequence: number
  readonly #options: WalOptions
  readonly #file: DiskFile
  #position: number
  #allocated: number
  #noStepBeforeMs = 0
  #lastCrc: number

  private constructor(
    options: WalOptions,
    file: DiskFile,
    header: SegmentHeader,
    filled: { position: number; allocated: number; lastCrc: number },
  ) {
    this.#options = options
    this.#file = file
    this.number = header.number
    this.firstSequence = header.firstSequence
    this.#position = filled.position
    this.#allocated = filled.allocated
    this.#lastCrc = filled.lastCrc
  }

  static async create(
    options: WalOptions,
    number: number,
    firstSequence: number,
    previousCrc: number,
  ): Promise<SegmentFile> {
    const { clusterId, incarnation } = options
    const header: SegmentHeader = { clusterId, incarnation, number, firstSequence, previousCrc }
    const bytes = encodeSegmentHeader(header)
    const file = await createSegmentFile(options.disk, number, (fresh) => writeFully(fresh, bytes, 0))
    const lastCrc = new DataView(bytes.buffer).getUint32(bytes.length - 4, true)
    return new SegmentFile(options, file, header, { position: bytes.length, allocated: bytes.length, lastCrc })
  }

  /**
   * Goes on where a former process stopped. What that one wrote without syncing is made durable first, because it is
   * about to be served; a torn tail is cut, because what stood there must never be taken for a later frame.
   */
  static async resume(options: WalOptions, last: SegmentHeader, tail: LogTail): Promise<SegmentFile> {
    const file = await options.disk.open(segmentPath(last.number), 'write')
    try {
      if (tail.torn) await file.truncate(tail.position)
      await syncFile(file)
      const { position, lastCrc } = tail
      return new SegmentFile(options, file, last, { position, allocated: await file.size(), lastCrc })
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Bytes up to the end of the last frame. */
  get position(): number {
    return this.#position
  }

  /** The header CRC of the last frame, or of the segment's header where there is none. */
  get lastCrc(): number {
    return this.#lastCrc
  }

  get full(): boolean {
    return this.#position >= this.#options.segmentBytes && this.#position > segmentHeaderBytes
  }

  /** Whether the next `bytes` fall on blocks that are there. */
  hasReserved(bytes: number): boolean {
    return this.#position + bytes <= this.#allocated
  }

  /** Sees to it that the next `bytes` fall on blocks that are there, as far as the disk has room. */
  async reserve(bytes: number): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs()
    if (this.hasReserved(bytes) || nowMs < this.#noStepBeforeMs) return
    const { preallocateBytes, segmentBytes } = this.#options
    const target = Math.max(this.#position + bytes, Math.min(this.#allocated + preallocateBytes, segmentBytes))
    // Without room for a step a single group may still find its own.
    if (!(await this.#extend(target))) this.#noStepBeforeMs = nowMs + stepRetryMs
  }

  /** Whether there is room for a whole step again; if so, it is taken. */
  async findRoom(): Promise<boolean> {
    if (!(await this.#extend(this.#allocated + this.#options.preallocateBytes))) return false
    this.#noStepBeforeMs = 0
    return true
  }

  async #extend(target: number): Promise<boolean> {
    try {
      await this.#file.preallocate(target)
      this.#allocated = target
      return true
    } catch (error) {
      if (!(error instanceof DiskError) || error.code !== 'full') throw error
      // Part of it may have been taken, from what little room there is.
      await this.cutBack()
      return false
    }
  }

  async append(frame: Uint8Array, headerCrc: number): Promise<void> {
    await writeFully(this.#file, frame, this.#position)
    this.#position += frame.length
    this.#allocated = Math.max(this.#allocated, this.#position)
    this.#lastCrc = headerCrc
  }

  /** Writes a frame without records. */
  async appendMark(kind: FrameKind, sequence: number, unsynced: number): Promise<void> {
    assert(kind !== 'group', 'a mark has no records')
    const frame = new Uint8Array(frameHeaderBytes)
    const header = { kind, payloadBytes: 0, sequence, segment: this.number, records: 0, unsynced, payloadCrc: 0 }
    const headerCrc = encodeFrameHeader(header, frame, 0)
    await this.append(frame, headerCrc)
  }

  /** Any failure is a FatalError. */
  sync(): Promise<void> {
    return syncFile(this.#file)
  }

  /** Cuts off whatever a failed write has left behind the last frame, durably. */
  async cutBack(): Promise<void> {
    await this.#file.truncate(this.#position)
    await syncFile(this.#file)
    this.#allocated = this.#position
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

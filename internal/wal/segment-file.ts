import { assert, limits } from '../base/index.js'
import { type DiskFile, writeFully } from '../env/index.js'
import { createDurably, syncFile } from './durable.js'
import { encodeFrameHeader, type FrameKind, frameHeaderBytes } from './frame.js'
import { nextSegmentPath, segmentPath } from './log-directory.js'
import { isFull } from './log-errors.js'
import type { LogTail } from './log-reader.js'
import type { WalOptions } from './options.js'
import { encodeSegmentHeader, type SegmentHeader, segmentHeaderBytes, segmentTag } from './segment-header.js'
import type { MadeSegment } from './segment-maker.js'

/**
 * The segment that is being written: a file, how far it is filled, and how far its blocks are there. Its operations
 * must not overlap, but for `growAhead`. Errors are DiskErrors; after one of `append` or `reserve`, `cutBack` before
 * anything else.
 */
export class SegmentFile {
  readonly number: number
  readonly firstSequence: number
  /** See `segmentTag`. */
  readonly tag: number
  readonly #options: WalOptions
  readonly #file: DiskFile
  #position: number
  #allocated: number
  /** A step of preallocation that runs beside commits, which stay below where it started. */
  #growing: Promise<void> | undefined
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
    this.tag = segmentTag(header)
    this.#position = filled.position
    this.#allocated = filled.allocated
    this.#lastCrc = filled.lastCrc
  }

  /** The first segment of a log; it has its name once it is whole. */
  static async createFirst(options: WalOptions): Promise<SegmentFile> {
    const { clusterId, incarnation, disk } = options
    const header: SegmentHeader = { clusterId, incarnation, number: 1, firstSequence: 1, previousCrc: 0 }
    const path = segmentPath(header.number)
    const bytes = encodeSegmentHeader(header)
    await createDurably(disk, nextSegmentPath, path, (fresh) => writeFully(fresh, bytes, 0))
    const filled = { position: bytes.length, allocated: bytes.length, lastCrc: headerCrcOf(bytes) }
    // Opened anew, so that errors name the file as people find it.
    return new SegmentFile(options, await disk.open(path, 'write'), header, filled)
  }

  /**
   * Begins a segment that was made: writes its header, which becomes durable together with the first frame. All frames
   * of the segment before are durable. If this fails the made one is lost, and its name may be given again.
   */
  static async begin(
    options: WalOptions,
    { number, file, allocated }: MadeSegment,
    after: { readonly firstSequence: number; readonly previousCrc: number },
  ): Promise<SegmentFile> {
    const { clusterId, incarnation } = options
    const header: SegmentHeader = { clusterId, incarnation, number, ...after }
    const bytes = encodeSegmentHeader(header)
    try {
      await writeFully(file, bytes, 0)
    } catch (error) {
      await file.close()
      throw error
    }
    return new SegmentFile(options, file, header, { position: bytes.length, allocated, lastCrc: headerCrcOf(bytes) })
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

  /** So full that its successor should be made. */
  get needsSuccessor(): boolean {
    return this.#position >= this.#options.segmentBytes / 2
  }

  /** Sees to it that the next `bytes` fall on blocks that are there, as far as the disk has room. */
  async reserve(bytes: number): Promise<void> {
    await this.#growing
    const nowMs = this.#options.clock.monotonicMs()
    if (this.hasReserved(bytes) || nowMs < this.#noStepBeforeMs) return
    const { preallocateBytes, segmentBytes } = this.#options
    const target = Math.max(this.#position + bytes, Math.min(this.#allocated + preallocateBytes, segmentBytes))
    // Without room for a step a single group may still find its own.
    if (!(await this.#extend(target))) this.#noStepBeforeMs = nowMs + limits.logRoomRetryMs
  }

  /**
   * Starts the next step of preallocation when half a step is left, unless the segment is to end before. Everything
   * else may go on meanwhile. The promise, where there is one, rejects with what a disk must not do.
   */
  growAhead(): Promise<void> | undefined {
    const { preallocateBytes, segmentBytes, clock } = this.#options
    if (this.#allocated - this.#position > preallocateBytes / 2 || this.#allocated >= segmentBytes) return undefined
    if (this.#growing !== undefined || clock.monotonicMs() < this.#noStepBeforeMs) return undefined
    this.#growing = this.#grow(Math.min(this.#allocated + preallocateBytes, segmentBytes)).finally(() => {
      this.#growing = undefined
    })
    return this.#growing
  }

  async #grow(target: number): Promise<void> {
    try {
      await this.#file.preallocate(target)
      this.#allocated = target
    } catch (error) {
      if (!isFull(error)) throw error
      this.#noStepBeforeMs = this.#options.clock.monotonicMs() + limits.logRoomRetryMs
    }
  }

  /** Whether there is room for a whole step again; if so, it is taken. */
  async findRoom(): Promise<boolean> {
    await this.#growing
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
      if (!isFull(error)) throw error
      // Part of it may have been taken, from what little room there is.
      await this.cutBack()
      return false
    }
  }

  async append(frame: Uint8Array, headerCrc: number): Promise<void> {
    if (this.#growing !== undefined && !this.hasReserved(frame.length)) await this.#growing
    await writeFully(this.#file, frame, this.#position)
    this.#position += frame.length
    this.#allocated = Math.max(this.#allocated, this.#position)
    this.#lastCrc = headerCrc
  }

  /** Writes a frame without records. */
  async appendMark(kind: FrameKind, sequence: number, unsynced: number): Promise<void> {
    assert(kind !== 'group', 'a mark has no records')
    const frame = new Uint8Array(frameHeaderBytes)
    const header = { kind, payloadBytes: 0, sequence, segmentTag: this.tag, records: 0, unsynced, payloadCrc: 0 }
    const headerCrc = encodeFrameHeader(header, frame, 0)
    await this.append(frame, headerCrc)
  }

  /** Any failure is a FatalError. */
  sync(): Promise<void> {
    return syncFile(this.#file)
  }

  /** Cuts off whatever a failed write has left behind the last frame, durably. */
  async cutBack(): Promise<void> {
    await this.#growing
    await this.#file.truncate(this.#position)
    await syncFile(this.#file)
    this.#allocated = this.#position
  }

  /**
   * Ends a segment that is full: writes the mark that the log goes on behind it, with frame `sequence`, and closes the
   * file. The next segment is durable. The mark only makes the loss of that one visible; it may be missing.
   */
  async finish(sequence: number): Promise<void> {
    try {
      await this.appendMark('end', sequence, 0)
      await this.sync()
    } catch (error) {
      if (!isFull(error)) throw error
      this.#options.log.warn('no room for the end mark of a log segment', { segment: this.number })
    } finally {
      await this.close()
    }
  }

  async close(): Promise<void> {
    // How a step ended has been told to whoever started it.
    await Promise.allSettled([this.#growing])
    await this.#file.close()
  }
}

function headerCrcOf(header: Uint8Array): number {
  return new DataView(header.buffer, header.byteOffset).getUint32(header.length - 4, true)
}

import { assert, limits } from '../base/index.js'
import { crc32 } from '../hash/index.js'
import { entryLengthAt, RecordFormatError } from '../record/index.js'
import type { ChunkReader } from './chunk-reader.js'
import {
  type DecodedFrameHeader,
  decodeFrameHeader,
  frameHeaderBytes,
  frameMagicFirstByte,
  provesDurable,
} from './frame.js'

/** What is known of the segment that frames are looked for in. */
export interface FramePlace {
  /** That frames of this segment carry; undefined: nothing tells, and none can be found. */
  readonly tag: number | undefined
  /** With which the next segment starts; undefined: there is none, or it does not say. */
  readonly endSequence: number | undefined
  /** The header CRC of the last frame, as the next segment has it. */
  readonly endCrc: number | undefined
}

/** A place in a segment at which the frame `sequence` is to be found. */
export interface FramePosition {
  readonly position: number
  readonly sequence: number
  /** The header CRC of the frame before, where that is known. */
  readonly lastCrc: number | undefined
}

/** What stands where a frame should: it, or what is wrong; `header` where only the payload is. */
export type FoundFrame =
  | { readonly sound: true; readonly header: DecodedFrameHeader; readonly payload: Uint8Array }
  | { readonly sound: false; readonly header: DecodedFrameHeader | undefined; readonly found: string }

interface PlacedHeader {
  readonly position: number
  readonly header: DecodedFrameHeader
}

const noPayload = new Uint8Array(0)
const scanStep = 65_536

/**
 * Finds frames in one segment, also behind damage. What looks like a frame there may be part of somebody's value (a
 * copy of a log that is kept in the store, for one), and must not become data. So a frame behind damage is taken only
 * where something that is not in a value leads to it: the length in a good header, records that end just there, or
 * an unbroken chain of frames from it to the known end of the segment.
 */
export class FrameFinder {
  readonly #reader: ChunkReader
  /** Reads ahead, so that what `#reader` holds stays where it is. */
  readonly #scout: ChunkReader
  readonly #place: FramePlace
  /** Headers that belong to no chain which reaches the end. */
  readonly #adrift = new Set<number>()

  constructor(reader: ChunkReader, scout: ChunkReader, place: FramePlace) {
    this.#reader = reader
    this.#scout = scout
    this.#place = place
  }

  /** The payload holds until the next call. */
  async frameAt(position: number, sequence: number): Promise<FoundFrame> {
    const header = decodeFrameHeader(await this.#reader.view(position, frameHeaderBytes), 0)
    if (typeof header === 'string') return { sound: false, header: undefined, found: header }
    if (header.segmentTag !== this.#place.tag) {
      return { sound: false, header: undefined, found: 'a frame of another segment' }
    }
    if (header.sequence !== sequence) return { sound: false, header: undefined, found: `frame ${header.sequence}` }
    if (header.payloadBytes === 0) return { sound: true, header, payload: noPayload }
    const length = frameHeaderBytes + header.payloadBytes
    if (position + length > this.#reader.size) {
      return { sound: false, header: undefined, found: 'a frame that is cut short' }
    }
    const frame = await this.#reader.view(position, length)
    assert(frame.length === length, 'a segment changed while it was read')
    if (crc32(frame, frameHeaderBytes) !== header.payloadCrc) {
      return { sound: false, header, found: 'a frame whose payload has a wrong checksum' }
    }
    return { sound: true, header, payload: frame.subarray(frameHeaderBytes) }
  }

  /** A frame from `position` on that could only be written after frame `sequence` was durable (FORMAT.md, "Frame"). */
  async proofOf(sequence: number, position: number): Promise<PlacedHeader | undefined> {
    for await (const placed of this.#headers(position)) if (provesDurable(placed.header, sequence)) return placed
    return undefined
  }

  /** Whether a frame header of this segment stands anywhere from `position` on. */
  async holdsFrames(position: number): Promise<boolean> {
    return (await this.#headers(position).next()).done !== true
  }

  /** Where the log can be read on when frame `sequence` is damaged, which is at `position` and has this header. */
  async resume(
    position: number,
    sequence: number,
    header: DecodedFrameHeader | undefined,
  ): Promise<FramePosition | undefined> {
    if (header !== undefined) {
      const behind = position + frameHeaderBytes + header.payloadBytes
      return { position: behind, sequence: sequence + 1, lastCrc: header.headerCrc }
    }
    return (await this.#behindRecords(position, sequence)) ?? (await this.#anchored(position, sequence))
  }

  /** Where only a header is damaged its records are whole: they end where the next frame starts. */
  async #behindRecords(position: number, sequence: number): Promise<FramePosition | undefined> {
    const start = position + frameHeaderBytes
    if (start >= this.#reader.size) return undefined
    const region = await this.#reader.view(start, limits.logFrameBytesMax + frameHeaderBytes)
    let at = 0
    try {
      while (at < region.length) at += entryLengthAt(region, at)
    } catch (error) {
      if (!(error instanceof RecordFormatError)) throw error
    }
    const header = decodeFrameHeader(region, at)
    if (typeof header === 'string' || header.segmentTag !== this.#place.tag) return undefined
    if (header.sequence !== sequence + 1) return undefined
    return { position: start + at, sequence: header.sequence, lastCrc: undefined }
  }

  async #anchored(position: number, sequence: number): Promise<FramePosition | undefined> {
    const { endSequence } = this.#place
    for await (const { position: at, header } of this.#headers(position)) {
      if (header.sequence <= sequence || header.kind === 'end') continue
      if (endSequence !== undefined && header.sequence >= endSequence) continue
      if (await this.#reachesEnd(at, header.sequence)) {
        return { position: at, sequence: header.sequence, lastCrc: undefined }
      }
    }
    return undefined
  }

  /** Whether frames follow each other from here to the end of the segment, going by their headers. */
  async #reachesEnd(from: number, first: number): Promise<boolean> {
    const { tag, endSequence, endCrc } = this.#place
    const chain: number[] = []
    let position = from
    let sequence = first
    let crc: number | undefined
    let reached = false
    while (!this.#adrift.has(position)) {
      if (sequence === endSequence) {
        reached = endCrc === undefined || crc === endCrc
        break
      }
      const header = decodeFrameHeader(await this.#reader.view(position, frameHeaderBytes), 0)
      const follows = typeof header !== 'string' && header.segmentTag === tag && header.sequence === sequence
      if (!follows || header.kind === 'end') {
        // Without a successor that tells where it ends, it is the end if no frame of this segment stands behind.
        const behind = follows ? position + frameHeaderBytes : position
        reached = endSequence === undefined && !(await this.holdsFrames(behind))
        break
      }
      chain.push(position)
      position += frameHeaderBytes + header.payloadBytes
      crc = header.headerCrc
      sequence++
    }
    if (!reached) for (const at of chain) this.#adrift.add(at)
    return reached
  }

  /** Everything from `from` on that reads as a frame header of this segment, within values or not. */
  async *#headers(from: number): AsyncGenerator<PlacedHeader, void, undefined> {
    for (let start = from; start < this.#scout.size; start += scanStep) {
      // A header that starts in this piece may end in the next.
      const length = scanStep + frameHeaderBytes - 1
      let piece = await this.#scout.view(start, length)
      for (let at = piece.indexOf(frameMagicFirstByte); at !== -1 && at < scanStep; ) {
        const header = decodeFrameHeader(piece, at)
        if (typeof header !== 'string' && header.segmentTag === this.#place.tag) {
          yield { position: start + at, header }
          // Whoever took it may have had other pieces read meanwhile.
          piece = await this.#scout.view(start, length)
        }
        at = piece.indexOf(frameMagicFirstByte, at + 1)
      }
    }
  }
}

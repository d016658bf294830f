import { crc32 } from '../hash/index.js'
import { RecordFormatError } from '../record/index.js'
import { ChunkReader } from './chunk-reader.js'
import { corruption, type Damage } from './corruption.js'
import {
  type DecodedFrameHeader,
  decodeFrameHeader,
  frameHeaderBytes,
  frameMagicFirstByte,
  provesDurable,
} from './frame.js'
import {
  type ClosedSegment,
  headerDamage,
  type LogDirectory,
  readHeader,
  type SegmentSource,
  segmentPath,
  type Unbegun,
} from './log-directory.js'
import type { WalOptions } from './options.js'
import { type DecodedSegmentHeader, segmentHeaderBytes, segmentTag } from './segment-header.js'

/** A file that has the name of the segment behind the last and has not begun. */
export interface UnbegunSegment {
  readonly number: number
  /** It holds a frame of its own, which was being written when the machine went down: never acknowledged. */
  readonly used: boolean
}

/** Where the log ends, and so where it goes on. */
export interface LogTail {
  readonly closed: readonly ClosedSegment[]
  /** The segment to append to; undefined in an empty directory. */
  readonly last: DecodedSegmentHeader | undefined
  /** Behind the last good frame of the last segment. */
  readonly position: number
  /** A frame header of this segment stands there: the torn tail that has to be cut. */
  readonly torn: boolean
  /** The last frame is a group, and nothing behind it proves that it was durable. */
  readonly unsealed: boolean
  readonly lastSequence: number
  /** The header CRC of the last frame, or of the segment's header where it has none. */
  readonly lastCrc: number
  readonly unbegun: UnbegunSegment | undefined
  /** Numbers of the spares in the directory. */
  readonly spares: readonly number[]
}

/** Takes one group's records, encoded; `payload` holds only during the call. May throw RecordFormatError. */
export type GroupVisitor = (payload: Uint8Array, records: number, sequence: number) => void

export interface ReplayRequest {
  /** Groups up to this sequence are in the snapshot: they are not visited, and segments of only such are not read. */
  readonly after: number
  readonly visit: GroupVisitor
}

interface SegmentEnd {
  readonly position: number
  readonly nextSequence: number
  readonly lastCrc: number
  readonly torn: boolean
  readonly unsealed: boolean
}

/**
 * Reads the log in order, tells a torn tail from corruption (FORMAT.md, "Frame") and hands every group behind
 * `request.after` to the visitor. Changes nothing on disk. Throws FatalError `corrupt`.
 */
export async function replayLog(
  options: WalOptions,
  { segments: headers, unbegun, spares }: LogDirectory,
  request: ReplayRequest,
): Promise<LogTail> {
  const last = headers.at(-1)
  if (last === undefined) {
    const nothing = { position: 0, torn: false, unsealed: false, lastSequence: 0, lastCrc: 0 }
    return { closed: [], last: undefined, ...nothing, unbegun: undefined, spares }
  }
  checkStart(headers[0]!, request.after)
  const closed: ClosedSegment[] = []
  for (let i = 0; i < headers.length - 1; i++) {
    const header = headers[i]!
    const next = headers[i + 1]!
    // A segment of which the snapshot holds everything is not worth its reading; its size is all that is asked.
    const bytes = isCovered(next, request.after)
      ? await sizeOf(options, header.number)
      : (await readSegment(options, header, next, request)).position
    closed.push({ number: header.number, firstSequence: header.firstSequence, bytes })
  }
  const end = await readSegment(options, last, unbegun, request)
  const behind = unbegun === undefined ? undefined : await judgeUnbegun(options, unbegun, end.nextSequence)
  if (end.nextSequence <= request.after) {
    throw corruption({
      path: segmentPath(last.number),
      offset: end.position,
      expected: `frames up to sequence ${request.after}, which a snapshot contains`,
      found: `the end of the log behind sequence ${end.nextSequence - 1}`,
    })
  }
  const { position, torn, unsealed, lastCrc } = end
  const lastSequence = end.nextSequence - 1
  return { closed, last, position, torn, unsealed, lastSequence, lastCrc, unbegun: behind, spares }
}

/** Throws where the file that follows the last good segment had begun: then its header has been damaged. */
async function judgeUnbegun(options: WalOptions, unbegun: Unbegun, sequence: number): Promise<UnbegunSegment> {
  const { number } = unbegun
  const file = await options.disk.open(segmentPath(number), 'read')
  try {
    const reader = await ChunkReader.over(file)
    const tag = segmentTag({ clusterId: options.clusterId, incarnation: options.incarnation, number })
    const used = await judgeTail(reader, segmentHeaderBytes, { tag, sequence, damage: headerDamage(unbegun) })
    return { number, used }
  } finally {
    await file.close()
  }
}

/**
 * Reads a segment back that is closed, as is the one behind it. Throws FatalError `corrupt` where anything in it is
 * damaged, and DiskErrors; either means nothing where the segment was dropped meanwhile.
 */
export async function checkSegment(source: SegmentSource, number: number): Promise<void> {
  const [header, next] = [await readHeader(source, number), await readHeader(source, number + 1)]
  if ('found' in header) throw corruption(headerDamage(header))
  if ('found' in next) throw corruption(headerDamage(next))
  await readSegment(source, header, next, { after: Number.MAX_SAFE_INTEGER, visit: () => undefined })
}

function checkStart(first: DecodedSegmentHeader, after: number): void {
  if (first.firstSequence <= after + 1) return
  throw corruption({
    path: segmentPath(first.number),
    offset: 48,
    expected: `a log that starts at sequence ${after + 1} or before`,
    found: `the oldest segment, which starts at ${first.firstSequence}: segments or snapshots before it are missing`,
  })
}

/** Everything in the segment before `next` is in a snapshot of this sequence. */
function isCovered(next: DecodedSegmentHeader | undefined, after: number): boolean {
  return next !== undefined && next.firstSequence <= after + 1
}

/** How many bytes of files `replayLog` will read, at most. Throws DiskErrors. */
export async function replayedBytes(
  options: WalOptions,
  headers: readonly DecodedSegmentHeader[],
  after: number,
): Promise<number> {
  let bytes = 0
  for (const [i, { number }] of headers.entries()) {
    if (!isCovered(headers[i + 1], after)) bytes += await sizeOf(options, number)
  }
  return bytes
}

async function sizeOf(options: WalOptions, number: number): Promise<number> {
  const file = await options.disk.open(segmentPath(number), 'read')
  try {
    return await file.size()
  } finally {
    await file.close()
  }
}

async function readSegment(
  options: SegmentSource,
  header: DecodedSegmentHeader,
  next: DecodedSegmentHeader | Unbegun | undefined,
  request: ReplayRequest,
): Promise<SegmentEnd> {
  const file = await options.disk.open(segmentPath(header.number), 'read')
  try {
    return await readFrames(await ChunkReader.over(file), header, next, request)
  } finally {
    await file.close()
  }
}

async function readFrames(
  reader: ChunkReader,
  header: DecodedSegmentHeader,
  behind: DecodedSegmentHeader | Unbegun | undefined,
  request: ReplayRequest,
): Promise<SegmentEnd> {
  const next = behind === undefined || 'found' in behind ? undefined : behind
  const path = segmentPath(header.number)
  let position = segmentHeaderBytes
  let sequence = header.firstSequence
  let lastCrc = header.headerCrc
  let unsealed = false
  while (sequence !== next?.firstSequence) {
    const frame = await readFrame(reader, position, header.tag, sequence)
    const damage: Omit<Damage, 'found'> = { path, offset: position, expected: `frame ${sequence} of the log` }
    if (typeof frame === 'string') {
      if (next !== undefined) throw corruption({ ...damage, found: `${frame}, with segment ${next.number} behind it` })
      const judged = { tag: header.tag, sequence, damage: { ...damage, found: frame } }
      const torn = await judgeTail(reader, position, judged)
      return { position, nextSequence: sequence, lastCrc, torn, unsealed }
    }
    if (frame.kind === 'end') {
      const found = `the mark that the log goes on in segment ${header.number + 1}`
      if (behind !== undefined && 'found' in behind) throw corruption(headerDamage(behind))
      throw corruption({
        ...damage,
        expected: next === undefined ? `${segmentPath(header.number + 1)} to be there` : damage.expected,
        found: next === undefined ? `${found}, and no such file` : found,
      })
    }
    if (frame.kind === 'group' && sequence > request.after) {
      visitGroup(await reader.view(position + frameHeaderBytes, frame.payloadBytes), frame, request.visit, damage)
    }
    position += frameHeaderBytes + frame.payloadBytes
    lastCrc = frame.headerCrc
    unsealed = frame.kind === 'group'
    sequence++
  }
  if (next.previousCrc !== lastCrc) {
    throw corruption({
      path: segmentPath(next.number),
      offset: 56,
      expected: `the checksum ${hex(lastCrc)} of segment ${header.number}'s last frame`,
      found: hex(next.previousCrc),
    })
  }
  return { position, nextSequence: sequence, lastCrc, torn: false, unsealed: false }
}

/** The checked header of the frame that must be here, its payload's checksum included; or what is here instead. */
async function readFrame(
  reader: ChunkReader,
  position: number,
  tag: number,
  sequence: number,
): Promise<DecodedFrameHeader | string> {
  const header = decodeFrameHeader(await reader.view(position, frameHeaderBytes), 0)
  if (typeof header === 'string') return header
  if (header.segmentTag !== tag) return 'a frame of another segment'
  if (header.sequence !== sequence) return `frame ${header.sequence}`
  if (header.payloadBytes === 0) return header
  // The whole frame at once: the payload alone would throw away the header that is already in memory.
  const frame = await reader.view(position, frameHeaderBytes + header.payloadBytes)
  if (frame.length < frameHeaderBytes + header.payloadBytes) return 'a frame that is cut short'
  if (crc32(frame, frameHeaderBytes) !== header.payloadCrc) return 'a frame whose payload has a wrong checksum'
  return header
}

function visitGroup(
  payload: Uint8Array,
  frame: DecodedFrameHeader,
  visit: GroupVisitor,
  damage: Omit<Damage, 'found'>,
): void {
  try {
    visit(payload, frame.records, frame.sequence)
  } catch (error) {
    // The checksums hold, so it was written like this: by a bug or by a later version.
    if (error instanceof RecordFormatError) throw corruption({ ...damage, found: error.message }, error)
    throw error
  }
}

/** The frame that the tail should start with, and what is wrong there. */
interface JudgedTail {
  readonly tag: number
  readonly sequence: number
  readonly damage: Damage
}

/**
 * The log's last segment has no good frame at `position`. Throws where a later frame proves that there was one;
 * otherwise a write was torn, or there was none, and the result says whether a frame of this segment is left. What else
 * stands there (zeros, what the file held in a former life, pieces of a torn frame) is no frame of this segment whatever
 * is written before it.
 */
async function judgeTail(reader: ChunkReader, position: number, tail: JudgedTail): Promise<boolean> {
  const provenFrom = position + (await knownLength(reader, position, tail))
  let torn = provenFrom > position
  const step = 65_536
  for (let start = provenFrom; start < reader.size; start += step) {
    // A header that starts in this piece may end in the next.
    const piece = await reader.view(start, step + frameHeaderBytes - 1)
    for (let at = piece.indexOf(frameMagicFirstByte); at !== -1; at = piece.indexOf(frameMagicFirstByte, at + 1)) {
      if (at >= step) break
      const frame = decodeFrameHeader(piece, at)
      if (typeof frame === 'string' || frame.segmentTag !== tail.tag) continue
      torn = true
      if (!provesDurable(frame, tail.sequence)) continue
      const proof = `frame ${frame.sequence}, written after it was durable, stands at byte ${start + at}`
      throw corruption({ ...tail.damage, found: `${tail.damage.found} (no torn write: ${proof})` })
    }
  }
  return torn
}

/**
 * How far the bad frame reaches, if its header is good: what looks like a frame in there is a part of somebody's
 * value, and proves nothing.
 */
async function knownLength(reader: ChunkReader, position: number, tail: JudgedTail): Promise<number> {
  const header = decodeFrameHeader(await reader.view(position, frameHeaderBytes), 0)
  if (typeof header === 'string' || header.segmentTag !== tail.tag || header.sequence !== tail.sequence) return 0
  const end = position + frameHeaderBytes + header.payloadBytes
  return end <= reader.size ? end - position : 0
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`
}

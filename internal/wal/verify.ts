import type { ClusterId, Incarnation } from '../base/index.js'
import { type Disk, DiskError, type DiskFile, readFully } from '../env/index.js'
import { decodeEntries, type Entry, RecordFormatError } from '../record/index.js'
import { ChunkReader } from './chunk-reader.js'
import type { Damage } from './corruption.js'
import { type DecodedFrameHeader, decodeFrameHeader, frameHeaderBytes } from './frame.js'
import { headerDamage, logDirectory, parseLogName, segmentPath, sparePath } from './log-directory.js'
import { refuseNewerFormat } from './newer-format.js'
import {
  type DecodedSegmentHeader,
  decodeSegmentHeader,
  segmentHeaderBytes,
  segmentLayout,
  segmentTag,
} from './segment-header.js'
import { FrameFinder } from './verify-frames.js'
import { SequenceSet } from './verify-sequences.js'

/** Whose files they should be. */
export interface FileOrigin {
  readonly clusterId: ClusterId
  readonly incarnation: Incarnation
}

/** `foreign`: whole, but of another cluster, another incarnation or another place in the log. */
export type FaultKind = 'damaged' | 'missing' | 'foreign'

/** Something that keeps a node from starting, or will when it is needed. */
export interface Fault extends Damage {
  readonly kind: FaultKind
}

/** What a segment holds that can be read. */
export interface SegmentReport {
  readonly path: string
  readonly bytes: number
  /** Sequences of the first and the last frame; 0: it has none. */
  readonly firstSequence: number
  readonly lastSequence: number
  readonly groups: number
  readonly records: number
  /** Where stands what a crash left of an unfinished write. No damage: the next start cuts it off. */
  readonly tornAt: number | undefined
}

/** Everything about a log. */
export interface LogSurvey {
  readonly segments: readonly SegmentReport[]
  readonly faults: readonly Fault[]
  /** Of the frames that can be read. */
  readonly sound: SequenceSet
  /** The highest sequence that is known to have been written, readable or not; 0: none. */
  readonly lastSequence: number
  /** The sequence with which the oldest segment starts; undefined: it cannot be told, or there is no log. */
  readonly startSequence: number | undefined
  /** The sequence with which the log goes on; undefined: it cannot be told, or there is no log. */
  readonly nextSequence: number | undefined
  /** More may have been written behind `lastSequence`: the end of the log is missing, or cannot be read. */
  readonly openEnd: boolean
  /** The file of a segment that was made ready and has not begun: it holds nothing. */
  readonly unbegun: string | undefined
  /** Files that are kept for their blocks: what they hold is in no log any more. */
  readonly spares: readonly string[]
  /** The highest number in the name of a segment, of one that has not begun too; 0: none. */
  readonly lastNumber: number
  /** Names in the directory that are neither segments nor spares. */
  readonly others: readonly string[]
}

/** Takes one group, in the order of the log. Keys and values hold only during the call. */
export type GroupTaker = (entries: readonly Entry[], sequence: number) => void

/** A segment as far as its name, its header and its first frame tell. */
interface Start {
  readonly number: number
  readonly path: string
  readonly header: DecodedSegmentHeader | undefined
  /** What is wrong with the header, or what stands there. */
  readonly fault: Fault | undefined
  readonly firstSequence: number | undefined
  /** That its frames carry; undefined: nothing tells. */
  readonly tag: number | undefined
  /** Whole, and not of this log. */
  readonly foreign: boolean
}

/**
 * Reads all of a log, going on behind damage where recovery stops, and hands on every group that can be read.
 * `origin`: undefined where nothing says whose it should be. Changes nothing. Throws DiskErrors.
 */
export async function surveyLog(disk: Disk, origin: FileOrigin | undefined, take: GroupTaker): Promise<LogSurvey> {
  const numbers: number[] = []
  const spares: string[] = []
  const others: string[] = []
  for (const name of await listIfThere(disk, logDirectory)) {
    const parsed = parseLogName(name)
    if (parsed?.kind === 'segment') numbers.push(parsed.number)
    else if (parsed?.kind === 'spare') spares.push(sparePath(parsed.number))
    else others.push(name)
  }
  numbers.sort((a, b) => a - b)
  const starts: Start[] = []
  for (const number of numbers) starts.push(await readStart(disk, number, origin))
  const unbegun = (await hasNotBegun(disk, starts)) ? starts.pop() : undefined
  const survey = new Survey(take)
  for (const { fault } of starts) if (fault !== undefined) survey.faults.push(fault)
  for (const [i, start] of starts.entries()) await survey.segment(disk, start, starts[i + 1])
  const lastNumber = numbers.at(-1) ?? 0
  return { ...survey.result(starts), unbegun: unbegun?.path, spares, lastNumber, others }
}

/** Whether the highest of these files was made ready as a segment and has not begun (FORMAT.md, "Making a segment"). */
async function hasNotBegun(disk: Disk, starts: readonly Start[]): Promise<boolean> {
  const [before, last] = starts.slice(-2)
  if (before === undefined || last === undefined) return false
  if (last.header !== undefined || before.firstSequence === undefined) return false
  if (before.number !== last.number - 1) return false
  const probe = new Survey(() => undefined)
  await probe.segment(disk, before, undefined)
  // The end mark says that it had begun.
  if (probe.faults.some(({ kind }) => kind === 'missing')) return false
  const { nextSequence } = probe.result([before])
  if (nextSequence === undefined) return false
  return await reading(disk, last.path, async (file) => {
    const place = { tag: last.tag, endSequence: undefined, endCrc: undefined }
    const finder = new FrameFinder(await ChunkReader.over(file), await ChunkReader.over(file), place)
    const first = await finder.frameAt(segmentHeaderBytes, nextSequence)
    const length = first.header === undefined ? 0 : frameHeaderBytes + first.header.payloadBytes
    return (await finder.proofOf(nextSequence, segmentHeaderBytes + length)) === undefined
  })
}

/** The names in a directory; none where it does not exist. */
export async function listIfThere(disk: Disk, path: string): Promise<string[]> {
  try {
    return await disk.list(path)
  } catch (error) {
    if (error instanceof DiskError && error.code === 'not-found') return []
    throw error
  }
}

async function reading<T>(disk: Disk, path: string, read: (file: DiskFile) => Promise<T>): Promise<T> {
  const file = await disk.open(path, 'read')
  try {
    return await read(file)
  } finally {
    await file.close()
  }
}

async function readStart(disk: Disk, number: number, origin: FileOrigin | undefined): Promise<Start> {
  const path = segmentPath(number)
  const bytes = new Uint8Array(segmentHeaderBytes + frameHeaderBytes)
  const got = await reading(disk, path, (file) => readFully(file, bytes, 0))
  const found = bytes.subarray(0, Math.min(got, segmentHeaderBytes))
  refuseNewerFormat(path, found, segmentLayout)
  const header = decodeSegmentHeader(found)
  if (typeof header !== 'string') {
    const fault = foreignHeader(path, number, header, origin)
    const { firstSequence, tag } = header
    return { number, path, header, fault, firstSequence, tag, foreign: fault !== undefined }
  }
  const fault: Fault = { kind: 'damaged', ...headerDamage({ number, found: header }) }
  const frame = decodeFrameHeader(bytes.subarray(0, got), segmentHeaderBytes)
  // Where nothing says whose log it is, the first frame does.
  const tag = origin !== undefined ? segmentTag({ ...origin, number }) : frameTag(frame)
  const known = typeof frame !== 'string' && frame.segmentTag === tag && frame.kind !== 'end'
  const firstSequence = known ? frame.sequence : undefined
  return { number, path, header: undefined, fault, firstSequence, tag, foreign: false }
}

function frameTag(frame: DecodedFrameHeader | string): number | undefined {
  return typeof frame === 'string' ? undefined : frame.segmentTag
}

function foreignHeader(
  path: string,
  number: number,
  header: DecodedSegmentHeader,
  origin: FileOrigin | undefined,
): Fault | undefined {
  const fault = (offset: number, expected: string, found: string): Fault => {
    return { kind: 'foreign', path, offset, expected, found }
  }
  if (header.number !== number) {
    return fault(12, `segment ${number}, as in the file's name`, `segment ${header.number}`)
  }
  if (origin === undefined) return undefined
  if (header.clusterId !== origin.clusterId) {
    return fault(16, `cluster ${origin.clusterId}`, `cluster ${header.clusterId}`)
  }
  if (header.incarnation === origin.incarnation) return undefined
  return fault(32, `incarnation ${origin.incarnation}`, `incarnation ${header.incarnation}`)
}

/** What has been found so far, segment by segment. */
class Survey {
  readonly faults: Fault[] = []
  readonly #take: GroupTaker
  readonly #segments: SegmentReport[] = []
  readonly #sound = new SequenceSet()
  #lastSequence = 0
  #openEnd = false
  /** The sequence that should come next, where the segment before tells. */
  #expected: number | undefined

  constructor(take: GroupTaker) {
    this.#take = take
  }

  result(starts: readonly Start[]): Omit<LogSurvey, 'unbegun' | 'spares' | 'lastNumber' | 'others'> {
    const { faults } = this
    const lastSequence = Math.max(this.#lastSequence, this.#sound.last)
    return {
      segments: this.#segments,
      faults,
      sound: this.#sound,
      lastSequence,
      startSequence: starts[0]?.firstSequence,
      nextSequence: this.#expected,
      openEnd: this.#openEnd,
    }
  }

  /** `next`: the segment of the next higher number that is there. */
  async segment(disk: Disk, start: Start, next: Start | undefined): Promise<void> {
    await reading(disk, start.path, async (file) => {
      const reader = await ChunkReader.over(file)
      if (start.foreign) {
        const none = { firstSequence: 0, lastSequence: 0, groups: 0, records: 0, tornAt: undefined }
        this.#segments.push({ path: start.path, bytes: reader.size, ...none })
        this.#expected = undefined
        this.#openEnd = true
        return
      }
      await this.#frames(reader, await ChunkReader.over(file), start, next)
    })
    if (next !== undefined && next.number !== start.number + 1) {
      const path = segmentPath(start.number + 1)
      const found = `no such file, and segment ${next.number} is there`
      this.faults.push({ kind: 'missing', path, offset: 0, expected: `log segment ${start.number + 1}`, found })
      this.#expected = undefined
    }
  }

  async #frames(reader: ChunkReader, scout: ChunkReader, start: Start, next: Start | undefined): Promise<void> {
    const { path, number, tag } = start
    const adjoins = next?.number === number + 1 && !next.foreign
    const endSequence = adjoins ? next.firstSequence : undefined
    const endCrc = adjoins ? next.header?.previousCrc : undefined
    const finder = new FrameFinder(reader, scout, { tag, endSequence, endCrc })
    let position = segmentHeaderBytes
    let sequence = start.firstSequence ?? this.#expected ?? 1
    let lastCrc: number | undefined = start.header?.headerCrc
    let tornAt: number | undefined
    const counts = { firstSequence: 0, lastSequence: 0, groups: 0, records: 0 }
    // Of the last segment: what an earlier one leaves open, a later one that can be read closes.
    this.#openEnd = false
    while (sequence !== endSequence) {
      const frame = await finder.frameAt(position, sequence)
      if (frame.sound && frame.header.kind === 'end') {
        this.#checkEnd(start, next, { position, sequence, endSequence })
        break
      }
      if (frame.sound) {
        this.#takeFrame(frame, { path, position }, counts)
        position += frameHeaderBytes + frame.header.payloadBytes
        lastCrc = frame.header.headerCrc
        sequence++
        continue
      }
      const behind = position + (frame.header === undefined ? 0 : frameHeaderBytes + frame.header.payloadBytes)
      const proof = await finder.proofOf(sequence, behind)
      if (endSequence === undefined && proof === undefined) {
        // Nothing proves that a frame was here: the log ends, or its last write was torn.
        if (behind > position || (await finder.holdsFrames(position))) tornAt = position
        break
      }
      const proven = proof === undefined ? 'a segment' : `frame ${proof.header.sequence} at byte ${proof.position}`
      const found = `${frame.found}, with ${proven} behind it`
      this.faults.push({ kind: 'damaged', path, offset: position, expected: `frame ${sequence} of the log`, found })
      this.#lastSequence = Math.max(this.#lastSequence, sequence)
      const resumed = await finder.resume(position, sequence, frame.header)
      if (resumed === undefined) {
        this.#openEnd = true
        break
      }
      ;({ position, sequence, lastCrc } = resumed)
    }
    if (endSequence !== undefined) {
      this.#lastSequence = Math.max(this.#lastSequence, endSequence - 1)
      if (sequence === endSequence) this.#checkChain(next!, number, lastCrc)
    }
    if (start.header === undefined && counts.lastSequence === 0) this.#openEnd = true
    this.#expected = endSequence ?? sequence
    this.#lastSequence = Math.max(this.#lastSequence, sequence - 1)
    this.#segments.push({ path, bytes: reader.size, ...counts, tornAt })
  }

  /** The mark that the log goes on elsewhere: does it? */
  #checkEnd(
    start: Start,
    next: Start | undefined,
    at: { readonly position: number; readonly sequence: number; readonly endSequence: number | undefined },
  ): void {
    const mark = `the mark that the log goes on in segment ${start.number + 1}`
    if (next === undefined) {
      this.#openEnd = true
      const path = segmentPath(start.number + 1)
      const found = `no such file, and ${mark} at byte ${at.position} of segment ${start.number}`
      this.faults.push({ kind: 'missing', path, offset: 0, expected: `log segment ${start.number + 1}`, found })
      return
    }
    if (at.endSequence === undefined) return
    const expected = `frame ${at.sequence} of the log`
    this.faults.push({ kind: 'damaged', path: start.path, offset: at.position, expected, found: mark })
  }

  #checkChain(next: Start, number: number, lastCrc: number | undefined): void {
    const { header, path } = next
    if (header === undefined || lastCrc === undefined || header.previousCrc === lastCrc) return
    const expected = `the checksum ${lastCrc} of segment ${number}'s last frame`
    this.faults.push({ kind: 'damaged', path, offset: 56, expected, found: `${header.previousCrc}` })
  }

  #takeFrame(
    frame: Extract<Awaited<ReturnType<FrameFinder['frameAt']>>, { sound: true }>,
    place: { readonly path: string; readonly position: number },
    counts: { firstSequence: number; lastSequence: number; groups: number; records: number },
  ): void {
    const { kind, sequence, records } = frame.header
    if (kind === 'group') {
      let decoded: readonly Entry[]
      try {
        decoded = decodeEntries(frame.payload, records)
      } catch (error) {
        if (!(error instanceof RecordFormatError)) throw error
        const expected = `the records of frame ${sequence}`
        this.faults.push({ kind: 'damaged', path: place.path, offset: place.position, expected, found: error.message })
        this.#lastSequence = Math.max(this.#lastSequence, sequence)
        return
      }
      this.#take(decoded, sequence)
      counts.groups++
      counts.records += records
    }
    this.#sound.add(sequence)
    if (counts.firstSequence === 0) counts.firstSequence = sequence
    counts.lastSequence = sequence
  }
}

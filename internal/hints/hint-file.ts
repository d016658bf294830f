import { assert, type ClusterId, type Incarnation, parseClusterId, parseIncarnation } from '../base/index.js'
import { type Disk, type DiskFile, writeFully } from '../env/index.js'
import { crc32 } from '../hash/index.js'
import { decodeRecords, RecordFormatError, type StoredRecord } from '../record/index.js'
import {
  ChunkReader,
  decodeFrameHeader,
  directoryOf,
  encodeFrameHeader,
  frameHeaderBytes,
  readHex16,
  segmentTag,
  writeHex16,
} from '../wal/index.js'

/*
 * FORMAT.md, "Hints". Do not change: it is on disks. The frames are those of the log.
 */

/** For whom the hints in a file are, and which of that member's files it is. */
export interface HintFileIdentity {
  readonly clusterId: ClusterId
  /** Of the member that the hints are for: a wiped member is owed nothing. */
  readonly incarnation: Incarnation
  /** From 1, rising. */
  readonly number: number
}

export const hintHeaderBytes = 64
const hintFormatVersion = 1
// "QKVHINT\n"
const magic = Uint8Array.of(0x51, 0x4b, 0x56, 0x48, 0x49, 0x4e, 0x54, 0x0a)
const reservedFrom = 48
const crcAt = 60

function encodeHintHeader({ clusterId, incarnation, number }: HintFileIdentity): Uint8Array {
  const bytes = new Uint8Array(hintHeaderBytes)
  const view = new DataView(bytes.buffer)
  bytes.set(magic)
  view.setUint32(8, hintFormatVersion, true)
  view.setUint32(12, number, true)
  writeHex16(clusterId, bytes, 16)
  writeHex16(incarnation, bytes, 32)
  view.setUint32(crcAt, crc32(bytes, 0, crcAt), true)
  return bytes
}

/** Reads a header, or says what is wrong with it. */
function decodeHintHeader(from: Uint8Array): HintFileIdentity | string {
  if (from.length < hintHeaderBytes) return `a file of ${from.length} bytes`
  const view = new DataView(from.buffer, from.byteOffset, hintHeaderBytes)
  for (let i = 0; i < magic.length; i++) if (from[i] !== magic[i]) return 'another kind of file'
  if (view.getUint32(crcAt, true) !== crc32(from, 0, crcAt)) return 'a header with a wrong checksum'
  const version = view.getUint32(8, true)
  if (version !== hintFormatVersion) return `format version ${version}`
  for (let i = reservedFrom; i < crcAt; i++) if (from[i] !== 0) return `a reserved byte ${from[i]} at ${i}`
  const clusterId = parseClusterId(readHex16(from, 16))
  const incarnation = parseIncarnation(readHex16(from, 32))
  return { clusterId, incarnation, number: view.getUint32(12, true) }
}

function flawOfHeader(from: Uint8Array, { clusterId, incarnation, number }: HintFileIdentity): string | undefined {
  const header = decodeHintHeader(from)
  if (typeof header === 'string') return header
  const own = header.clusterId === clusterId && header.incarnation === incarnation && header.number === number
  return own ? undefined : `hints for ${header.incarnation} of cluster ${header.clusterId}, number ${header.number}`
}

/** The file of hints that is being written. Whatever fails here, fails with a DiskError, and the file is given up. */
export class HintFileWriter {
  readonly path: string
  readonly number: number
  readonly #disk: Disk
  readonly #directory: string
  readonly #file: DiskFile
  readonly #tag: number
  #end = hintHeaderBytes
  #frames = 0
  #synced = 0
  #named = false

  private constructor(disk: Disk, directory: string, file: DiskFile, identity: HintFileIdentity) {
    this.#disk = disk
    this.#directory = directory
    this.#file = file
    this.#tag = segmentTag(identity)
    this.path = file.path
    this.number = identity.number
  }

  /** Begins a file; a crash leaves it, a part of it, or nothing. */
  static async create(
    disk: Disk,
    directory: string,
    path: string,
    identity: HintFileIdentity,
  ): Promise<HintFileWriter> {
    await disk.makeDirectory(directory)
    const file = await disk.open(path, 'create')
    try {
      await writeFully(file, encodeHintHeader(identity), 0)
    } catch (error) {
      await file.close()
      throw error
    }
    return new HintFileWriter(disk, directory, file, identity)
  }

  /** Of what was written. */
  get bytes(): number {
    return this.#end
  }

  /** Writes one frame: `frame` has room for its header in front of the records, and is given away. Not durable yet. */
  async append(frame: Uint8Array, records: number): Promise<void> {
    const sequence = this.#frames + 1
    const header = {
      kind: 'group' as const,
      payloadBytes: frame.length - frameHeaderBytes,
      sequence,
      segmentTag: this.#tag,
      records,
      unsynced: this.#frames - this.#synced,
      payloadCrc: crc32(frame, frameHeaderBytes),
    }
    encodeFrameHeader(header, frame, 0)
    await writeFully(this.#file, frame, this.#end)
    this.#frames = sequence
    this.#end += frame.length
  }

  /** Makes everything written so far durable, the file's name included. */
  async sync(): Promise<void> {
    const frames = this.#frames
    if (this.#named && frames === this.#synced) return
    await this.#file.sync()
    if (!this.#named) {
      // The directories above may be as young as the file.
      for (let path = this.#directory; path !== '.'; path = directoryOf(path)) await this.#disk.syncDirectory(path)
      await this.#disk.syncDirectory('.')
    }
    this.#named = true
    this.#synced = frames
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

/** One frame of hints. */
export interface HintPage {
  /** Their bytes are the reader's, and good until it reads the next page. */
  readonly records: readonly StoredRecord[]
  readonly bytes: number
}

/**
 * Reads the hints of a file, frame by frame, up to its end or to the first frame that does not check. Frames are not
 * made durable one by one, so a torn write and rot look alike: what is behind either is not read, and who wanted it gets
 * it from anti-entropy.
 */
export class HintFileReader {
  readonly #file: DiskFile
  readonly #chunks: ChunkReader
  readonly #tag: number
  /** Where the next frame begins. */
  position: number
  /** Why the file ends at `position`; empty: it does not yet, or it is its proper end. */
  flaw = ''

  private constructor(file: DiskFile, chunks: ChunkReader, tag: number, position: number) {
    this.#file = file
    this.#chunks = chunks
    this.#tag = tag
    this.position = position
  }

  /** Opens a file at its start, or where an earlier reader stood; says why where it is no such file. Throws DiskErrors. */
  static async open(
    disk: Disk,
    path: string,
    identity: HintFileIdentity,
    position: number = hintHeaderBytes,
  ): Promise<HintFileReader | string> {
    assert(position >= hintHeaderBytes, `${path} has no frame at ${position}`)
    const file = await disk.open(path, 'read')
    let reader: HintFileReader | undefined
    try {
      const chunks = await ChunkReader.over(file)
      const flaw = flawOfHeader(await chunks.view(0, hintHeaderBytes), identity)
      if (flaw !== undefined) return flaw
      reader = new HintFileReader(file, chunks, segmentTag(identity), position)
      return reader
    } finally {
      if (reader === undefined) await file.close()
    }
  }

  /** The next frame; undefined: there is none, and `flaw` says whether there should be. Throws DiskErrors. */
  async next(): Promise<HintPage | undefined> {
    const at = this.position
    if (at >= this.#chunks.size) return undefined
    const header = decodeFrameHeader(await this.#chunks.view(at, frameHeaderBytes), 0)
    if (typeof header === 'string') return this.#end(header)
    if (header.segmentTag !== this.#tag) return this.#end('a frame of another file')
    const payload = await this.#chunks.view(at + frameHeaderBytes, header.payloadBytes)
    if (payload.length < header.payloadBytes) return this.#end('the end of the file')
    if (crc32(payload) !== header.payloadCrc) return this.#end('a frame with a wrong checksum')
    try {
      const records = decodeRecords(payload, header.records)
      this.position = at + frameHeaderBytes + header.payloadBytes
      return { records, bytes: payload.length }
    } catch (error) {
      if (!(error instanceof RecordFormatError)) throw error
      return this.#end(error.message)
    }
  }

  #end(flaw: string): undefined {
    this.flaw = flaw
    return undefined
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

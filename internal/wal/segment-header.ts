import { type ClusterId, type Incarnation, parseClusterId, parseIncarnation } from '../base/index.js'
import { crc32 } from '../hash/index.js'
import type { HeaderLayout } from './newer-format.js'

/*
 * FORMAT.md, "Log segment". Do not change: it is on disks.
 */

export interface SegmentHeader {
  readonly clusterId: ClusterId
  readonly incarnation: Incarnation
  /** From 1, without gaps. */
  readonly number: number
  readonly firstSequence: number
  /** The header CRC of the previous segment's last frame; 0 in segment 1. */
  readonly previousCrc: number
}

/** What tells a segment from all others that ever were. */
export type SegmentIdentity = Pick<SegmentHeader, 'clusterId' | 'incarnation' | 'number'>

export interface DecodedSegmentHeader extends SegmentHeader {
  readonly headerCrc: number
  /** See `segmentTag`. */
  readonly tag: number
}

export const segmentHeaderBytes = 512
/** Written into each file that is bound to this layout, other than segments. */
export const formatVersion = 1
/** Of segments: in version 1 frames carried their segment's number instead of its tag. */
const segmentFormatVersion = 2

// "QKVLOG\r\n": the line end shows a transfer that has rewritten line ends.
const magic = Uint8Array.of(0x51, 0x4b, 0x56, 0x4c, 0x4f, 0x47, 0x0d, 0x0a)
const reservedFrom = 60
const crcAt = 508

/** For `refuseNewerFormat`. */
export const segmentLayout: HeaderLayout = { magic, crcAt, newest: segmentFormatVersion }

/** Writes 16 bytes given as 32 hex digits. */
export function writeHex16(hex: string, into: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++) into[at + i] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16)
}

/** 16 bytes as 32 hex digits. */
export function readHex16(from: Uint8Array, at: number): string {
  let hex = ''
  for (let i = 0; i < 16; i++) hex += from[at + i]!.toString(16).padStart(2, '0')
  return hex
}

/**
 * What the frames of a segment carry. The number alone would do for what a recycled file's former life has left, because
 * numbers only rise; with cluster and incarnation a frame from any other log, in a file that was brought here or in
 * somebody's value, is told apart too (RocksDB's recyclable log records carry the log's number for the same reason).
 */
export function segmentTag({ clusterId, incarnation, number }: SegmentIdentity): number {
  const bytes = new Uint8Array(36)
  new DataView(bytes.buffer).setUint32(0, number, true)
  writeHex16(clusterId, bytes, 4)
  writeHex16(incarnation, bytes, 20)
  return crc32(bytes)
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(segmentHeaderBytes)
  const view = new DataView(bytes.buffer)
  bytes.set(magic)
  view.setUint32(8, segmentFormatVersion, true)
  view.setUint32(12, header.number, true)
  writeHex16(header.clusterId, bytes, 16)
  writeHex16(header.incarnation, bytes, 32)
  view.setUint32(48, header.firstSequence % 2 ** 32, true)
  view.setUint32(52, Math.floor(header.firstSequence / 2 ** 32), true)
  view.setUint32(56, header.previousCrc, true)
  view.setUint32(crcAt, crc32(bytes, 0, crcAt), true)
  return bytes
}

/** Reads a header, or says what is wrong with it. */
export function decodeSegmentHeader(from: Uint8Array): DecodedSegmentHeader | string {
  if (from.length < segmentHeaderBytes) return `a file of ${from.length} bytes`
  const view = new DataView(from.buffer, from.byteOffset, segmentHeaderBytes)
  for (let i = 0; i < magic.length; i++) if (from[i] !== magic[i]) return 'another kind of file'
  const headerCrc = view.getUint32(crcAt, true)
  if (headerCrc !== crc32(from, 0, crcAt)) return 'a wrong checksum'
  const version = view.getUint32(8, true)
  if (version !== segmentFormatVersion) return `format version ${version}`
  for (let i = reservedFrom; i < crcAt; i++) if (from[i] !== 0) return `a reserved byte ${from[i]} at ${i}`
  const number = view.getUint32(12, true)
  const clusterId = parseClusterId(readHex16(from, 16))
  const incarnation = parseIncarnation(readHex16(from, 32))
  return {
    clusterId,
    incarnation,
    number,
    tag: segmentTag({ clusterId, incarnation, number }),
    firstSequence: view.getUint32(48, true) + view.getUint32(52, true) * 2 ** 32,
    previousCrc: view.getUint32(56, true),
    headerCrc,
  }
}

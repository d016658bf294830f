import { limits } from '../base/index.js'
import { crc32 } from '../hash/index.js'

/*
 * FORMAT.md, "Frame". Do not change: it is on disks.
 */

/** `group` carries records; `seal` proves that the frame before it was durable; `end` points to the next segment. */
export type FrameKind = 'group' | 'seal' | 'end'

export interface FrameHeader {
  readonly kind: FrameKind
  readonly payloadBytes: number
  readonly sequence: number
  /** Of the segment that it was written into (`segmentTag`): elsewhere it is no frame. */
  readonly segmentTag: number
  readonly records: number
  /** Frames just before this one that were not known to be durable when it was written. */
  readonly unsynced: number
  readonly payloadCrc: number
}

export interface DecodedFrameHeader extends FrameHeader {
  /** Stands for this frame in the next segment's header. */
  readonly headerCrc: number
}

export const frameHeaderBytes = 40
/** The first byte of a frame, for whoever looks for one. */
export const frameMagicFirstByte = 0xf1

const magic = 0x0a564bf1
const kinds: readonly FrameKind[] = ['group', 'seal', 'end']

function viewOf(bytes: Uint8Array, at: number): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + at, frameHeaderBytes)
}

/** Writes `header` at `at`; returns its CRC. */
export function encodeFrameHeader(header: FrameHeader, into: Uint8Array, at: number): number {
  const view = viewOf(into, at)
  view.setUint32(0, magic, true)
  view.setUint32(4, header.payloadBytes, true)
  view.setUint32(8, header.sequence % 2 ** 32, true)
  view.setUint32(12, Math.floor(header.sequence / 2 ** 32), true)
  view.setUint32(16, header.segmentTag, true)
  view.setUint32(20, header.records, true)
  view.setUint16(24, kinds.indexOf(header.kind) + 1, true)
  view.setUint16(26, 0, true)
  view.setUint32(28, header.unsynced, true)
  view.setUint32(32, header.payloadCrc, true)
  const headerCrc = crc32(into, at, at + frameHeaderBytes - 4)
  view.setUint32(36, headerCrc, true)
  return headerCrc
}

/** Reads the header at `at`; says what is wrong where there is none. Its length is below the cap. */
export function decodeFrameHeader(from: Uint8Array, at: number): DecodedFrameHeader | string {
  if (at + frameHeaderBytes > from.length) return 'the end of the file'
  const view = viewOf(from, at)
  const found = view.getUint32(0, true)
  if (found !== magic) return found === 0 ? 'zeros' : 'bytes that start no frame'
  const headerCrc = view.getUint32(36, true)
  if (headerCrc !== crc32(from, at, at + frameHeaderBytes - 4)) return 'a frame header with a wrong checksum'
  const kind = kinds[view.getUint16(24, true) - 1]
  const payloadBytes = view.getUint32(4, true)
  const records = view.getUint32(20, true)
  if (kind === undefined || view.getUint16(26, true) !== 0) return 'a frame of an unknown kind'
  if (payloadBytes > limits.logFrameBytesMax) return `a frame of ${payloadBytes} bytes, above the limit`
  if ((payloadBytes === 0) !== (records === 0)) return `a frame of ${payloadBytes} bytes with ${records} records`
  if ((kind === 'group') !== payloadBytes > 0) return `a frame of kind "${kind}" of ${payloadBytes} bytes`
  return {
    kind,
    payloadBytes,
    sequence: view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32,
    segmentTag: view.getUint32(16, true),
    records,
    unsynced: view.getUint32(28, true),
    payloadCrc: view.getUint32(32, true),
    headerCrc,
  }
}

/** Whether this frame could only be written after frame `sequence` had become durable. */
export function provesDurable(frame: FrameHeader, sequence: number): boolean {
  return frame.sequence - 1 - frame.unsynced >= sequence
}

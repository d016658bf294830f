import { type ClusterId, type Incarnation, limits } from '../../base/index.js'
import { crc32 } from '../../hash/index.js'
import type { Version } from '../../hlc/index.js'
import { slotCount } from '../../slots/index.js'
import { formatVersion, type HeaderLayout, readHex16, writeHex16 } from '../../wal/index.js'

/*
 * FORMAT.md, "Snapshot". Do not change: it is on disks.
 */

export const snapshotHeaderBytes = 64
export const blockHeaderBytes = 32
export const snapshotFooterBytes = 64

// "QKVSNAP\n" and "QKVSNAP\xf3"
const headerMagic = Uint8Array.of(0x51, 0x4b, 0x56, 0x53, 0x4e, 0x41, 0x50, 0x0a)
const footerMagic = Uint8Array.of(0x51, 0x4b, 0x56, 0x53, 0x4e, 0x41, 0x50, 0xf3)
const blockMagic = 0x0a564bf2

/** For `refuseNewerFormat`. */
export const snapshotLayout: HeaderLayout = { magic: headerMagic, crcAt: 60, newest: formatVersion }

export interface SnapshotHeader {
  readonly clusterId: ClusterId
  readonly incarnation: Incarnation
  readonly sequence: number
}

export interface BlockHeader {
  readonly payloadBytes: number
  readonly number: number
  readonly slot: number
  readonly records: number
  readonly payloadCrc: number
}

export interface DecodedBlockHeader extends BlockHeader {
  readonly headerCrc: number
}

export interface SnapshotFooter {
  readonly blocks: number
  /** See `chainCrc`. */
  readonly chain: number
  readonly records: number
  readonly fileBytes: number
  readonly sequence: number
  readonly highest: Version
}

function viewOf(bytes: Uint8Array, at: number, length: number): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + at, length)
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true)
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
}

function getU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
}

function startsWithMagic(bytes: Uint8Array, magic: Uint8Array): boolean {
  for (let i = 0; i < magic.length; i++) if (bytes[i] !== magic[i]) return false
  return true
}

export function encodeSnapshotHeader(header: SnapshotHeader): Uint8Array {
  const bytes = new Uint8Array(snapshotHeaderBytes)
  const view = viewOf(bytes, 0, snapshotHeaderBytes)
  bytes.set(headerMagic)
  view.setUint32(8, formatVersion, true)
  writeHex16(header.clusterId, bytes, 16)
  writeHex16(header.incarnation, bytes, 32)
  setU64(view, 48, header.sequence)
  view.setUint32(60, crc32(bytes, 0, 60), true)
  return bytes
}

/** Reads a header, or says what is wrong with it. */
export function decodeSnapshotHeader(from: Uint8Array): SnapshotHeader | string {
  if (from.length < snapshotHeaderBytes) return `a file of ${from.length} bytes`
  if (!startsWithMagic(from, headerMagic)) return 'another kind of file'
  const view = viewOf(from, 0, snapshotHeaderBytes)
  if (view.getUint32(60, true) !== crc32(from, 0, 60)) return 'a header with a wrong checksum'
  const version = view.getUint32(8, true)
  if (version !== formatVersion) return `format version ${version}`
  if (view.getUint32(12, true) !== 0 || view.getUint32(56, true) !== 0) return 'reserved bytes that are not zero'
  return {
    clusterId: readHex16(from, 16) as ClusterId,
    incarnation: readHex16(from, 32) as Incarnation,
    sequence: getU64(view, 48),
  }
}

/** Writes a block's header at `at`; returns its CRC, for `chainCrc`. */
export function encodeBlockHeader(header: BlockHeader, into: Uint8Array, at: number): number {
  const view = viewOf(into, at, blockHeaderBytes)
  view.setUint32(0, blockMagic, true)
  view.setUint32(4, header.payloadBytes, true)
  view.setUint32(8, header.number, true)
  view.setUint32(12, header.slot, true)
  view.setUint32(16, header.records, true)
  view.setUint32(20, header.payloadCrc, true)
  view.setUint32(24, 0, true)
  const headerCrc = crc32(into, at, at + blockHeaderBytes - 4)
  view.setUint32(28, headerCrc, true)
  return headerCrc
}

/** Reads a block's header, undefined where the footer starts, or what is wrong. Its length is below the cap. */
export function decodeBlockHeader(from: Uint8Array): DecodedBlockHeader | string | undefined {
  if (from.length < blockHeaderBytes) return 'the end of the file'
  if (startsWithMagic(from, footerMagic)) return undefined
  const view = viewOf(from, 0, blockHeaderBytes)
  if (view.getUint32(0, true) !== blockMagic) return 'bytes that start no block'
  const headerCrc = view.getUint32(28, true)
  if (headerCrc !== crc32(from, 0, 28)) return 'a block header with a wrong checksum'
  const payloadBytes = view.getUint32(4, true)
  const slot = view.getUint32(12, true)
  if (payloadBytes > limits.snapshotBlockBytesMax) return `a block of ${payloadBytes} bytes, above the limit`
  if (slot >= slotCount || view.getUint32(24, true) !== 0) return `a block of slot ${slot}`
  return {
    payloadBytes,
    number: view.getUint32(8, true),
    slot,
    records: view.getUint32(16, true),
    payloadCrc: view.getUint32(20, true),
    headerCrc,
  }
}

/** The checksum over the header checksums of all blocks so far; 0 before the first. */
export function chainCrc(chain: number, headerCrc: number): number {
  const bytes = Uint8Array.of(headerCrc, headerCrc >>> 8, headerCrc >>> 16, headerCrc >>> 24)
  return crc32(bytes, 0, 4, chain)
}

export function encodeSnapshotFooter(footer: SnapshotFooter): Uint8Array {
  const bytes = new Uint8Array(snapshotFooterBytes)
  const view = viewOf(bytes, 0, snapshotFooterBytes)
  bytes.set(footerMagic)
  view.setUint32(8, footer.blocks, true)
  view.setUint32(12, footer.chain, true)
  setU64(view, 16, footer.records)
  setU64(view, 24, footer.fileBytes)
  setU64(view, 32, footer.sequence)
  view.setUint32(40, footer.highest.hi, true)
  view.setUint32(44, footer.highest.lo, true)
  view.setUint32(48, footer.highest.node, true)
  view.setUint32(60, crc32(bytes, 0, 60), true)
  return bytes
}

/** Reads a footer, or says what is wrong with it. */
export function decodeSnapshotFooter(from: Uint8Array): SnapshotFooter | string {
  if (from.length < snapshotFooterBytes) return 'a footer that is cut short'
  if (!startsWithMagic(from, footerMagic)) return 'bytes that are no footer'
  const view = viewOf(from, 0, snapshotFooterBytes)
  if (view.getUint32(60, true) !== crc32(from, 0, 60)) return 'a footer with a wrong checksum'
  return {
    blocks: view.getUint32(8, true),
    chain: view.getUint32(12, true),
    records: getU64(view, 16),
    fileBytes: getU64(view, 24),
    sequence: getU64(view, 32),
    highest: { hi: view.getUint32(40, true), lo: view.getUint32(44, true), node: view.getUint32(48, true) },
  }
}

import type { ClusterId } from '../base/index.js'
import { crc32 } from '../hash/index.js'
import { readHex16, writeHex16 } from '../wal/index.js'

/*
 * FORMAT.md, "Backup". Do not change: it is on disks. Behind the header come blocks as in a snapshot.
 */
export const segmentHeaderBytes = 64
/** Of segments and manifests. */
export const backupFormat = 1

// "QKVBACK\n"
const magic = Uint8Array.of(0x51, 0x4b, 0x56, 0x42, 0x41, 0x43, 0x4b, 0x0a)

/** Of which backup a segment is. */
export interface SegmentOrigin {
  readonly clusterId: ClusterId
  /** Of the backup: 32 hex digits. */
  readonly id: string
  /** From 1. */
  readonly segment: number
}

export function encodeBackupHeader({ clusterId, id, segment }: SegmentOrigin): Uint8Array {
  const bytes = new Uint8Array(segmentHeaderBytes)
  const view = new DataView(bytes.buffer)
  bytes.set(magic)
  view.setUint32(8, backupFormat, true)
  view.setUint32(12, segment, true)
  writeHex16(clusterId, bytes, 16)
  writeHex16(id, bytes, 32)
  view.setUint32(60, crc32(bytes, 0, 60), true)
  return bytes
}

/** What is wrong with a header where one of `origin` is expected; a number: it is of this format, a later one; undefined: nothing. */
export function faultInHeader(from: Uint8Array, origin: SegmentOrigin): string | number | undefined {
  if (from.length < segmentHeaderBytes) return `a file of ${from.length} bytes`
  for (let i = 0; i < magic.length; i++) if (from[i] !== magic[i]) return 'another kind of file'
  const view = new DataView(from.buffer, from.byteOffset, from.length)
  if (view.getUint32(60, true) !== crc32(from, 0, 60)) return 'a header with a wrong checksum'
  const version = view.getUint32(8, true)
  if (version > backupFormat) return version
  if (version !== backupFormat) return `format ${version}`
  const expected = encodeBackupHeader(origin)
  for (let i = 0; i < segmentHeaderBytes; i++) {
    if (from[i] !== expected[i]) return `segment ${view.getUint32(12, true)} of backup ${readHex16(from, 32)}`
  }
  return undefined
}

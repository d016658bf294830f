import { parseClusterId, parseIncarnation, type Slot } from '@quorumkv/internal/base'
import { crc32 } from '@quorumkv/internal/hash'
import {
  decodeEntries,
  type Entry,
  encodedFloorBytes,
  encodedRecordBytes,
  encodeFloor,
  encodeRecord,
  isFloor,
} from '@quorumkv/internal/record'
import { decodeFrameHeader, encodeFrameHeader, frameHeaderBytes } from '@quorumkv/internal/wal'
import { HintFileReader, HintFileWriter } from '../../internal/hints/hint-file.js'
import { snapshotLayout } from '../../internal/store/snapshot/snapshot-format.js'
import { readSnapshot } from '../../internal/store/snapshot/snapshot-reader.js'
import { SnapshotWriter } from '../../internal/store/snapshot/snapshot-writer.js'
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  segmentHeaderBytes,
  segmentLayout,
  segmentTag,
} from '../../internal/wal/segment-header.js'
import { diskWith, emptyDisk, readFile } from './disk.js'
import type { GoldenFormat } from './golden.js'

const clusterId = parseClusterId('0123456789abcdef0123456789abcdef')
const incarnation = parseIncarnation('fedcba9876543210fedcba9876543210')
const text = new TextEncoder()
const stamped = { hi: 0x0001_8bcf, lo: 0xe568_0007, node: 3 }

// A record of each kind.
const written: Entry = {
  ...stamped,
  key: text.encode('written'),
  tombstone: false,
  expiresAtMs: 0,
  value: text.encode('a value'),
}
const expiring: Entry = {
  ...stamped,
  lo: stamped.lo + 1,
  key: text.encode('expires'),
  tombstone: false,
  expiresAtMs: 1_800_000_000_000,
  value: text.encode('later'),
}
const deleted: Entry = {
  ...stamped,
  lo: stamped.lo + 2,
  key: text.encode('deleted'),
  tombstone: true,
  expiresAtMs: 0,
  value: new Uint8Array(0),
}
const expired: Entry = { ...deleted, lo: stamped.lo + 3, key: text.encode('expired'), expiresAtMs: 1_700_000_000_000 }
const floor: Entry = { slot: 17 as Slot, floorMs: 1_700_000_000_000 }
const emptied: Entry = { slot: 4_095 as Slot, floorMs: 0, empties: true }

function entryBytes(entry: Entry): number {
  return isFloor(entry) ? encodedFloorBytes : encodedRecordBytes(entry)
}

function encodeEntries(entries: readonly Entry[]): Uint8Array {
  const bytes = new Uint8Array(entries.reduce((sum, entry) => sum + entryBytes(entry), 0))
  let at = 0
  for (const entry of entries) {
    if (isFloor(entry)) encodeFloor(entry, bytes, at)
    else encodeRecord(entry, bytes, at)
    at += entryBytes(entry)
  }
  return bytes
}

interface Frame {
  readonly kind: 'group' | 'seal' | 'end'
  readonly sequence: number
  readonly unsynced: number
  readonly entries: readonly Entry[]
}

function encodeFrame({ kind, sequence, unsynced, entries }: Frame, tag: number): Uint8Array {
  const payload = encodeEntries(entries)
  const bytes = new Uint8Array(frameHeaderBytes + payload.length)
  bytes.set(payload, frameHeaderBytes)
  const records = entries.length
  const header = { kind, sequence, segmentTag: tag, records, unsynced, payloadBytes: payload.length }
  encodeFrameHeader({ ...header, payloadCrc: crc32(payload) }, bytes, 0)
  return bytes
}

interface Segment {
  readonly number: number
  readonly firstSequence: number
  readonly previousCrc: number
  readonly frames: readonly Frame[]
}

function encodeSegment({ frames, ...rest }: Segment): Uint8Array {
  const header = { clusterId, incarnation, ...rest }
  return Buffer.concat([encodeSegmentHeader(header), ...frames.map((frame) => encodeFrame(frame, segmentTag(header)))])
}

function decodeSegment(bytes: Uint8Array): Segment & { readonly tag: number } {
  const header = decodeSegmentHeader(bytes)
  if (typeof header === 'string') throw new Error(header)
  const frames: Frame[] = []
  for (let at = segmentHeaderBytes; at < bytes.length; ) {
    const frame = decodeFrameHeader(bytes, at)
    if (typeof frame === 'string') throw new Error(`${frame} at ${at}`)
    if (frame.segmentTag !== header.tag) throw new Error(`a frame of another segment at ${at}`)
    const start = at + frameHeaderBytes
    at = start + frame.payloadBytes
    const payload = bytes.subarray(start, at)
    if (crc32(payload) !== frame.payloadCrc) throw new Error(`a payload with a wrong checksum at ${start}`)
    const { kind, sequence, unsynced, records } = frame
    frames.push({ kind, sequence, unsynced, entries: decodeEntries(payload, records) })
  }
  const { number, firstSequence, previousCrc, tag } = header
  return { number, firstSequence, previousCrc, tag, frames }
}

/** FORMAT.md, "Log segment", "Frame", "Record" and "Floor". */
export const logSegments: GoldenFormat = {
  name: 'log-segment',
  version: segmentLayout.newest,
  // Version 1 was never released.
  oldest: 2,
  versionAt: 8,
  samples: {
    first: {
      write: () =>
        encodeSegment({
          number: 1,
          firstSequence: 1,
          previousCrc: 0,
          frames: [
            { kind: 'group', sequence: 1, unsynced: 0, entries: [written, expiring, deleted, expired] },
            { kind: 'seal', sequence: 2, unsynced: 0, entries: [] },
            { kind: 'group', sequence: 3, unsynced: 0, entries: [floor, emptied] },
            { kind: 'end', sequence: 4, unsynced: 0, entries: [] },
          ],
        }),
      read: decodeSegment,
      again: encodeSegment,
    },
    'later-without-syncs': {
      write: () =>
        encodeSegment({
          number: 4_294_967_295,
          firstSequence: 2 ** 40 + 5,
          previousCrc: 0xdead_beef,
          frames: [{ kind: 'group', sequence: 2 ** 40 + 5, unsynced: 2, entries: [written] }],
        }),
      read: decodeSegment,
      again: encodeSegment,
    },
  },
}

interface Block {
  readonly slot: Slot
  readonly entries: readonly Entry[]
}

const origin = { clusterId, incarnation, sequence: 4_711 }
const snapshotPath = 'snapshots/0000000000004711.snapshot'

/** One block for each slot: what is in it is small. */
async function encodeSnapshot(blocks: readonly Block[]): Promise<Uint8Array> {
  const disk = emptyDisk()
  await disk.makeDirectory('snapshots')
  const file = await disk.open(snapshotPath, 'create')
  const writer = new SnapshotWriter(file, origin)
  for (const { slot, entries } of blocks) {
    const floorMs = entries.find(isFloor)?.floorMs ?? 0
    writer.addSlot(slot, floorMs, (_, visit) => {
      for (const entry of entries) if (!isFloor(entry)) visit(entry)
    })
  }
  await writer.finish({ hi: 0x0001_8bcf, lo: 0xe568_0009, node: 3 })
  await file.close()
  return readFile(disk, snapshotPath)
}

async function decodeSnapshot(bytes: Uint8Array): Promise<Block[]> {
  const blocks: Block[] = []
  await readSnapshot(await diskWith(snapshotPath, bytes), snapshotPath, origin, (payload, records, slot) =>
    blocks.push({ slot, entries: decodeEntries(Uint8Array.from(payload), records) }),
  )
  return blocks
}

/** FORMAT.md, "Snapshot". */
export const snapshots: GoldenFormat = {
  name: 'snapshot',
  version: snapshotLayout.newest,
  oldest: 1,
  versionAt: 8,
  samples: {
    small: {
      write: () =>
        encodeSnapshot([
          { slot: 3 as Slot, entries: [written, expiring, deleted] },
          { slot: 17 as Slot, entries: [expired, floor] },
        ]),
      read: decodeSnapshot,
      again: encodeSnapshot,
    },
    empty: { write: () => encodeSnapshot([]), read: decodeSnapshot, again: encodeSnapshot },
  },
}

const hintsOf = { clusterId, incarnation, number: 17 }

async function encodeHints(groups: readonly (readonly Entry[])[]): Promise<Uint8Array> {
  const disk = emptyDisk()
  const path = 'hints/n2/0000000017.hints'
  await disk.makeDirectory('hints')
  const writer = await HintFileWriter.create(disk, 'hints/n2', path, hintsOf)
  for (const entries of groups) {
    const payload = encodeEntries(entries)
    const frame = new Uint8Array(frameHeaderBytes + payload.length)
    frame.set(payload, frameHeaderBytes)
    await writer.append(frame, entries.length)
  }
  await writer.close()
  return readFile(disk, path)
}

async function decodeHints(bytes: Uint8Array): Promise<Entry[][]> {
  const path = 'hints/n2/0000000017.hints'
  const reader = await HintFileReader.open(await diskWith(path, bytes), path, hintsOf)
  if (typeof reader === 'string') throw new Error(reader)
  const groups: Entry[][] = []
  for (let page = await reader.next(); page !== undefined; page = await reader.next()) groups.push([...page.records])
  await reader.close()
  if (reader.flaw !== '') throw new Error(reader.flaw)
  return groups
}

/** FORMAT.md, "Hints". */
export const hints: GoldenFormat = {
  name: 'hints',
  version: 1,
  oldest: 1,
  versionAt: 8,
  samples: {
    two: { write: () => encodeHints([[written, deleted], [expiring]]), read: decodeHints, again: encodeHints },
  },
}

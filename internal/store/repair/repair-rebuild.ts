import { limits, type Slot } from '../../base/index.js'
import { type Disk, writeFully } from '../../env/index.js'
import { decodeEntries, type Entry, type Floor, isFloor, type StoredRecord } from '../../record/index.js'
import { slotCount, slotOf } from '../../slots/index.js'
import {
  createDurably,
  encodeSegmentHeader,
  type FileOrigin,
  logDirectory,
  segmentPath,
  surveyLog,
} from '../../wal/index.js'
import { Highest } from '../highest.js'
import { snapshotDirectory, snapshotPath } from '../snapshot/snapshot-files.js'
import { readSnapshot } from '../snapshot/snapshot-reader.js'
import { SnapshotWriter } from '../snapshot/snapshot-writer.js'
import { Table } from '../table/table.js'
import { applyFloor } from '../table/table-floors.js'
import type { MemberIdentity, Move } from './repair-journal.js'
import { surveySnapshot } from './verify-snapshot.js'

/** What a store is made anew from. */
export interface RebuildSources {
  /** Whose the files are. */
  readonly origin: FileOrigin
  /** The newest sound snapshot; undefined: none is. */
  readonly base: number | undefined
  /** Damaged snapshots from which the sound blocks are taken: all that are newer than `base`. */
  readonly salvaged: readonly number[]
  /**
   * By slot: what a snapshot of this sequence does not hold was dropped for good; 0: the log has all of the slot, from its
   * beginning; -1: nothing has.
   */
  readonly wholeSince: Float64Array
  /** Slots that are lost afterwards. */
  readonly lost: readonly Slot[]
}

export interface RebuildTarget {
  readonly identity: MemberIdentity
  /** Of the new snapshot: above everything that there was. */
  readonly sequence: number
  /** Number of the new segment: above everything that there was. */
  readonly segment: number
}

/** The old files are still in place and the new ones have no names of their own yet. */
export interface Rebuilt {
  /** Live keys and tombstones. */
  readonly records: number
  /** Give the new files their names. */
  readonly moves: readonly Move[]
}

// A node that starts removes what ends in `.tmp` here, so a repair that is cut short leaves nothing.
const newSnapshot = `${snapshotDirectory}/repair.tmp`
const newSegment = `${logDirectory}/repair.tmp`

/**
 * Merges everything that can be read and writes it as one snapshot with an empty log behind it. Merging is by
 * `compareRecords`, so it does not matter what came first, nor that much is read twice. Takes as much memory as the
 * node itself. Throws DiskErrors, and FatalError where a sync failed or the new snapshot does not read back.
 */
export async function rebuild(disk: Disk, sources: RebuildSources, target: RebuildTarget): Promise<Rebuilt> {
  const table = new Table()
  const highest = new Highest()
  await load(disk, sources, table, highest)
  const { sequence, segment } = target
  const { clusterId, incarnation } = target.identity
  await disk.makeDirectory(snapshotDirectory)
  await disk.makeDirectory(logDirectory)
  await createDurably(disk, `${newSnapshot}.tmp`, newSnapshot, async (file) => {
    const writer = new SnapshotWriter(file, { clusterId, incarnation, sequence })
    const scan = (slot: Slot, visit: (record: StoredRecord) => void): void => table.scanSlot(slot, visit)
    for (let slot = 0; slot < slotCount; slot++) {
      writer.addSlot(slot as Slot, table.floorMs(slot as Slot), scan)
      if (writer.bufferedBytes >= limits.snapshotSliceBytes) await writer.flush()
    }
    await writer.finish(highest.version)
  })
  await readSnapshot(disk, newSnapshot, { clusterId, incarnation, sequence }, () => undefined)
  const header = { clusterId, incarnation, number: segment, firstSequence: sequence + 1, previousCrc: 0 }
  await createDurably(disk, `${newSegment}.tmp`, newSegment, (file) => writeFully(file, encodeSegmentHeader(header), 0))
  return {
    records: table.entries + table.tombstones,
    moves: [
      { from: newSnapshot, to: snapshotPath(sequence) },
      { from: newSegment, to: segmentPath(segment) },
    ],
  }
}

async function load(disk: Disk, sources: RebuildSources, table: Table, highest: Highest): Promise<void> {
  const { origin, base, salvaged, wholeSince } = sources
  /** Takes records that no snapshot above sequence `upTo` has dropped, and floors as `applies` says. */
  const merge = (entries: readonly Entry[], upTo: number, applies: (floor: Floor) => boolean): void => {
    for (const entry of entries) {
      if (isFloor(entry)) {
        if (applies(entry)) applyFloor(table, entry)
        continue
      }
      if (upTo >= wholeSince[slotOf(entry.key)]!) table.merge(entry)
      highest.raise(entry)
    }
  }
  // A floor that was raised later than this generation of the slot comes with the log, behind what went before it.
  const from = (sequence: number) => (floor: Floor) => wholeSince[floor.slot] === sequence
  if (base !== undefined) {
    const decode = (payload: Uint8Array, count: number): void => merge(decodeEntries(payload, count), base, from(base))
    const { highest: seen } = await readSnapshot(disk, snapshotPath(base), { ...origin, sequence: base }, decode)
    highest.raise(seen)
  }
  for (const sequence of salvaged) {
    const take = (entries: readonly Entry[]): void => merge(entries, sequence, from(sequence))
    const { highest: seen } = await surveySnapshot(disk, sequence, origin, take)
    if (seen !== undefined) highest.raise(seen)
  }
  await surveyLog(disk, origin, (entries, sequence) => {
    // What a snapshot contains is older than it, and may since have been dropped for good.
    if (base === undefined || sequence > base) {
      merge(entries, sequence - 1, ({ slot, empties }) => {
        // What was dropped must not come back, not even into a slot that is lost.
        return sequence > wholeSince[slot]! && (wholeSince[slot] !== -1 || empties === true)
      })
    }
    table.compactStep(limits.compactionSliceBytes)
  })
  // They hold less than their floors promise, and what fills them again would be refused.
  for (const slot of sources.lost) table.setFloor(slot, 0)
}

import { FatalError, type Slot } from '../../base/index.js'
import { type Entry, type Floor, isFloor } from '../../record/index.js'
import { slotCount } from '../../slots/index.js'
import type { Highest } from '../highest.js'
import type { StoreOptions } from '../store.js'
import type { Table } from '../table/table.js'
import { isForeign, type SnapshotReport, surveySnapshot } from './verify-snapshot.js'

/** A state of the store from which, with the log behind it, all of a slot may be brought back. */
export interface Generation {
  /** Everything up to this frame of the log is in it. */
  readonly sequence: number
  /** Slots of which it may lack something. */
  readonly damagedSlots: ReadonlySet<Slot>
}

/** The empty store: behind it comes the whole log. */
export const emptyGeneration: Generation = { sequence: 0, damagedSlots: new Set() }

/**
 * For each slot the sequence of the newest of these generations that has all of it; -1: none has, the slot is lost.
 * Each of them must be one that the log goes on from without a gap. Newest first.
 */
export function wholeSince(generations: readonly Generation[]): Float64Array {
  const since = new Float64Array(slotCount).fill(-1)
  for (const { sequence, damagedSlots } of generations) {
    for (let slot = 0; slot < slotCount; slot++) {
      if (since[slot] === -1 && !damagedSlots.has(slot as Slot)) since[slot] = sequence
    }
  }
  return since
}

/** The slots that none of the generations has all of, in order. */
export function lostSlotsOf(since: Float64Array): Slot[] {
  const lost: Slot[] = []
  for (let slot = 0; slot < slotCount; slot++) if (since[slot] === -1) lost.push(slot as Slot)
  return lost
}

/** What has been brought back from damaged snapshots. */
export interface Salvaged {
  /** The log must be replayed behind this, the older of the snapshots that were used. */
  readonly after: number
  /** Records of a frame up to this one are in the table already, or are dropped for good; -1 in a lost slot. */
  readonly wholeSince: Float64Array
  /** In order. */
  readonly lost: readonly Slot[]
  /** The snapshots that were used. */
  readonly sequences: readonly number[]
}

/**
 * Brings back what can be of snapshots none of which is whole: a slot is when all of its blocks can be read in one of
 * them, because the log, which is sound or the node does not start, has everything behind it. So damage in different
 * slots of two generations costs nothing; a slot that is damaged in both is lost. `sequences`: newest first, each of
 * them reached by the log. Throws FatalError `corrupt` where none of them belongs to this store, and DiskErrors.
 */
export async function salvage(
  options: StoreOptions,
  sequences: readonly number[],
  table: Table,
  highest: Highest,
): Promise<Salvaged> {
  const { disk, clusterId, incarnation, log } = options
  const used: SnapshotReport[] = []
  for (const sequence of sequences) {
    const since = wholeSince(used)
    const floors: Floor[] = []
    const take = (entries: readonly Entry[], slot: Slot): void => {
      // A newer generation that has all of the slot has dropped for good what it does not have.
      if (since[slot] !== -1) return
      for (const entry of entries) {
        if (isFloor(entry)) {
          floors.push(entry)
        } else {
          table.merge(entry)
          highest.raise(entry)
        }
      }
    }
    const report = await surveySnapshot(disk, sequence, { clusterId, incarnation }, take)
    for (const { path, offset, expected, found } of report.faults) {
      log.error('a snapshot is damaged', { path, offset, expected, found })
    }
    if (isForeign(report)) continue
    // Of a slot that is not whole here an older generation and the log behind it say how its floor rose.
    for (const { slot, floorMs } of floors) if (!report.damagedSlots.has(slot)) table.setFloor(slot, floorMs)
    if (report.highest !== undefined) highest.raise(report.highest)
    used.push(report)
  }
  if (used.length === 0) throw new FatalError('corrupt', foreignOnly)
  const since = wholeSince(used)
  const lost = lostSlotsOf(since)
  return { after: used.at(-1)!.sequence, wholeSince: since, lost, sequences: used.map(({ sequence }) => sequence) }
}

const foreignOnly =
  'the snapshots of this data directory belong to another store, and its log does not reach back to its beginning: ' +
  'put back what belongs here, or run "kv-server repair" to go on with the log alone'

import { FatalError, type Slot } from '../base/index.js'
import { decodeFloor, decodeRecord, entryLengthAt, isFloorAt, RecordFormatError } from '../record/index.js'
import { slotOf } from '../slots/index.js'
import {
  corruption,
  type DecodedSegmentHeader,
  type LogDirectory,
  type LogTail,
  logDirectory,
  readLogDirectory,
  replayedBytes,
  replayLog,
  segmentPath,
  syncDirectory,
  type WalOptions,
} from '../wal/index.js'
import { Highest } from './highest.js'
import { LostSlots, lostSlotsContents, normalizeSlots, readLostDocument, writeLostSlots } from './lost-slots.js'
import { readManifest } from './manifest.js'
import { RecoveryProgress } from './recovery-progress.js'
import { salvage } from './repair/salvage.js'
import { readingAhead } from './snapshot/read-ahead.js'
import {
  listSnapshots,
  setAsideSnapshot,
  snapshotBytes,
  snapshotDirectory,
  snapshotPath,
} from './snapshot/snapshot-files.js'
import { readSnapshot } from './snapshot/snapshot-reader.js'
import type { SnapshotInfo, StoreOptions } from './store.js'
import { Table } from './table/table.js'
import { applyFloor } from './table/table-floors.js'

/** Everything that a store starts from. */
export interface Recovered {
  readonly table: Table
  readonly highest: Highest
  readonly tail: LogTail
  /** The snapshot that the table started from; undefined: none, or several damaged ones. */
  readonly snapshot: SnapshotInfo | undefined
  /** Sequences of the snapshots that are kept, newest first, `snapshot` the first of them. */
  readonly generations: readonly number[]
  /** Damaged snapshots, to be replaced by a fresh one soon; they are set aside already where nothing of them is needed. */
  readonly rotten: readonly number[]
  /** Everything in the log up to this frame is in the table: up to its end, whatever marks stand there. */
  readonly sequence: number
  /** The table is as `snapshot` left it: no group stands behind that. */
  readonly unchanged: boolean
  /** Bytes of groups that had to be replayed behind the snapshot. */
  readonly replayedBytes: number
  /** The document that says that data must be here exists. */
  readonly hasManifest: boolean
  readonly lost: LostSlots
  /**
   * Slots whose floor has been taken away in the table, because what is here is less than it promises; the log does not
   * say so yet.
   */
  readonly cleared: readonly Slot[]
}

interface Loaded {
  readonly table: Table
  readonly snapshot: SnapshotInfo | undefined
  readonly generations: readonly number[]
  /** The log is replayed behind this. */
  readonly after: number
  /** See `Salvaged`; undefined: everything behind `after` is missing in the table. */
  readonly wholeSince: Float64Array | undefined
  readonly lost: readonly number[]
  /** Snapshots that are damaged, newest first. */
  readonly damaged: readonly number[]
}

/**
 * Brings back what the directory holds: the newest snapshot that reads back, then the log behind it. A rotten snapshot
 * is passed over for the older one and the longer log that is kept with it. Where no snapshot is whole and the log
 * does not reach back to its beginning, every slot that is whole in one of them is brought back, and the others are
 * lost: that is durable before the store opens for anybody. A damaged log stops it with FatalError `corrupt`, because
 * nobody can tell of which slots a lost frame was. Memory beyond the table's is bounded by three chunks and one frame.
 */
export async function recover(options: StoreOptions, walOptions: WalOptions): Promise<Recovered> {
  const { disk } = options
  await disk.makeDirectory(logDirectory)
  await disk.makeDirectory(snapshotDirectory)
  // Names may have survived the former process without having been made durable, and what is dropped later goes by them.
  for (const path of [snapshotDirectory, '.']) await syncDirectory(disk, path)
  const manifest = await readManifest(disk, options)
  const hasManifest = manifest !== undefined
  const { lost: lostBefore, accepted } = await readLostDocument(disk)
  const directory = await readLogDirectory(walOptions)
  const sequences = await listSnapshots(disk)
  checkPresent(hasManifest, directory.segments, sequences)
  const highest = new Highest()
  const progress = new RecoveryProgress(options)
  const loaded = await new Loader(options, walOptions, directory.segments, highest, progress).load(sequences)
  const { table, snapshot, generations, damaged } = loaded
  const { tail, applied, bytes } = await replay(walOptions, directory, loaded, highest, progress)
  checkReached(tail, sequences, manifest?.reached ?? 0)
  if (!hasManifest && tail.lastSequence > 0) throw missing('store', 'the document that belongs to a log')
  const lost = normalizeSlots([...lostBefore, ...loaded.lost])
  if (lost.length > lostBefore.length) await writeLostSlots(disk, lost, accepted)
  if (loaded.lost.length > 0) {
    const { slots } = lostSlotsContents(normalizeSlots(loaded.lost))
    options.log.error('slots are damaged in every snapshot: they are lost here', {
      slots,
      damaged: damaged.map(snapshotPath),
    })
  }
  const cleared = [...lost, ...accepted].filter((slot) => table.floorMs(slot) > 0)
  for (const slot of cleared) table.setFloor(slot, 0)
  // Only now: had the older generation not been enough, the next start should find what this one found.
  const needed = loaded.wholeSince !== undefined
  if (!needed) for (const sequence of damaged) await setAsideSnapshot(disk, sequence)
  return {
    table,
    highest,
    tail,
    snapshot,
    generations,
    rotten: damaged,
    sequence: tail.lastSequence,
    unchanged: snapshot !== undefined && applied === snapshot.sequence,
    replayedBytes: bytes,
    hasManifest,
    lost: new LostSlots(disk, { lost, accepted }),
    cleared,
  }
}

function missing(path: string, expected: string): FatalError {
  return corruption({ path, offset: 0, expected, found: 'no such file' })
}

/** Nothing of a store may be missing as a whole: an empty directory is a new store, half a one is a loss. */
function checkPresent(
  hasManifest: boolean,
  headers: readonly DecodedSegmentHeader[],
  snapshots: readonly number[],
): void {
  if (headers.length === 0 && (hasManifest || snapshots.length > 0))
    throw missing(segmentPath(1), 'a segment of the log')
  if (!hasManifest && snapshots.length > 0) throw missing('store', 'the document that belongs to a snapshot')
}

/**
 * A snapshot is never ahead of its log, also one that is damaged: its name says what the log once held. So does the
 * store's document, of the log that was closed.
 */
function checkReached({ last, position, lastSequence }: LogTail, snapshots: readonly number[], closedAt: number): void {
  const newest = snapshots[0] ?? 0
  const reached = Math.max(newest, closedAt)
  if (last === undefined || lastSequence >= reached) return
  throw corruption({
    path: segmentPath(last.number),
    offset: position,
    expected: `frames up to sequence ${reached}, ${newest === reached ? 'of which there is a snapshot' : 'which were there when the store was closed'}`,
    found: `the end of the log behind sequence ${lastSequence}`,
  })
}

class Loader {
  readonly #options: StoreOptions
  readonly #walOptions: WalOptions
  readonly #headers: readonly DecodedSegmentHeader[]
  readonly #highest: Highest
  readonly #progress: RecoveryProgress

  constructor(
    options: StoreOptions,
    walOptions: WalOptions,
    headers: readonly DecodedSegmentHeader[],
    highest: Highest,
    progress: RecoveryProgress,
  ) {
    this.#options = options
    this.#walOptions = walOptions
    this.#headers = headers
    this.#highest = highest
    this.#progress = progress
  }

  async load(sequences: readonly number[]): Promise<Loaded> {
    const damaged: number[] = []
    for (const [i, sequence] of sequences.entries()) {
      // The log goes on from no older one either; and damaged ones may give more than an old one with a gap behind.
      if (damaged.length > 0 && !this.#isReached(sequence)) break
      const table = new Table()
      const snapshot = await this.#read(sequence, table)
      if (snapshot === undefined) damaged.push(sequence)
      else return { ...nothing, table, snapshot, generations: sequences.slice(i), after: sequence, damaged }
    }
    const table = new Table()
    const usable = damaged.filter((sequence) => this.#isReached(sequence))
    // With the whole log the empty store is as good as a snapshot. With neither, replaying the log tells what is missing.
    if (this.#isReached(0) || usable.length === 0) return { ...nothing, table, damaged }
    const salvaged = await salvage(this.#options, usable, table, this.#highest)
    return { ...nothing, table, ...salvaged, damaged }
  }

  /** The log has everything behind this sequence. */
  #isReached(sequence: number): boolean {
    const first = this.#headers[0]
    return first === undefined || first.firstSequence <= sequence + 1
  }

  /** Undefined: it is damaged. */
  async #read(sequence: number, table: Table): Promise<SnapshotInfo | undefined> {
    const { disk, clusterId, incarnation, log } = this.#options
    const progress = this.#progress
    const behind = await replayedBytes(this.#walOptions, this.#headers, sequence)
    progress.expect((await snapshotBytes(disk, sequence)) + behind)
    try {
      const origin = { clusterId, incarnation, sequence }
      const snapshot = await readSnapshot(
        readingAhead(disk),
        snapshotPath(sequence),
        origin,
        (payload, records, slot) => {
          // Every record takes more than 16 bytes: the block's own count need not be believed.
          table.expect(slot, Math.min(records, payload.length >>> 4))
          mergeAll(table, payload, records, this.#highest)
          progress.advance(payload.length, 'snapshot', sequence, table.entries + table.tombstones)
        },
      )
      this.#highest.raise(snapshot.highest)
      return snapshot
    } catch (error) {
      if (!(error instanceof FatalError) || error.reason !== 'corrupt') throw error
      log.error('a snapshot is damaged; going back to the one before', { cause: error.message })
      return undefined
    }
  }
}

const nothing = { snapshot: undefined, generations: [], after: 0, wholeSince: undefined, lost: [] } as const

async function replay(
  walOptions: WalOptions,
  directory: LogDirectory,
  { table, after, wholeSince }: Loaded,
  highest: Highest,
  progress: RecoveryProgress,
): Promise<{ tail: LogTail; applied: number; bytes: number }> {
  let applied = after
  let bytes = 0
  progress.expect(await replayedBytes(walOptions, directory.segments, after))
  const tail = await replayLog(walOptions, directory, {
    after,
    visit: (payload, records, sequence) => {
      mergeAll(table, payload, records, highest, wholeSince, sequence)
      table.compactStep(2 * payload.length)
      applied = sequence
      bytes += payload.length
      progress.advance(payload.length, 'log', sequence, table.entries + table.tombstones)
    },
  })
  return { tail, applied, bytes }
}

/**
 * Merges `count` encoded records, but none of a slot that is whole since `sequence` or later. Throws
 * RecordFormatError where there are not just as many.
 */
function mergeAll(
  table: Table,
  payload: Uint8Array,
  count: number,
  highest: Highest,
  wholeSince?: Float64Array,
  sequence = 0,
): void {
  let records = 0
  for (let at = 0; at < payload.length; records++) {
    if (isFloorAt(payload, at)) {
      const floor = decodeFloor(payload, at)
      if (wholeSince === undefined || sequence > wholeSince[floor.slot]!) applyFloor(table, floor)
      at += entryLengthAt(payload, at)
      continue
    }
    const record = decodeRecord(payload, at)
    at += entryLengthAt(payload, at)
    highest.raise(record)
    if (wholeSince === undefined || sequence > wholeSince[slotOf(record.key)]!) table.merge(record)
  }
  if (records !== count) throw new RecordFormatError(payload.length, `${records} records, ${count} were promised`)
}

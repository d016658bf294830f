import { FatalError, limits } from '../base/index.js'
import { decodeRecord, RecordFormatError, recordLengthAt } from '../record/index.js'
import {
  corruption,
  type DecodedSegmentHeader,
  type LogTail,
  listSegments,
  logDirectory,
  replayLog,
  segmentPath,
  syncDirectory,
  type WalOptions,
} from '../wal/index.js'
import { Highest } from './highest.js'
import { LostSlots, readLostSlots } from './lost-slots.js'
import { readManifest } from './manifest.js'
import { listSnapshots, setAsideSnapshot, snapshotDirectory, snapshotPath } from './snapshot-files.js'
import { readSnapshot } from './snapshot-reader.js'
import type { SnapshotInfo, StoreOptions } from './store.js'
import { Table } from './table.js'

/** Everything that a store starts from. */
export interface Recovered {
  readonly table: Table
  readonly highest: Highest
  readonly tail: LogTail
  /** The snapshot that the table started from. */
  readonly snapshot: SnapshotInfo | undefined
  /** Sequences of the snapshots that are kept, newest first, `snapshot` the first of them. */
  readonly generations: readonly number[]
  /** The last group that is in the table. */
  readonly sequence: number
  /** Bytes of groups that had to be replayed behind the snapshot. */
  readonly replayedBytes: number
  /** The document that says that data must be here exists. */
  readonly hasManifest: boolean
  readonly lost: LostSlots
}

interface Loaded {
  readonly table: Table
  readonly snapshot: SnapshotInfo | undefined
  readonly generations: readonly number[]
  /** Snapshots that are damaged. */
  readonly damaged: readonly number[]
}

/**
 * Brings back what the directory holds: the newest snapshot that reads back, then the log behind it. A rotten snapshot
 * is passed over for the older one and the longer log that is kept with it; where that does not reach either, it stops
 * with FatalError `corrupt`, because a store that has lost something must not answer as if it had not. Memory beyond
 * the table's is bounded by one chunk and one frame. Cuts nothing yet.
 */
export async function recover(options: StoreOptions, walOptions: WalOptions): Promise<Recovered> {
  const { disk } = options
  await disk.makeDirectory(logDirectory)
  await disk.makeDirectory(snapshotDirectory)
  await syncDirectory(disk, '.')
  const hasManifest = await readManifest(disk, options)
  const lost = new LostSlots(disk, await readLostSlots(disk))
  const headers = await listSegments(walOptions)
  const sequences = await listSnapshots(disk)
  checkPresent(hasManifest, headers, sequences)
  const highest = new Highest()
  const progress = new Progress(options)
  const loaded = await loadNewest(options, sequences, highest, progress)
  const { table, snapshot, generations } = loaded
  let applied = snapshot?.sequence ?? 0
  let replayedBytes = 0
  const tail = await replayLog(walOptions, headers, {
    after: applied,
    visit: (payload, records, sequence) => {
      mergeAll(table, payload, records, highest)
      table.compactStep(2 * payload.length)
      applied = sequence
      replayedBytes += payload.length
      progress.report('log', sequence, table)
    },
  })
  if (!hasManifest && tail.lastSequence > 0) throw missing('store', 'the document that belongs to a log')
  // Only now: had the older generation not been enough, the next start should find what this one found.
  for (const sequence of loaded.damaged) await setAsideSnapshot(disk, sequence)
  return { table, highest, tail, snapshot, generations, sequence: applied, replayedBytes, hasManifest, lost }
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

async function loadNewest(
  options: StoreOptions,
  sequences: readonly number[],
  highest: Highest,
  progress: Progress,
): Promise<Loaded> {
  const { disk, clusterId, incarnation, log } = options
  const damaged: number[] = []
  for (const [i, sequence] of sequences.entries()) {
    const table = new Table()
    try {
      const origin = { clusterId, incarnation, sequence }
      const snapshot = await readSnapshot(disk, snapshotPath(sequence), origin, (payload, records) => {
        mergeAll(table, payload, records, highest)
        progress.report('snapshot', sequence, table)
      })
      highest.raise(snapshot.highest)
      return { table, snapshot, generations: sequences.slice(i), damaged }
    } catch (error) {
      if (!(error instanceof FatalError) || error.reason !== 'corrupt') throw error
      log.error('a snapshot is damaged; going back to the one before', { cause: error.message })
      damaged.push(sequence)
    }
  }
  return { table: new Table(), snapshot: undefined, generations: [], damaged }
}

/** Merges `count` encoded records. Throws RecordFormatError where there are not just as many. */
function mergeAll(table: Table, payload: Uint8Array, count: number, highest: Highest): void {
  let records = 0
  for (let at = 0; at < payload.length; records++) {
    const record = decodeRecord(payload, at)
    at += recordLengthAt(payload, at)
    table.merge(record)
    highest.raise(record)
  }
  if (records !== count) throw new RecordFormatError(payload.length, `${records} records, ${count} were promised`)
}

/** Says once in a while how far recovery has come. */
class Progress {
  readonly #options: StoreOptions
  #nextMs: number

  constructor(options: StoreOptions) {
    this.#options = options
    this.#nextMs = options.clock.monotonicMs() + limits.recoveryReportMs
  }

  report(from: 'snapshot' | 'log', sequence: number, table: Table): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs < this.#nextMs) return
    this.#nextMs = nowMs + limits.recoveryReportMs
    this.#options.log.info('recovering', { from, sequence, records: table.entries + table.tombstones })
  }
}

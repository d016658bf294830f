import type { ClusterId, Incarnation, Slot } from '../../base/index.js'
import { KvError, limits } from '../../base/index.js'
import { type Clock, type Disk, DiskError, readFully, writeFully } from '../../env/index.js'
import type { Version } from '../../hlc/index.js'
import { slotCount } from '../../slots/index.js'
import { createDurably, removeIfThere, syncDirectory } from '../../wal/index.js'
import type { SnapshotInfo } from '../store.js'
import type { Table } from '../table/table.js'
import { type ForegroundLoad, SnapshotPace, withPacedReads } from './snapshot-pace.js'
import { readSnapshot } from './snapshot-reader.js'
import { SnapshotWriter } from './snapshot-writer.js'

export const snapshotDirectory = 'snapshots'
const temporaryPath = `${snapshotDirectory}/next.tmp`

export function snapshotPath(sequence: number): string {
  return `${snapshotDirectory}/${String(sequence).padStart(16, '0')}.snapshot`
}

function damagedPath(sequence: number): string {
  return `${snapshotDirectory}/${String(sequence).padStart(16, '0')}.damaged`
}

/**
 * The sequence of the snapshot of this name; undefined: it is none of ours, as we would not give it (a number above
 * 2^53, one zero too many).
 */
export function sequenceOfSnapshot(name: string): number | undefined {
  const sequence = Number.parseInt(name, 10)
  return `${snapshotDirectory}/${name}` === snapshotPath(sequence) ? sequence : undefined
}

/** The sequences of the snapshots that are there, newest first. Removes what a crash left half made. */
export async function listSnapshots(disk: Disk): Promise<number[]> {
  const sequences: number[] = []
  for (const name of await disk.list(snapshotDirectory)) {
    const sequence = sequenceOfSnapshot(name)
    if (sequence !== undefined) sequences.push(sequence)
    else if (name.endsWith('.tmp')) await disk.remove(`${snapshotDirectory}/${name}`)
  }
  return sequences.sort((a, b) => b - a)
}

/** The size of a snapshot's file. Throws DiskErrors. */
export async function snapshotBytes(disk: Disk, sequence: number): Promise<number> {
  const file = await disk.open(snapshotPath(sequence), 'read')
  try {
    return await file.size()
  } finally {
    await file.close()
  }
}

/**
 * Keeps a snapshot that did not read back for whoever wants to know why, under a name that nobody opens. It may be
 * gone by now.
 */
export async function setAsideSnapshot(disk: Disk, sequence: number): Promise<void> {
  try {
    await disk.rename(snapshotPath(sequence), damagedPath(sequence))
  } catch (error) {
    if (error instanceof DiskError && error.code === 'not-found') return
    throw error
  }
  await syncDirectory(disk, snapshotDirectory)
}

/**
 * The same where a fresh snapshot of the same sequence will take its name, and its name is needed until then: a copy
 * is kept.
 */
export async function copyAsideSnapshot(disk: Disk, sequence: number): Promise<void> {
  const from = await disk.open(snapshotPath(sequence), 'read')
  try {
    await createDurably(disk, temporaryPath, damagedPath(sequence), async (copy) => {
      const piece = new Uint8Array(limits.readChunkBytes)
      for (let at = 0; ; ) {
        const got = await readFully(from, piece, at)
        if (got === 0) return
        await writeFully(copy, piece.subarray(0, got), at)
        at += got
      }
    })
  } finally {
    await from.close()
  }
}

/** Removes all snapshots but these, and all that were set aside but these. */
export async function removeSnapshotsExcept(
  disk: Disk,
  kept: readonly number[],
  keptDamaged: readonly number[],
): Promise<void> {
  const keptPaths = [...kept.map(snapshotPath), ...keptDamaged.map(damagedPath)]
  for (const name of await disk.list(snapshotDirectory)) {
    const path = `${snapshotDirectory}/${name}`
    const ours = sequenceOfSnapshot(name.replace(/\.damaged$/, '.snapshot')) !== undefined
    if (ours && !keptPaths.includes(path)) await removeIfThere(disk, path)
  }
  await syncDirectory(disk, snapshotDirectory)
}

export interface SnapshotTask {
  readonly disk: Disk
  readonly clock: Clock
  readonly clusterId: ClusterId
  readonly incarnation: Incarnation
  readonly table: Table
  /** Everything up to this group of the log is in the table. */
  readonly sequence: number
  readonly highest: () => Version
  /** Resolves when the log is durable up to `sequence`: a snapshot must not be ahead of its log. */
  readonly syncLog: () => Promise<void>
  /** What this gives way to. */
  readonly load: ForegroundLoad
  /** Asked between slices; true: give up. */
  readonly stopped: () => boolean
}

/**
 * Writes the table as a snapshot and reads it back. Fuzzy: writes go on meanwhile, and slots that are visited later
 * hold more of them; merging is idempotent, so replaying the log behind `sequence` over it is right. Never works
 * longer than a slice without letting everything else run. Throws FatalError where a sync failed or the file did not
 * read back, KvError `closed` when stopped, and DiskErrors.
 */
export async function takeSnapshot(task: SnapshotTask): Promise<SnapshotInfo> {
  const { disk, clusterId, incarnation, sequence } = task
  const path = snapshotPath(sequence)
  const pace = new SnapshotPace(task.clock, task.load)
  let info: SnapshotInfo | undefined
  await createDurably(disk, temporaryPath, path, async (fresh) => {
    const writer = new SnapshotWriter(fresh, { clusterId, incarnation, sequence })
    await writeSlots(task, writer, pace)
    checkStopped(task)
    info = await writer.finish(task.highest())
    await task.syncLog()
  })
  const paced = withPacedReads(disk, () => (pace.isOver ? pace.rest() : Promise.resolve()))
  await readSnapshot(paced, path, { clusterId, incarnation, sequence }, () => checkStopped(task))
  return info!
}

async function writeSlots(task: SnapshotTask, writer: SnapshotWriter, pace: SnapshotPace): Promise<void> {
  const { table } = task
  const scan = (slot: Slot, visit: Parameters<Table['scanSlot']>[1]): void => table.scanSlot(slot, visit)
  for (let slot = 0; slot < slotCount; slot++) {
    writer.addSlot(slot as Slot, table.floorMs(slot as Slot), scan)
    const isFull = writer.bufferedBytes >= limits.snapshotSliceBytes
    if (!isFull && !pace.isOver) continue
    await pace.rest()
    if (isFull) await writer.flush()
    checkStopped(task)
  }
}

function checkStopped(task: SnapshotTask): void {
  if (task.stopped()) throw new KvError('closed', 'the store was closed while it took a snapshot')
}

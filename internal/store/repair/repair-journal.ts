import type { ClusterId } from '../../base/index.js'
import { type Disk, DiskError } from '../../env/index.js'
import { directoryOf, removeIfThere, syncDirectory } from '../../wal/index.js'
import { readJsonDocument, writeJsonDocument } from '../durable-file.js'
import { type Identity, writeIdentity } from '../identity.js'
import { writeManifest } from '../manifest.js'
import { journalName } from './verify.js'

/** Of a node that belongs to a cluster. */
export interface MemberIdentity extends Identity {
  readonly clusterId: ClusterId
}

/** A file that gets a new place. */
export interface Move {
  readonly from: string
  readonly to: string
}

/**
 * What is left to do when all new files of a rebuilt store are written and none has been moved. It is a document, so
 * that a repair that is cut short is finished by the next one:
 *
 * 1. the journal is durable; 2. `identity`, of which there is a copy, is removed, and from here on no node starts from
 * this directory; 3. the moves; 4. the document `store`; 5. the new `identity`, and a node may start; 6. the journal
 * is removed.
 *
 * Whether there is an identity tells whether the moves have to be finished: before 2 and behind 5 there is.
 */
export interface RepairJournal {
  /** Where this repair keeps what it sets aside. */
  readonly directory: string
  /** Whose the directory will be. */
  readonly identity: MemberIdentity
  readonly moves: readonly Move[]
}

export async function writeJournal(disk: Disk, journal: RepairJournal): Promise<void> {
  await writeJsonDocument(disk, journalName, { format: 1, ...journal })
}

/** `pending`: it has begun to move files and must be finished. `idle`: it has not begun, or is done. */
export type JournalState = { readonly state: 'pending'; readonly journal: RepairJournal } | { readonly state: 'idle' }

/** Throws FatalError `corrupt` where the journal itself is damaged. */
export async function readJournal(disk: Disk): Promise<JournalState> {
  const contents = await readJsonDocument(disk, journalName)
  if (contents === undefined) return { state: 'idle' }
  // Only `writeJournal` writes it, and its checksum holds.
  const journal = contents as unknown as RepairJournal
  return (await exists(disk, 'identity')) ? { state: 'idle' } : { state: 'pending', journal }
}

/** Removes a journal that is idle. */
export async function removeJournal(disk: Disk): Promise<void> {
  if (await removeIfThere(disk, journalName)) await syncDirectory(disk, '.')
}

/** Carries out a journal that is durable, from wherever it has come to. */
export async function followJournal(disk: Disk, journal: RepairJournal): Promise<void> {
  const { identity, moves } = journal
  if (await removeIfThere(disk, 'identity')) await syncDirectory(disk, '.')
  await moveAll(disk, moves)
  await writeManifest(disk, identity)
  await writeIdentity(disk, identity)
  await removeJournal(disk)
}

/**
 * Moves files that have not been moved yet. Their directories exist. Between two directories a power cut may lose a
 * file by the contract of Disk; so only what is not needed any more goes to another one.
 */
export async function moveAll(disk: Disk, moves: readonly Move[]): Promise<void> {
  const directories = new Set<string>()
  for (const { from, to } of moves) {
    if (!(await exists(disk, from))) continue
    await disk.rename(from, to)
    // A power cut between the syncs below may have left the file with both names, and then a rename does nothing.
    await removeIfThere(disk, from)
    directories.add(directoryOf(to)).add(directoryOf(from))
  }
  for (const path of directories) await syncDirectory(disk, path)
}

async function exists(disk: Disk, path: string): Promise<boolean> {
  try {
    await (await disk.open(path, 'read')).close()
    return true
  } catch (error) {
    if (error instanceof DiskError && error.code === 'not-found') return false
    throw error
  }
}

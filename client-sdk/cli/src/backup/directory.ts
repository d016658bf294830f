import {
  BackupDamage,
  BackupRefused,
  type CatalogueEntry,
  isBackupName,
  listBackups,
  type Manifest,
} from '@quorumkv/internal/backup'
import { NodeDisk } from '@quorumkv/internal/env-node'
import { FailedError, UsageError } from '../exit.js'

/** A directory of backups as people name it. */
export class BackupDirectory {
  readonly path: string
  readonly disk: NodeDisk

  constructor(path: string) {
    if (path === '') throw new UsageError('dir', 'dir must name a directory')
    this.path = path
    this.disk = new NodeDisk(path)
  }

  /** What is there, the oldest first. */
  entries(): Promise<CatalogueEntry[]> {
    return this.guarded(() => listBackups(this.disk))
  }

  /** Rejects with a FailedError that names the file and says what to do, where one cannot be had or is damaged. */
  async guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw this.explained(error)
    }
  }

  explained(error: unknown): unknown {
    if (error instanceof BackupDamage) return new FailedError(`${this.path}: ${error.message}`, damageHint, error)
    if (error instanceof BackupRefused) return new FailedError(`${this.path}: ${error.message}`, undefined, error)
    // Of the disk: `full`, `permission` and so on, or a sync that has failed.
    if (error instanceof Error && /^(DiskError|FatalError)$/.test(error.name)) {
      return new FailedError(`${this.path}: ${error.message}`, undefined, error.cause ?? error)
    }
    return error
  }
}

const damageHint =
  'See all that is wrong with `kv backup verify`; another backup of the directory, or a copy of this one, may be whole.'

/** The backup that is meant: the one that is named, or the newest that is complete. Throws where there is none. */
export function chosen(
  directory: BackupDirectory,
  entries: readonly CatalogueEntry[],
  name: string | undefined,
): Manifest {
  if (name === undefined) {
    const newest = entries.findLast((entry) => stateOf(entry) === 'complete')?.manifest
    if (newest !== undefined) return newest
    throw new FailedError(`${directory.path} holds no complete backup`, 'See what is there with `kv backup list`.')
  }
  const { manifest, missing, damage } = named(directory, entries, name)
  if (damage !== undefined) throw directory.explained(damage)
  if (manifest === undefined) {
    throw new FailedError(`${name} was never finished, or is being made`, 'Take another one: `kv backup list`.')
  }
  if (missing.length === 0) return manifest
  throw new FailedError(
    `${name} needs ${missing.join(', ')}, which ${missing.length === 1 ? 'is' : 'are'} not in ${directory.path} as written`,
    'Put it back from a copy, or take another backup: `kv backup list`.',
  )
}

export function named(directory: BackupDirectory, entries: readonly CatalogueEntry[], name: string): CatalogueEntry {
  if (!isBackupName(name)) {
    throw new UsageError(
      'name',
      `name must be that of a backup, as in 20260131T235959Z-1a2b, got ${JSON.stringify(name)}`,
    )
  }
  const entry = entries.find((each) => each.name === name)
  if (entry !== undefined) return entry
  throw new FailedError(`${directory.path} holds no backup ${name}`, 'See what is there with `kv backup list`.')
}

/** `unfinished`: it was cut off, or is being made. */
export type BackupState = 'complete' | 'incomplete' | 'damaged' | 'unfinished'

export function stateOf({ manifest, damage, missing }: CatalogueEntry): BackupState {
  if (damage !== undefined) return 'damaged'
  if (manifest === undefined) return 'unfinished'
  return missing.length === 0 ? 'complete' : 'incomplete'
}

/** What all slots of a backup come to, and what of it is in its own files. */
export function totalsOf({ name, slots, files }: Manifest): { records: number; bytes: number; ownBytes: number } {
  let [records, bytes, ownBytes] = [0, 0, 0]
  for (const place of slots) {
    records += place.records
    bytes += place.bytes
    if (place.file !== undefined && files[place.file]!.backup === name) ownBytes += place.bytes
  }
  return { records, bytes, ownBytes }
}

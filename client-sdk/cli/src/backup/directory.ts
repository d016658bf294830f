import {
  BackupDamage,
  BackupOfLaterRelease,
  BackupRefused,
  BackupUnreadable,
  type CatalogueEntry,
  type Disk,
  isBackupName,
  listBackups,
  type Manifest,
  type MissingSegment,
  newestOf,
  readManifest,
} from '@quorumkv/internal/backup'
import type { Context } from '../context.js'
import { FailedError, UsageError } from '../exit.js'
import type { Io } from '../io.js'

/** A directory of backups as people name it. */
export class BackupDirectory {
  readonly path: string
  readonly disk: Disk

  constructor(io: Pick<Io, 'disk'>, path: string) {
    if (path === '') throw new UsageError('dir', 'dir must name a directory')
    this.path = path
    this.disk = io.disk(path)
  }

  /** What is there, the oldest first. */
  entries(): Promise<CatalogueEntry[]> {
    return this.guarded(() => listBackups(this.disk))
  }

  /** Of a backup that has one. */
  async manifest(name: string): Promise<Manifest> {
    const manifest = await this.guarded(() => readManifest(this.disk, name))
    if (manifest === undefined) throw new FailedError(`${this.path}: ${name} has just been removed`)
    return manifest
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
    if (error instanceof BackupOfLaterRelease)
      return new FailedError(`${this.path}: ${error.message}`, undefined, error)
    if (error instanceof BackupDamage) return new FailedError(`${this.path}: ${error.message}`, damageHint, error)
    if (error instanceof BackupRefused) return new FailedError(`${this.path}: ${error.message}`, undefined, error)
    if (!(error instanceof Error)) return error
    // Of a sync that has failed the disk's own words are enough: what it says for nodes is nothing to whoever makes a backup.
    const told = error.name === 'FatalError' && error.cause instanceof Error ? error.cause : error
    if (told.name !== 'DiskError') return error
    return new FailedError(`${this.path}: ${told.message}`, undefined, told.cause ?? told)
  }
}

/** What to do about a backup that is damaged. */
export const damageHint: string =
  'See all that is wrong with `kv backup verify`; another backup of the directory, or a copy of this one, may be whole. ' +
  '`kv backup restore --skip-damaged` brings what is whole of this one.'

/**
 * The backup that is meant: the one that is named, or the newest that is complete, and then `passedOver` is told of those
 * after it that are not; one of a later release is not passed over. Where `damaged` it may need files that are missing. Throws where there is none.
 */
export async function chosen(
  directory: BackupDirectory,
  name: string | undefined,
  { passedOver, damaged = false }: { passedOver?: (entry: CatalogueEntry) => void; damaged?: boolean } = {},
): Promise<Manifest> {
  if (name === undefined) {
    const newest = await directory.guarded(() => newestOf(directory.disk))
    // That one is whole, as far as anybody here knows: an older one in its place would be a surprise.
    const later = newest.passedOver.find(({ damage }) => damage instanceof BackupOfLaterRelease)
    if (later !== undefined) throw directory.explained(later.damage)
    for (const entry of newest.passedOver) passedOver?.(entry)
    if (newest.manifest !== undefined) return newest.manifest
    throw new FailedError(`${directory.path} holds no complete backup`, 'See what is there with `kv backup list`.')
  }
  const { head, missing, damage } = named(directory, await directory.entries(), name)
  if (damage !== undefined) throw directory.explained(damage)
  if (head === undefined) {
    throw new FailedError(`${name} was never finished, or is being made`, 'Take another one: `kv backup list`.')
  }
  if (missing.length === 0 || damaged) return await directory.manifest(name)
  throw new FailedError(
    `${directory.path}: ${name} needs ${listed(missing)}`,
    'Put it back from a copy, or take another backup: `kv backup list`. `kv backup restore --skip-damaged` brings what is whole.',
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

/**
 * The name of a backup that is begun now, behind the newest one of the directory. Where the clock had been ahead it goes on
 * from that name, a second later: in a directory the newest backup is the one with the last name.
 */
export function nameOf(startedMs: number, id: string, newest = ''): string {
  const at = (ms: number): string => `${new Date(ms).toISOString().replace(/[-:]|\.\d+/g, '')}-${id.slice(0, 4)}`
  const name = at(startedMs)
  return name > newest ? name : at(timeIn(newest) + 1_000)
}

/** 0: of no time that there is. */
function timeIn(name: string): number {
  const time = name.replace(/^(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\dZ).*$/, '$1-$2-$3:$4:$5')
  return Date.parse(time) || 0
}

/** `later`: a later release has made it. `unfinished`: it was cut off, or is being made. */
export type BackupState = 'complete' | 'later' | 'incomplete' | 'damaged' | 'unreadable' | 'unfinished'

export function stateOf({ head, damage, missing }: CatalogueEntry): BackupState {
  if (damage instanceof BackupOfLaterRelease) return 'later'
  if (damage !== undefined) return damage instanceof BackupUnreadable ? 'unreadable' : 'damaged'
  if (head === undefined) return 'unfinished'
  if (missing.some(({ isUnreadable }) => isUnreadable)) return 'unreadable'
  return missing.length === 0 ? 'complete' : 'incomplete'
}

/** Why a backup cannot be used, with the files and what is wrong with them; undefined where it is complete, or unfinished. */
export function faultOf({ damage, missing }: CatalogueEntry): string | undefined {
  if (damage !== undefined) return damage.message
  return missing.length === 0 ? undefined : `it needs ${listed(missing)}`
}

function listed(missing: readonly MissingSegment[]): string {
  return missing.map(({ path, found }) => `${path} (${found})`).join(', ')
}

/** Who asks for the newest backup must learn that it is not the newest that there should be. */
export function tellPassedOver({ io, options: { json } }: Context, entry: CatalogueEntry): void {
  const fault = faultOf(entry)
  const note = `${entry.name} is newer, and is passed over: it is ${stateOf(entry)}${fault === undefined ? '' : `: ${fault}`}`
  io.stderr.write(json ? `${JSON.stringify({ note })}\n` : `kv: ${note}\n`)
}

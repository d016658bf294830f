import { closeSync, constants, fsyncSync, mkdirSync, openSync, readdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { FatalError } from '@quorumkv/internal/base'
import { type DirectoryLock, lockDirectory, lockName } from './directory-lock.js'

/** The first and the second thing that a node writes (FORMAT.md, "Data directory"): the marks of a directory of ours. */
const identityName = 'identity'
const storeName = 'store'
/** While it is there and the identity is not, a repair has begun to move files. */
const repairName = 'repair'

/** What may lie in a directory that no node has used yet: our own first steps, and what mkfs makes. */
function isNeutral(name: string): boolean {
  return name === lockName || name === 'lost+found' || name.endsWith('.tmp')
}

function unusable(path: string, error: unknown): FatalError {
  const why = error instanceof Error ? error.message : String(error)
  return new FatalError('usage', `cannot use the data directory ${path}: ${why}`, error)
}

/** Where a directory was there before, its parent may be one that this process may not open or that knows no sync. */
const unsyncable: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EINVAL', 'EROFS', 'ENOTSUP', 'ENOSYS'])

/** Throws FatalError `disk-failed`, and what the system says where the directory cannot be synced at all. */
function syncDirectory(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(descriptor)
  } catch (error) {
    if (isUnsyncable(error)) throw error
    throw new FatalError('disk-failed', `the directory ${path} could not be made durable: ${String(error)}`, error)
  } finally {
    closeSync(descriptor)
  }
}

function isUnsyncable(error: unknown): boolean {
  return unsyncable.has(String((error as NodeJS.ErrnoException).code))
}

/**
 * Makes a directory and what is missing above it, each with a durable name: without one a power cut takes away all that
 * was ever synced below it. Not mkdir's `recursive`: below a file system that makes no directories, such as /proc, Node
 * tries for ever.
 */
function makePath(path: string): void {
  const parent = dirname(path)
  try {
    mkdirSync(path, 0o700)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') {
      syncNameOf(path)
      return
    }
    if (code !== 'ENOENT' || parent === path) throw error
    makePath(parent)
    mkdirSync(path, 0o700)
  }
  syncDirectory(parent)
}

/** Whoever made the directory may have been killed before its name was durable. */
function syncNameOf(path: string): void {
  try {
    syncDirectory(dirname(path))
  } catch (error) {
    if (!isUnsyncable(error)) throw error
  }
}

function makeDirectory(path: string): void {
  let isDirectory: boolean
  try {
    makePath(path)
    isDirectory = statSync(path).isDirectory()
  } catch (error) {
    throw error instanceof FatalError ? error : unusable(path, error)
  }
  if (!isDirectory) throw new FatalError('usage', `cannot use the data directory ${path}: it is not a directory`)
}

/** Somebody's home directory, named by mistake, must not be filled with segments, let alone be cleaned up. */
function refuseForeign(path: string): void {
  let names: string[]
  try {
    names = readdirSync(path)
  } catch (error) {
    throw unusable(path, error)
  }
  const foreign = names.filter((name) => !isNeutral(name))
  if (foreign.length === 0 || foreign.includes(identityName)) return
  if (foreign.includes(repairName)) {
    throw new FatalError(
      'corrupt',
      `a repair of the data directory ${path} was interrupted: run "kv-server repair" on it again, which finishes it`,
    )
  }
  if (foreign.includes(storeName)) {
    throw new FatalError(
      'corrupt',
      `the data directory ${path} holds a store, but the file "${identityName}" that says whose it is, is missing: ` +
        'run "kv-server repair" on it, which writes it again from what the other files say, or restore it from a backup',
    )
  }
  throw new FatalError(
    'usage',
    `the data directory ${path} holds other things (${foreign.slice(0, 3).join(', ')}) and no node's identity; ` +
      'name an empty or a new directory',
  )
}

/** A data directory that belongs to this process until it is closed. */
export interface DataDirectory {
  /** Absolute. */
  readonly path: string
  /** Lets other processes have it. Idempotent. */
  close(): void
}

/**
 * Creates (mode 0700) or takes a data directory and keeps other processes out. Rejects with FatalError: `usage` where
 * the directory cannot be used or is not ours, `corrupt` where its identity is gone or a repair of it is unfinished, `in-use` where another process has it,
 * `disk-failed`.
 */
export async function openDataDirectory(name: string): Promise<DataDirectory> {
  const path = resolve(name)
  makeDirectory(path)
  refuseForeign(path)
  let lock: DirectoryLock
  try {
    lock = await lockDirectory(path)
  } catch (error) {
    throw error instanceof FatalError ? error : unusable(path, error)
  }
  return { path, close: () => lock.release() }
}

import { FatalError } from '../base/index.js'
import { type Disk, DiskError, type DiskFile } from '../env/index.js'

/** The directory of a path; `.` stands for the data directory itself. */
export function directoryOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash === -1 ? '.' : path.slice(0, slash)
}

function syncFailure(error: unknown): unknown {
  if (!(error instanceof DiskError)) return error
  const message = `${error.message}: what was written may be lost, and syncing again would not tell; nothing more is acknowledged`
  return new FatalError('disk-failed', message, error)
}

/**
 * Makes a file's contents durable. Any failure is a FatalError, a full disk included: after a failed fdatasync the
 * kernel may have dropped the pages and reports success the next time (Rebello et al., "Can Applications Recover from
 * fsync Failures?", 2020).
 */
export async function syncFile(file: DiskFile): Promise<void> {
  try {
    await file.sync()
  } catch (error) {
    throw syncFailure(error)
  }
}

/** Makes the names in a directory durable. Any failure is a FatalError. */
export async function syncDirectory(disk: Disk, path: string): Promise<void> {
  try {
    await disk.syncDirectory(path)
  } catch (error) {
    throw syncFailure(error)
  }
}

/** Removes a file that may not be there; says whether it was. */
export async function removeIfThere(disk: Disk, path: string): Promise<boolean> {
  try {
    await disk.remove(path)
    return true
  } catch (error) {
    if (error instanceof DiskError && error.code === 'not-found') return false
    throw error
  }
}

/**
 * Creates a file under a temporary name in the same directory and gives it its name once `fill` is done and its
 * contents are durable, so that under its name it is always whole. If this fails nothing is left that takes room, and
 * what had the name before still has it.
 */
export async function createDurably(
  disk: Disk,
  temporary: string,
  path: string,
  fill: (file: DiskFile) => Promise<void>,
): Promise<void> {
  await removeIfThere(disk, temporary)
  try {
    const file = await disk.open(temporary, 'create')
    try {
      await fill(file)
      await syncFile(file)
    } finally {
      await file.close()
    }
    await disk.rename(temporary, path)
  } catch (error) {
    if (!(error instanceof FatalError)) await removeIfThere(disk, temporary)
    throw error
  }
  await syncDirectory(disk, directoryOf(path))
}

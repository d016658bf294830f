/** Why a disk operation failed, as far as the store treats the reasons differently. */
export type DiskErrorCode =
  | 'not-found'
  | 'exists'
  | 'full' // ENOSPC, EFBIG, EDQUOT: may heal
  | 'permission'
  | 'io' // anything else: the medium is not to be trusted

/** A disk operation failed. `path` is what it was about. */
export class DiskError extends Error {
  override readonly name = 'DiskError'
  readonly code: DiskErrorCode
  readonly path: string

  constructor(code: DiskErrorCode, operation: string, path: string, cause?: unknown) {
    const detail = cause instanceof Error ? `: ${cause.message}` : ''
    super(`${operation} ${path}: ${code}${detail}`, cause === undefined ? undefined : { cause })
    this.code = code
    this.path = path
  }
}

export type OpenMode =
  | 'read' // must exist
  | 'write' // read and write; must exist
  | 'create' // read and write; must not exist yet

/**
 * The files of one node, below one directory. Paths are relative, with forward slashes. All failures are DiskErrors.
 *
 * What survives a crash: file contents up to the last `sync` of that file, and names (creations, renames, removals)
 * up to the last `syncDirectory` of their directory. Everything later may survive, wholly or in part, or not.
 */
export interface Disk {
  open(path: string, mode: OpenMode): Promise<DiskFile>
  /** Atomically gives a file its new name, replacing what had it. */
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Names (not paths) in a directory, sorted. */
  list(directory: string): Promise<string[]>
  /** Creates a directory and its parents (mode 0700); no error if it exists. */
  makeDirectory(path: string): Promise<void>
  syncDirectory(path: string): Promise<void>
  /**
   * How many bytes all files together may still grow by. Others may use the same room, so it is no promise: for what is
   * to give way before the room is needed for something more important.
   */
  freeBytes(): Promise<number>
}

/**
 * An open file. Operations on one file must not overlap, but for two cases: reads with each other, and `preallocate`
 * with writes and syncs, where the writes stay below the size that the file had when `preallocate` was called.
 */
export interface DiskFile {
  readonly path: string
  size(): Promise<number>
  /** Reads up to `into.length` bytes at `position`; returns how many: 0 only at the end, otherwise possibly fewer. */
  read(into: Uint8Array, position: number): Promise<number>
  /**
   * Writes at `position`; returns how many bytes were taken, possibly fewer than given (at least 1, or it throws).
   * The caller must not touch `from` until the promise settles.
   */
  write(from: Uint8Array, position: number): Promise<number>
  /** Makes contents (and the size needed to read them) durable: fdatasync. */
  sync(): Promise<void>
  /** Cuts or extends (with zeros). */
  truncate(size: number): Promise<void>
  /**
   * Reserves blocks up to `size`, so that a later `sync` need not allocate: the new part reads as zeros. Where there is
   * no room (DiskError `full`) the file stays as it was.
   */
  preallocate(size: number): Promise<void>
  close(): Promise<void>
}

/** Writes all of `from`, going on after short writes. Throws DiskError `io` if the disk takes nothing. */
export async function writeFully(file: DiskFile, from: Uint8Array, position: number): Promise<void> {
  let done = 0
  while (done < from.length) {
    const taken = await file.write(done === 0 ? from : from.subarray(done), position + done)
    if (taken <= 0) throw new DiskError('io', 'write', file.path, new Error('the disk took no bytes'))
    done += taken
  }
}

/** Reads until `into` is full or the file ends; returns how many bytes were read. */
export async function readFully(file: Pick<DiskFile, 'read'>, into: Uint8Array, position: number): Promise<number> {
  let done = 0
  while (done < into.length) {
    const got = await file.read(done === 0 ? into : into.subarray(done), position + done)
    if (got === 0) break
    done += got
  }
  return done
}

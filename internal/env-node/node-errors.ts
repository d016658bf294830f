import { DiskError, type DiskErrorCode } from '../env/index.js'

const codes: ReadonlyMap<string, DiskErrorCode> = new Map([
  ['ENOENT', 'not-found'],
  ['EEXIST', 'exists'],
  ['ENOSPC', 'full'],
  ['EFBIG', 'full'],
  ['EDQUOT', 'full'],
  ['EACCES', 'permission'],
  ['EPERM', 'permission'],
  ['EROFS', 'permission'],
])

/** What the store makes of a failure of the file system. Anything unknown means that the medium is not to be trusted. */
export function diskError(operation: string, path: string, cause: NodeJS.ErrnoException): DiskError {
  return new DiskError(codes.get(cause.code ?? '') ?? 'io', operation, path, cause)
}

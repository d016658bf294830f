import { FatalError, KvError } from '../base/index.js'
import { DiskError } from '../env/index.js'
import type { WriteAheadLog } from '../wal/index.js'

/**
 * What those are told who wanted something of the disk beside the log, `what` in words: `read-only` where there was no
 * room for it, and nothing has changed. Any other failure means a disk that is not to be trusted: the log is abandoned
 * with it, which ends the process.
 */
export function diskFailure(error: unknown, log: WriteAheadLog, what: string): KvError {
  if (error instanceof KvError) return error
  if (error instanceof DiskError && error.code === 'full') {
    return new KvError('read-only', `the disk has no room for ${what}`, { cause: error })
  }
  const fatal = error instanceof DiskError ? new FatalError('disk-failed', error.message, error) : error
  log.abandon(fatal instanceof Error ? fatal : new Error(String(fatal)))
  return new KvError('unavailable', `the disk of this node failed while it wrote ${what}`, { cause: error })
}

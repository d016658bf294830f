import { FatalError, KvError, type WriteOutcome } from '../base/index.js'
import { DiskError } from '../env/index.js'

/**
 * `read-only`: the disk is full, commits are refused until a probe finds room. `failed`: the disk lied or broke, or
 * we have a bug; nothing is acknowledged any more.
 */
export type LogState = 'open' | 'read-only' | 'failed' | 'closed'

/** What callers are told once the log has failed. `outcome`: of a write. */
export function unavailable(cause: unknown, outcome?: WriteOutcome): KvError {
  return new KvError('unavailable', 'the disk of this node failed', { cause, ...(outcome && { outcome }) })
}

/** Why a log that is not open takes nothing. */
export function refusal(state: Exclude<LogState, 'open'>, outcome?: WriteOutcome): KvError {
  const options = outcome === undefined ? {} : { outcome }
  switch (state) {
    case 'read-only':
      return new KvError('read-only', 'the disk of this node is full', options)
    case 'failed':
      return unavailable(undefined, outcome)
    case 'closed':
      return new KvError('closed', 'the store is closed', options)
    default:
      return state satisfies never
  }
}

export function isFull(error: unknown): error is DiskError {
  return error instanceof DiskError && error.code === 'full'
}

/** What ends the process: a disk error that cannot be lived with, or whatever else was thrown (a bug). */
export function fatal(error: unknown): Error {
  if (error instanceof DiskError) {
    const message = `the disk failed under the log (${error.message}); nothing is acknowledged any more`
    return new FatalError('disk-failed', message, error)
  }
  return error instanceof Error ? error : new Error(String(error))
}

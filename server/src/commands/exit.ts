import { AssertionError, exitStatus, FatalError, KvError } from '@quorumkv/internal/base'
import { DiskError } from '@quorumkv/internal/env'

/** Whether a node ends because its cluster does not need it any more: then it may finish what runs. */
export function isDecommissioned(error: unknown): error is FatalError {
  return error instanceof FatalError && error.reason === 'decommissioned'
}

/** The exit status of a process that ends because of `error`. What nobody foresaw is a bug. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof FatalError) return exitStatus[error.reason]
  if (error instanceof AssertionError) return exitStatus.bug
  if (error instanceof DiskError) return error.code === 'permission' ? exitStatus.usage : exitStatus['disk-failed']
  if (error instanceof KvError && error.code === 'invalid-argument') return exitStatus.usage
  return exitStatus.bug
}

/**
 * What the log tells of the error that ends a process. What whoever starts the node can mend is a sentence; where in the
 * program it was found says nothing to them. Everything else has its stack.
 */
export function factsOf(error: unknown): Readonly<Record<string, unknown>> {
  const mendable: readonly number[] = [exitStatus.usage, exitStatus['in-use'], exitStatus.refused]
  return error instanceof Error && mendable.includes(exitStatusOf(error)) ? { problem: error.message } : { error }
}

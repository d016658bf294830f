/** Expected failures, by what the caller can do about them. */
export type ErrorCode =
  | 'invalid-argument'
  | 'unavailable'
  | 'timeout'
  | 'overloaded'
  | 'read-only'
  | 'unauthenticated'
  | 'permission-denied'
  | 'cancelled'
  | 'closed'

/** Whether a failed write was certainly not applied, or may have been (or may yet be). */
export type WriteOutcome = 'not-applied' | 'unknown'

export interface KvErrorOptions {
  /** For `invalid-argument`: the name of the field that is wrong. */
  readonly field?: string
  /** For failed writes. */
  readonly outcome?: WriteOutcome
  /** For `overloaded`, where it is known: it makes no sense to come again earlier. */
  readonly retryAfterMs?: number
  readonly cause?: unknown
}

/** A failure that a caller must expect: bad input, no quorum, out of time, overload. Bugs are AssertionErrors. */
export class KvError extends Error {
  override readonly name = 'KvError'
  readonly code: ErrorCode
  readonly field: string | undefined
  readonly outcome: WriteOutcome | undefined
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, message: string, options: KvErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.field = options.field
    this.outcome = options.outcome
    this.retryAfterMs = options.retryAfterMs
  }
}

/**
 * For refusals, of which many come at a time, and just when there is too much to do: an error without a stack, which would
 * say where the bound is held and nothing about the caller. Taking one costs 2 µs, more than all else about a refusal.
 */
export function stacklessError(code: ErrorCode, message: string, options: KvErrorOptions): KvError {
  const { stackTraceLimit } = Error
  // Not by assignment: that throws where the intrinsics of the language are frozen. Then there is a stack.
  Reflect.set(Error, 'stackTraceLimit', 0)
  try {
    return new KvError(code, message, options)
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  }
}

export function invalidArgument(field: string, message: string): KvError {
  return new KvError('invalid-argument', `${field}: ${message}`, { field, outcome: 'not-applied' })
}

/**
 * Why the process must end; each reason has one exit status. `decommissioned`: its work is done, and it may finish what
 * runs; in all other cases it ends at once.
 */
export type FatalReason = 'decommissioned' | 'usage' | 'corrupt' | 'disk-failed' | 'in-use' | 'refused' | 'bug'

export const exitStatus: Readonly<Record<FatalReason, number>> = {
  decommissioned: 0,
  usage: 2,
  corrupt: 3,
  'disk-failed': 4,
  'in-use': 5,
  refused: 6,
  bug: 70,
}

/** The process must end with `exitStatus[reason]`. Thrown up to the composition root, which alone may exit. */
export class FatalError extends Error {
  override readonly name = 'FatalError'
  readonly reason: FatalReason

  constructor(reason: FatalReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.reason = reason
  }
}

import { inspect } from 'node:util'

/** What went wrong, by what the caller can do about it. */
export type KvErrorCode =
  /** The input cannot be accepted; `field` names what is wrong. Nothing was changed. */
  | 'invalid-argument'
  /** No node, or no quorum of replicas, could be reached. */
  | 'unavailable'
  /** The call's deadline has passed. `cause` holds the last thing that went wrong on the way, if anything did. */
  | 'timeout'
  /** A queue here or on a node is full. Send less at a time. */
  | 'overloaded'
  /** The nodes refuse writes, because a disk is full for instance. */
  | 'read-only'
  /** The node wants to know who is calling. */
  | 'unauthenticated'
  /** The caller may not do this. */
  | 'permission-denied'
  /** The caller's AbortSignal fired; `cause` is its reason. */
  | 'cancelled'
  /** The client has been closed. */
  | 'closed'
  /** A value or key that was asked for as text is not valid UTF-8: use `getBytes` or `getEntry`. */
  | 'not-text'
  /** A value that was read through a collection does not fit its codec; `field` names the place, `cause` says what is wrong. */
  | 'not-valid'
  /** A node answered in a way that it should not have. */
  | 'internal'

/** Whether a failed write was certainly not applied, or may have been (or may yet be). */
export type WriteOutcome = 'not-applied' | 'unknown'

/** What a KvError may say besides its code. */
export interface KvErrorOptions {
  /** For `invalid-argument`: the name of the argument or option that is wrong. */
  readonly field?: string | undefined
  /** For failed writes. */
  readonly outcome?: WriteOutcome | undefined
  /** `host:port` of the node that failed or answered so. */
  readonly node?: string | undefined
  /** Overrides what follows from the code. */
  readonly retryable?: boolean | undefined
  /** When to come again, where a node said so. */
  readonly retryAfterMs?: number | undefined
  /** What lies behind it. */
  readonly cause?: unknown
}

const retryableCodes: ReadonlySet<KvErrorCode> = new Set(['unavailable', 'timeout', 'overloaded'])

/** The one class of all errors that the client reports. Switch over `code`. */
export class KvError extends Error {
  /** The same for all of them. */
  override readonly name = 'KvError'
  /** What went wrong. */
  readonly code: KvErrorCode
  /** For `invalid-argument`: the name of the argument or option that is wrong; for `not-valid` and `not-text`: what of the data. */
  readonly field: string | undefined
  /** For failed writes: `not-applied` is a promise, `unknown` means that the value may be there, or may yet appear. */
  readonly outcome: WriteOutcome | undefined
  /** `host:port` of the node that failed or answered so. */
  readonly node: string | undefined
  /** The fault may pass, and the same call may be made again without harm. The client has already tried that until its deadline. */
  readonly retryable: boolean
  /**
   * For `overloaded` calls of an operator and unary ones: the caller goes by a rate, and would be let through after so many milliseconds.
   * Operations on keys say so in their message alone.
   */
  readonly retryAfterMs: number | undefined

  constructor(code: KvErrorCode, message: string, options: KvErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.field = options.field
    this.outcome = options.outcome
    this.node = options.node
    this.retryAfterMs = options.retryAfterMs
    this.retryable = options.retryable ?? retryableCodes.has(code)
  }
}

/**
 * For the ends of operations, of which many come at a time: an error without a stack. It is made by a timer or by what came
 * in from a node, so that a stack would show the insides of the client and nobody's call; taking one costs 1.4 µs, more
 * than all else about a call that is refused.
 */
export function stacklessError(code: KvErrorCode, message: string, options: KvErrorOptions): KvError {
  const { stackTraceLimit } = Error
  // Not by assignment: that throws where the intrinsics of the language are frozen. Then there is a stack.
  Reflect.set(Error, 'stackTraceLimit', 0)
  try {
    return new KvError(code, message, options)
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  }
}

/** Bad input: refused before anything was sent. */
export function invalidArgument(field: string, message: string, cause?: unknown): KvError {
  return new KvError('invalid-argument', `${field}: ${message}`, { field, outcome: 'not-applied', cause })
}

/** What callers see is always a KvError; anything else that turns up is a bug of ours, and is reported as one. */
export function asKvError(error: unknown): KvError {
  if (error instanceof KvError) return error
  return new KvError('internal', messageOf(error), { cause: error })
}

/** What was thrown, in words; it may be anything, an object that no text can be made of too. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message
  return typeof error === 'object' && error !== null ? inspect(error, { customInspect: false }) : String(error)
}

import type { Operation as WireOperation, Result as WireResult } from '@quorumkv/proto/kv/v1/kv'
import { WheelEntry } from './deadlines.js'
import type { KvError } from './errors.js'
import { limits } from './limits.js'
import type { Session } from './session.js'

export type Request = NonNullable<WireOperation['request']>
/** What a node answered, errors apart. */
export type Response = Exclude<NonNullable<WireResult['outcome']>, { $case: 'error' }>

/**
 * Where an operation is: `waiting` for a pause to end or a node to come up, `queued` for a connection, `sent`, or
 * `settled`: the caller has its answer, and whatever still comes is ignored.
 */
export type OperationState = 'waiting' | 'queued' | 'sent' | 'settled'

/** One call of a user on one key, over all its attempts. */
export class Operation extends WheelEntry {
  readonly request: Request
  readonly key: Buffer
  /** What it takes in a message, at most. */
  readonly bytes: number
  /** In milliseconds of the monotonic clock. */
  readonly deadlineAt: number
  readonly timeoutMs: number
  readonly resolve: (response: Response) => void
  readonly reject: (error: KvError) => void

  state: OperationState = 'waiting'
  /** Whose queue or stream it is in, and its id there. */
  session: Session | undefined = undefined
  id = 0
  /** How often it was sent. */
  attempts = 0
  /** Failures since it last made progress; for the length of pauses. */
  failures = 0
  /** An attempt ended without a certain answer: whatever comes later, the write may have happened, or may yet. */
  mayBeApplied = false
  /** The next attempt is a repetition for which the budget has not been asked yet. */
  owesToken = false
  lastError: KvError | undefined = undefined
  signal: AbortSignal | undefined = undefined
  onAbort: (() => void) | undefined = undefined

  constructor(
    request: Request,
    timeoutMs: number,
    resolve: (response: Response) => void,
    reject: (error: KvError) => void,
  ) {
    super()
    this.request = request
    this.key = request.value.key
    this.bytes =
      this.key.length + (request.$case === 'put' ? request.value.value.length : 0) + limits.operationOverheadBytes
    this.timeoutMs = timeoutMs
    this.deadlineAt = performance.now() + timeoutMs
    this.resolve = resolve
    this.reject = reject
  }

  get isWrite(): boolean {
    return this.request.$case !== 'get'
  }

  /** A repeated put would report its own value as the previous one. */
  get repeatableAfterUnknown(): boolean {
    return !(this.request.$case === 'put' && this.request.value.returnPrevious)
  }
}

import { Consistency as WireConsistency } from '@quorumkv/proto/kv/v1/kv'
import { KvError } from '../errors.js'
import { limits } from '../limits.js'
import { WheelEntry } from './deadlines.js'
import type { Session } from './session.js'
import type { Reply } from './wire-reader.js'

export type OperationKind = 'get' | 'put' | 'delete'

/**
 * Where an operation is: `waiting` for a pause to end or a node to come up, `queued` for a connection, `sent`, or
 * `settled`: the caller has its answer, and whatever still comes is ignored.
 */
export type OperationState = 'waiting' | 'queued' | 'sent' | 'settled'

const noValue = Buffer.alloc(0)

/** One call of a user on one key, over all its attempts. */
export class Operation extends WheelEntry {
  readonly kind: OperationKind
  readonly key: Buffer
  readonly consistency: WireConsistency
  readonly timeoutMs: number
  /** In milliseconds of the monotonic clock. */
  readonly deadlineAt: number
  /** For puts. */
  value: Buffer = noValue
  /** For puts; 0: never expires. */
  ttlMs = 0
  /** For puts. */
  returnPrevious = false

  /** Gives the caller its result. The reply is valid only during the call. */
  conclude: (reply: Reply) => void = notSubmitted
  reject: (error: KvError) => void = notSubmitted

  state: OperationState = 'waiting'
  /** Whose queue or stream it is or was in last, its place in the queue and its id on the stream. */
  session: Session | undefined = undefined
  place = 0
  id = 0
  /** How often it was sent. */
  attempts = 0
  /** How often it was set back; for the length of pauses. */
  failures = 0
  /** An attempt ended without a certain answer: whatever comes later, the write may have happened, or may yet. */
  mayBeApplied = false
  /** For writes: what stamps of attempts with unknown fate cannot pass, and what that of the last one cannot. Unix ms; 0: none. */
  stampAboveMs = 0
  stampLimitMs = 0
  /** The next attempt is a repetition for which the budget has not been asked yet. */
  owesToken = false
  /** Whose doing it is, by W3C Trace Context; only of what is sampled, otherwise empty. */
  traceparent = ''
  lastError: KvError | undefined = undefined
  signal: AbortSignal | undefined = undefined
  onAbort: (() => void) | undefined = undefined

  constructor(kind: OperationKind, key: Buffer, consistency: WireConsistency, timeoutMs: number) {
    super()
    this.kind = kind
    this.key = key
    this.consistency = consistency
    this.timeoutMs = timeoutMs
    this.deadlineAt = performance.now() + timeoutMs
  }

  /** What it takes in a message, at most. */
  get bytes(): number {
    return this.key.length + this.value.length + this.traceparent.length + limits.operationOverheadBytes
  }

  get isWrite(): boolean {
    return this.kind !== 'get'
  }

  /** One replica is enough for it, whichever. */
  get mayReadNearby(): boolean {
    return this.kind === 'get' && this.consistency === WireConsistency.ONE
  }

  /** A repeated put would report its own value as the previous one. */
  get repeatableAfterUnknown(): boolean {
    return !this.returnPrevious
  }
}

function notSubmitted(): never {
  throw new KvError('internal', 'the operation was settled before it was submitted')
}

import type { ErrorCode } from './errors.js'
import type { OperationKind, QuorumLevel } from './instruments.js'

/** How somebody outside names a request, so that lines about it can be found together. */
export interface RequestName {
  /** As the caller gave it, or as it was made at the door; empty: it has none. */
  readonly requestId: string
  /** W3C Trace Context, as the caller gave it; empty: it gave none. */
  readonly traceparent: string
  /** Whoever began the trace wants to see what becomes of the request. */
  readonly sampled: boolean
}

/** An operation that took long here. */
export interface SlowOperation {
  readonly kind: OperationKind
  readonly level: QuorumLevel
  /** Or the prefix of a scan. Whoever tells of it must not show it. */
  readonly key: Uint8Array
  readonly tookMs: number
  /** Why it failed; undefined: it did not. */
  readonly code: ErrorCode | undefined
  readonly request: RequestName | undefined
}

/** Who is told of operations that take at least `thresholdMs` from their admission to their end. `slow` must not throw. */
export interface SlowWatch {
  readonly thresholdMs: number
  slow(operation: SlowOperation): void
}

import { Metadata, type ServerErrorResponse, status } from '@grpc/grpc-js'
import { type ErrorCode, KvError, type WriteOutcome } from '@quorumkv/internal/base'
import { ErrorCode as WireCode, type Error as WireError, WriteOutcome as WireOutcome } from '@quorumkv/proto/kv/v1/kv'

/** Whether a failed operation could have changed something, and so owes its caller an outcome. */
export type OperationKind = 'read' | 'write'

/** The trailer of failed writes: `not-applied` or `unknown`. */
export const outcomeTrailer = 'kv-outcome'

/** The trailer of what was refused as `invalid-argument`: the field that is wrong. */
export const fieldTrailer = 'kv-field'

/** What a server of gRPC says about when to try again (gRFC A6), which clients of other languages go by on their own. */
export const pushbackTrailer = 'grpc-retry-pushback-ms'

const statusOf: Readonly<Record<ErrorCode, status>> = {
  'invalid-argument': status.INVALID_ARGUMENT,
  unavailable: status.UNAVAILABLE,
  timeout: status.DEADLINE_EXCEEDED,
  overloaded: status.RESOURCE_EXHAUSTED,
  'read-only': status.FAILED_PRECONDITION,
  unauthenticated: status.UNAUTHENTICATED,
  'permission-denied': status.PERMISSION_DENIED,
  cancelled: status.CANCELLED,
  closed: status.UNAVAILABLE,
}

const wireCodeOf: Readonly<Record<ErrorCode, WireCode>> = {
  'invalid-argument': WireCode.INVALID_ARGUMENT,
  unavailable: WireCode.UNAVAILABLE,
  timeout: WireCode.TIMEOUT,
  overloaded: WireCode.OVERLOADED,
  'read-only': WireCode.READ_ONLY,
  unauthenticated: WireCode.UNAUTHENTICATED,
  'permission-denied': WireCode.PERMISSION_DENIED,
  cancelled: WireCode.CANCELLED,
  closed: WireCode.UNAVAILABLE,
}

const wireOutcomeOf: Readonly<Record<WriteOutcome, WireOutcome>> = {
  'not-applied': WireOutcome.NOT_APPLIED,
  unknown: WireOutcome.UNKNOWN,
}

/** A failed write that does not say otherwise may have been applied. */
export function outcomeOf(error: unknown): WriteOutcome {
  return (error instanceof KvError ? error.outcome : undefined) ?? 'unknown'
}

/** Text without half surrogate pairs: gRPC encodes details with encodeURI, which throws on them, and JSON has no UTF-8 for them. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd')
}

/** The status that ends a call. What is not a KvError is a bug, and its message stays in the node's log. */
export function toStatus(error: unknown, kind: OperationKind): ServerErrorResponse {
  const known = error instanceof KvError
  const details = known ? wellFormed(error.message) : 'the node met an internal error'
  const metadata = new Metadata()
  if (kind === 'write') metadata.set(outcomeTrailer, outcomeOf(error))
  if (known && error.field !== undefined) metadata.set(fieldTrailer, error.field)
  if (known && error.retryAfterMs !== undefined) metadata.set(pushbackTrailer, String(error.retryAfterMs))
  return Object.assign(new Error(details), {
    code: known ? statusOf[error.code] : status.INTERNAL,
    details,
    metadata,
  })
}

/** The same inside a session. */
export function toWireError(error: unknown, kind: OperationKind): WireError {
  const known = error instanceof KvError
  return {
    code: known ? wireCodeOf[error.code] : WireCode.INTERNAL,
    message: known ? wellFormed(error.message) : 'the node met an internal error',
    field: known ? (error.field ?? '') : '',
    writeOutcome: kind === 'write' ? wireOutcomeOf[outcomeOf(error)] : WireOutcome.UNSPECIFIED,
  }
}

import { ErrorCode, WriteOutcome as WireOutcome } from '@quorumkv/proto/kv/v1/kv'
import { type CallError, grpcStatus } from './call.js'
import { KvError, type KvErrorCode, stacklessError, type WriteOutcome } from './errors.js'
import type { Reply } from './session/wire-reader.js'

const codesByStatus: ReadonlyMap<number, KvErrorCode> = new Map([
  [grpcStatus.invalidArgument, 'invalid-argument'],
  [grpcStatus.unavailable, 'unavailable'],
  [grpcStatus.deadlineExceeded, 'timeout'],
  [grpcStatus.resourceExhausted, 'overloaded'],
  [grpcStatus.failedPrecondition, 'read-only'],
  [grpcStatus.unauthenticated, 'unauthenticated'],
  [grpcStatus.permissionDenied, 'permission-denied'],
  // The client's own cancellations never come here: this one is the node's, or the connection's.
  [grpcStatus.cancelled, 'unavailable'],
] as const)

const codesByWireCode: ReadonlyMap<number, KvErrorCode> = new Map([
  [ErrorCode.INVALID_ARGUMENT, 'invalid-argument'],
  [ErrorCode.UNAVAILABLE, 'unavailable'],
  [ErrorCode.TIMEOUT, 'timeout'],
  [ErrorCode.OVERLOADED, 'overloaded'],
  [ErrorCode.READ_ONLY, 'read-only'],
  [ErrorCode.UNAUTHENTICATED, 'unauthenticated'],
  [ErrorCode.PERMISSION_DENIED, 'permission-denied'],
  [ErrorCode.CANCELLED, 'unavailable'],
] as const)

/** How a call of its own (not an operation on a session) failed. */
export function fromStatus(error: CallError, node: string): KvError {
  const cannot =
    error.code === grpcStatus.unimplemented
      ? 'is of an older release that cannot do this, or no node of QuorumKV: '
      : ''
  return new KvError(codesByStatus.get(error.code) ?? 'internal', `${node}: ${cannot}${error.message}`, {
    node,
    field: error.field === undefined ? undefined : camelCase(error.field),
    retryAfterMs: error.retryAfterMs,
    cause: error,
  })
}

/** Fields of the schema are options here, under the names that this language gives them. */
function camelCase(field: string): string {
  return field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

/** What became of the operations on a session that ended. */
export interface Break {
  readonly error: KvError
  /** The node turned the session away: certainly nothing of what was sent has been looked at. */
  readonly refused: boolean
}

/**
 * How a session ended. Most causes concern the connection and not the operations on it, which may be repeated
 * elsewhere: `unavailable`. Others would meet every repetition.
 */
export function breakOf(error: CallError, node: string, heard: boolean): Break {
  switch (error.code) {
    case grpcStatus.unauthenticated:
    case grpcStatus.permissionDenied:
      return { error: fromStatus(error, node), refused: !heard }
    case grpcStatus.resourceExhausted:
      return { error: fromStatus(error, node), refused: false }
    case grpcStatus.invalidArgument:
      return {
        error: new KvError('internal', `${node}: cannot read what this client sends: ${error.message}`, {
          node,
          cause: error,
        }),
        refused: false,
      }
    case grpcStatus.unimplemented:
      return {
        error: new KvError('unavailable', `${node}: is not a QuorumKV node, or knows no sessions`, {
          node,
          cause: error,
        }),
        refused: !heard,
      }
    default:
      return {
        error: new KvError('unavailable', `${node}: ${error.message}`, { node, cause: error }),
        refused: false,
      }
  }
}

/** An error that a node gave as the result of one operation. */
export function fromReply(reply: Reply, node: string): KvError {
  return stacklessError(codesByWireCode.get(reply.code) ?? 'internal', reply.message || `failed at ${node}`, {
    node,
    field: reply.field === '' ? undefined : camelCase(reply.field),
    outcome: outcomeOf(reply.writeOutcome),
  })
}

function outcomeOf(outcome: number): WriteOutcome | undefined {
  if (outcome === WireOutcome.NOT_APPLIED) return 'not-applied'
  return outcome === WireOutcome.UNKNOWN ? 'unknown' : undefined
}

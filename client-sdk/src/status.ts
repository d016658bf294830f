import { type ServiceError, status } from '@grpc/grpc-js'
import { ErrorCode, WriteOutcome as WireOutcome } from '@quorumkv/proto/kv/v1/kv'
import { KvError, type KvErrorCode, type WriteOutcome } from './errors.js'
import type { Reply } from './wire-reader.js'

const codesByStatus: ReadonlyMap<number, KvErrorCode> = new Map([
  [status.INVALID_ARGUMENT, 'invalid-argument'],
  [status.UNAVAILABLE, 'unavailable'],
  [status.DEADLINE_EXCEEDED, 'timeout'],
  [status.RESOURCE_EXHAUSTED, 'overloaded'],
  [status.FAILED_PRECONDITION, 'read-only'],
  [status.UNAUTHENTICATED, 'unauthenticated'],
  [status.PERMISSION_DENIED, 'permission-denied'],
  // The client's own cancellations never come here: this one is the node's, or the connection's.
  [status.CANCELLED, 'unavailable'],
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
export function fromStatus(error: ServiceError, node: string): KvError {
  return new KvError(codesByStatus.get(error.code) ?? 'internal', `${node}: ${error.details || error.message}`, {
    node,
    cause: error,
  })
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
export function breakOf(error: ServiceError, node: string, heard: boolean): Break {
  switch (error.code) {
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return { error: fromStatus(error, node), refused: !heard }
    case status.RESOURCE_EXHAUSTED:
      return { error: fromStatus(error, node), refused: false }
    case status.INVALID_ARGUMENT:
      return {
        error: new KvError('internal', `${node}: cannot read what this client sends: ${error.details}`, {
          node,
          cause: error,
        }),
        refused: false,
      }
    case status.UNIMPLEMENTED:
      return {
        error: new KvError('unavailable', `${node}: is not a QuorumKV node, or knows no sessions`, {
          node,
          cause: error,
        }),
        refused: !heard,
      }
    default:
      return {
        error: new KvError('unavailable', `${node}: ${error.details || error.message}`, { node, cause: error }),
        refused: false,
      }
  }
}

/** An error that a node gave as the result of one operation. */
export function fromReply(reply: Reply, node: string): KvError {
  return new KvError(codesByWireCode.get(reply.code) ?? 'internal', reply.message || `failed at ${node}`, {
    node,
    field: reply.field === '' ? undefined : reply.field,
    outcome: outcomeOf(reply.writeOutcome),
  })
}

function outcomeOf(outcome: number): WriteOutcome | undefined {
  if (outcome === WireOutcome.NOT_APPLIED) return 'not-applied'
  return outcome === WireOutcome.UNKNOWN ? 'unknown' : undefined
}

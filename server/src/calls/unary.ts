import { Metadata, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js'
import { Cancellation, KvError, limits, type RequestName, stacklessError } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { Clock } from '@quorumkv/internal/env'
import { principalOf } from '../access/guarded-server.js'
import type { Principal } from '../access/principal.js'
import { addressGroup, addressOfPeer } from '../limits/connection-gate.js'
import { type OperationKind, toStatus } from './errors.js'
import { requestFacts, requestIdKey, requestNameIn } from './request-name.js'
import { reportBug, requireNode, type ServiceContext } from './service-context.js'
import { clampTimeoutMs } from './validation.js'

/**
 * How much earlier than the caller's deadline the node gives up: at the deadline itself gRPC ends the call on both
 * sides, and whether a write was applied would never be told.
 */
const replyLeadMs = 10

/** How long the node tries, of the time for which a caller waits; 0 stands for the default. */
export function giveUpAfterMs(timeoutMs: number): number {
  const clampedMs = clampTimeoutMs(timeoutMs)
  return clampedMs - Math.min(replyLeadMs, clampedMs / 10)
}

/** The parts of a call that do not depend on its kind. */
export type AnyCall = Pick<ServerUnaryCall<unknown, unknown>, 'getDeadline' | 'on'>

/**
 * How long a caller still waits; the default where it set no deadline. Throws `timeout` when the deadline has passed.
 */
export function timeLeftMs(call: AnyCall, clock: Clock): number {
  const deadline = call.getDeadline()
  const leftMs = (deadline instanceof Date ? deadline.getTime() : deadline) - clock.wallMs()
  if (leftMs <= 0) {
    throw new KvError('timeout', 'the deadline had passed before the work was begun', { outcome: 'not-applied' })
  }
  return leftMs === Number.POSITIVE_INFINITY ? limits.requestTimeoutMs : leftMs
}

/** A cancellation for when the caller goes away. */
export function cancellationOf(call: AnyCall): Cancellation {
  const cancellation = new Cancellation()
  // Also emitted when a call has ended in order; cancelling what is settled has no effect.
  call.on('cancelled', () => cancellation.cancel())
  return cancellation
}

export interface UnaryScope {
  readonly node: Node
  /** On the node's monotonic clock. */
  readonly deadlineMs: number
  readonly cancellation: Cancellation
  /** How its caller names it; undefined: it does not. */
  readonly request: RequestName | undefined
  /** Who calls. */
  readonly principal: Principal
}

/** What the answer to a named call ends with. */
function trailersOf({ requestId }: RequestName): Metadata {
  const trailers = new Metadata()
  if (requestId !== '') trailers.set(requestIdKey, requestId)
  return trailers
}

/** Why an answer may not be made now: it would have to wait with too many others. What a write tells is small. */
function refusal({ answersAreFull }: ServiceContext, kind: OperationKind): KvError | undefined {
  if (kind === 'write' || answersAreFull?.() !== true) return undefined
  return stacklessError('overloaded', 'too many answers wait for clients to take them', {})
}

/** Calls `run` when it is the turn of whoever calls: at once, unless much is read. */
function inTurn(
  call: Pick<ServerUnaryCall<unknown, unknown>, 'getPeer'>,
  { turns }: ServiceContext,
  of: 'read' | 'answer',
  run: () => void,
): void {
  if (turns === undefined) run()
  else turns[of](() => addressGroup(addressOfPeer(call.getPeer())), run)
}

/** Runs one unary call: whatever `run` throws or rejects with becomes its status. */
export function answerUnary<Request, Response>(
  call: ServerUnaryCall<Request, Response>,
  callback: sendUnaryData<Response>,
  context: ServiceContext,
  kind: OperationKind,
  run: (request: Request, scope: UnaryScope) => Promise<Response>,
): void {
  const named = requestNameIn(call.metadata)
  const fail = (error: unknown): void => {
    reportBug(context, error)
    const answer = toStatus(error, kind)
    if (named !== undefined) {
      answer.metadata?.merge(trailersOf(named))
      context.log.debug('a call failed', { call: call.getPath(), cause: answer.details, ...requestFacts(named) })
    }
    callback(answer)
  }
  const answer = (response: Promise<Response>, trailers: Metadata | undefined): void => {
    response.then((value) => {
      // Others may have been answered meanwhile.
      inTurn(call, context, 'answer', () => {
        const late = refusal(context, kind)
        if (late === undefined) callback(null, value, trailers)
        else fail(late)
      })
    }, fail)
  }
  try {
    const principal = principalOf(call, context.access)
    const node = requireNode(context)
    const timeoutMs = giveUpAfterMs(timeLeftMs(call, context.clock))
    const deadlineMs = context.clock.monotonicMs() + timeoutMs
    const scope = { node, deadlineMs, cancellation: cancellationOf(call), request: named, principal }
    const trailers = named === undefined ? undefined : trailersOf(named)
    if (kind === 'write') {
      answer(run(call.request, scope), trailers)
      return
    }
    inTurn(call, context, 'read', () => {
      const refused = refusal(context, kind)
      if (refused === undefined) answer(run(call.request, scope), trailers)
      else fail(refused)
    })
  } catch (error) {
    fail(error)
  }
}

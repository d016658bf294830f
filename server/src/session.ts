import { Metadata, type ServerDuplexStream } from '@grpc/grpc-js'
import { Cancellation, invalidArgument, KvError, limits } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import { hlcFromBigint, hlcToBigint } from '@quorumkv/internal/hlc'
import type { Operation, Result, SessionRequest, SessionResponse } from '@quorumkv/proto/kv/v1/kv'
import { type OperationKind, toStatus, toWireError } from './errors.js'
import { toDeleteResponse, toGetResponse, toPutResponse } from './messages.js'
import type { ResultBudget } from './result-budget.js'
import { reportBug, type ServiceContext } from './service-context.js'
import { giveUpAfterMs } from './unary.js'
import { checkDelete, checkGet, checkPut } from './validation.js'

export type SessionCall = ServerDuplexStream<SessionRequest, SessionResponse>
type Outcome = NonNullable<Result['outcome']>

/** What a result weighs beside its values: ids, versions, lengths. Rough, and only for limits. */
const resultOverheadBytes = 64

function weightOf(outcome: Outcome): number {
  switch (outcome.$case) {
    case 'get':
      return resultOverheadBytes + outcome.value.value.length
    case 'put':
      return resultOverheadBytes + outcome.value.previousValue.length
    case 'delete':
      return resultOverheadBytes
    case 'error':
      return resultOverheadBytes + outcome.value.message.length
  }
}

/** A write without a request is none: nothing was asked for, so nothing can have been applied. */
function kindOf(operation: Operation): OperationKind {
  return operation.request?.$case === 'get' ? 'read' : 'write'
}

export interface SessionOptions {
  readonly call: SessionCall
  readonly node: Node
  readonly context: ServiceContext
  readonly budget: ResultBudget
  /** A client's clock reading was too far ahead to be merged. */
  readonly onDriftingClient: (peer: string) => void
  /** The session is over, for good. Called exactly once. */
  readonly onClose: () => void
}

/**
 * One stream of operations from one client. It starts everything that a message carries, and gathers what ends within
 * one turn of the event loop into one message back, because it is messages that cost and not operations.
 *
 * Bounds: operations in flight (`limits.sessionOpsMax`), and the results that the client has not read. At
 * `sessionResultBytesMark` no more requests are read; what then still runs may end, and past `sessionResultBytesMax`
 * its values are withheld.
 */
export class Session {
  readonly #call: SessionCall
  readonly #node: Node
  readonly #context: ServiceContext
  readonly #budget: ResultBudget
  readonly #onDriftingClient: (peer: string) => void
  readonly #onClose: () => void
  readonly #inFlight = new Map<number, Cancellation>()
  #results: Result[] = []
  /** The weight of `#results`, and of those together with what was written and not yet taken by the connection. */
  #gatheredBytes = 0
  #heldBytes = 0
  #flushPending = false
  #paused = false
  /** The client will send no more, but may wait for results. */
  #halfClosed = false
  #closed = false

  constructor(options: SessionOptions) {
    this.#call = options.call
    this.#node = options.node
    this.#context = options.context
    this.#budget = options.budget
    this.#onDriftingClient = options.onDriftingClient
    this.#onClose = options.onClose
    // Tells the client at once that somebody listens; without this it would learn so with the first result.
    this.#call.sendMetadata(new Metadata())
    this.#call.on('data', (request: SessionRequest) => this.#receive(request))
    this.#call.on('end', () => {
      this.#halfClosed = true
      this.#endIfDone()
    })
    this.#call.on('cancelled', () => this.#dispose())
    this.#call.on('close', () => this.#dispose())
  }

  /** Ends the session in order: what has ended is still sent, then the client is told to go elsewhere. Idempotent. */
  close(reason: string): void {
    if (this.#closed) return
    this.#flush()
    this.#call.emit('error', toStatus(new KvError('unavailable', reason), 'read'))
    this.#dispose()
  }

  #receive(request: SessionRequest): void {
    if (this.#closed) return
    if (request.observedHlc !== 0n && !this.#node.observe(hlcFromBigint(request.observedHlc))) {
      this.#onDriftingClient(this.#call.getPeer())
    }
    const nowMs = this.#context.clock.monotonicMs()
    for (const operation of request.operations) this.#start(operation, nowMs)
    for (const id of request.cancelled) this.#inFlight.get(id)?.cancel()
  }

  #start(operation: Operation, nowMs: number): void {
    const { id } = operation
    const kind = kindOf(operation)
    // Only an operation that was registered under its id may take it away again: a second one with the same id must not.
    if (this.#inFlight.has(id)) {
      this.#settle(id, this.#failure(invalidArgument('id', `${id} is in flight on this session already`), kind))
      return
    }
    if (this.#inFlight.size >= limits.sessionOpsMax) {
      const message = `${limits.sessionOpsMax} operations are in flight on this session`
      this.#settle(id, this.#failure(new KvError('overloaded', message, { outcome: 'not-applied' }), kind))
      return
    }
    const cancellation = new Cancellation()
    this.#inFlight.set(id, cancellation)
    const fail = (error: unknown): void => {
      this.#inFlight.delete(id)
      this.#settle(id, this.#failure(error, kind))
    }
    try {
      this.#run(operation, nowMs + giveUpAfterMs(operation.timeoutMs), cancellation).then((outcome) => {
        this.#inFlight.delete(id)
        this.#settle(id, outcome)
      }, fail)
    } catch (error) {
      fail(error)
    }
  }

  /** Throws, or rejects with, KvError. */
  #run(operation: Operation, deadlineMs: number, cancellation: Cancellation): Promise<Outcome> {
    const { request } = operation
    switch (request?.$case) {
      case 'get': {
        const options = { consistency: checkGet(request.value), deadlineMs, cancellation }
        return this.#node.get(request.value.key, options).then((record) => {
          return { $case: 'get', value: toGetResponse(record) }
        })
      }
      case 'put': {
        const { key, value, returnPrevious } = request.value
        const { consistency, ttlMs } = checkPut(request.value)
        const options = { consistency, deadlineMs, cancellation, ttlMs, returnPrevious }
        return this.#node.put(key, value, options).then((result) => ({ $case: 'put', value: toPutResponse(result) }))
      }
      case 'delete': {
        const options = { consistency: checkDelete(request.value), deadlineMs, cancellation }
        return this.#node.delete(request.value.key, options).then((result) => {
          return { $case: 'delete', value: toDeleteResponse(result) }
        })
      }
      case undefined:
        throw invalidArgument('request', 'must be one of get, put, delete')
    }
  }

  #failure(error: unknown, kind: OperationKind): Outcome {
    reportBug(this.#context, error)
    return { $case: 'error', value: toWireError(error, kind) }
  }

  /** The outcome itself, or `overloaded` where its value would have to wait in memory that is not there. */
  #withinBudget(outcome: Outcome, weight: number): Outcome {
    const fits = this.#heldBytes + weight <= limits.sessionResultBytesMax && this.#budget.fits(weight)
    if (fits || weight <= resultOverheadBytes || outcome.$case === 'error') return outcome
    const message = 'too many results wait for this client to read them'
    // The write was applied: its caller must not think otherwise.
    return this.#failure(new KvError('overloaded', message), outcome.$case === 'get' ? 'read' : 'write')
  }

  #settle(id: number, full: Outcome): void {
    if (this.#closed) return
    const fullWeight = weightOf(full)
    const outcome = this.#withinBudget(full, fullWeight)
    const weight = outcome === full ? fullWeight : weightOf(outcome)
    this.#results.push({ id, outcome })
    this.#gatheredBytes += weight
    this.#heldBytes += weight
    this.#budget.hold(weight)
    if (this.#heldBytes >= limits.sessionResultBytesMark && !this.#paused) {
      this.#paused = true
      this.#call.pause()
    }
    if (this.#gatheredBytes >= limits.batchBytesMax) {
      this.#flush()
    } else if (!this.#flushPending) {
      this.#flushPending = true
      this.#context.clock.defer(() => {
        this.#flushPending = false
        this.#flush()
      })
    }
  }

  #flush(): void {
    if (this.#closed || this.#results.length === 0) return
    const results = this.#results
    const bytes = this.#gatheredBytes
    this.#results = []
    this.#gatheredBytes = 0
    const hlc = hlcToBigint(this.#node.clockReading())
    const epoch = BigInt(this.#node.topology?.epoch ?? 0)
    this.#call.write({ hlc, epoch, results }, () => this.#taken(bytes))
    this.#endIfDone()
  }

  #taken(bytes: number): void {
    // A closed session has given everything back at once.
    if (this.#closed) return
    this.#heldBytes -= bytes
    this.#budget.release(bytes)
    if (this.#paused && this.#heldBytes < limits.sessionResultBytesMark / 2) {
      this.#paused = false
      this.#call.resume()
    }
  }

  #endIfDone(): void {
    if (!this.#halfClosed || this.#closed || this.#inFlight.size > 0 || this.#results.length > 0) return
    this.#call.end()
  }

  #dispose(): void {
    if (this.#closed) return
    this.#closed = true
    this.#budget.release(this.#heldBytes)
    this.#results = []
    for (const cancellation of this.#inFlight.values()) cancellation.cancel()
    this.#inFlight.clear()
    this.#onClose()
  }
}

import { Metadata, type ServerDuplexStream } from '@grpc/grpc-js'
import { invalidArgument, KvError, limits, type RequestName, stacklessError } from '@quorumkv/internal/base'
import { type Node, notServing } from '@quorumkv/internal/cluster'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { WriteResult } from '@quorumkv/internal/replication'
import { prefetchKeysMax } from '@quorumkv/internal/store'
import type { Principal } from '../access/principal.js'
import { dropCall } from '../calls/dropped-call.js'
import { type OperationKind, toStatus, toWireError } from '../calls/errors.js'
import { requestName, requestNameIn } from '../calls/request-name.js'
import { reportBug, type ServiceContext } from '../calls/service-context.js'
import { giveUpAfterMs } from '../calls/unary.js'
import { checkKey, checkStampBound, checkTimeout, checkTtl, checkValue, parseConsistency } from '../calls/validation.js'
import type { Peer, Readers } from '../limits/slow-peers.js'
import { HeldResults, type ResultBudget } from './result-budget.js'
import { ResultWriter } from './result-writer.js'
import { type OperationOwner, OperationTable, type SessionOperation } from './session-operation.js'
import { readSessionRequest, type SessionBatch } from './session-request.js'
import { WireError } from './wire-reader.js'

/** A session with its messages left as bytes: see session-request.ts and result-writer.ts. */
export type SessionCall = ServerDuplexStream<Buffer, Buffer>

/** An operation without a request is taken for a write: nothing was asked for, and nothing can have been applied. */
function kindOf(operation: SessionOperation): OperationKind {
  return operation.kind === 'get' ? 'read' : 'write'
}

/** Throws `invalid-argument`. */
function check(operation: SessionOperation): void {
  if (operation.kind === 'nothing') throw invalidArgument('request', 'must be one of get, put, delete')
  checkKey(operation.key)
  checkTimeout(operation.timeoutMs === 0 ? undefined : operation.timeoutMs, 'timeout_ms')
  checkStampBound('stamp_above_ms', operation.stampAboveMs)
  checkStampBound('stamp_limit_ms', operation.stampLimitMs)
  if (operation.kind === 'put') {
    checkValue(operation.value)
    checkTtl(operation.ttlMs)
  }
  operation.consistency = parseConsistency(operation.consistencyNumber)
}

export interface SessionOptions {
  readonly call: SessionCall
  /** Who calls. */
  readonly principal: Principal
  readonly node: Node
  readonly context: ServiceContext
  readonly budget: ResultBudget
  /** A client's clock reading was too far ahead to be merged. */
  readonly onDriftingClient: (peer: string) => void
  /** Cuts off who does not take what waits. */
  readonly readers: Readers | undefined
  /** The session is over, for good. Called exactly once. */
  readonly onClose: () => void
}

const sessionPath = '/kv.v1.Kv/Session'

/**
 * One stream of operations from one client. It starts everything that a message carries, and gathers what ends within
 * one turn of the event loop into one message back, because it is messages that cost and not operations. Where nothing
 * else is under way the message leaves sooner, when the code that runs has come to its end.
 *
 * Bounds: operations in flight (`limits.sessionOpsMax`), and the results that the client has not read. At
 * `sessionResultBytesMark` no more requests are read; what then still runs may end, and past `sessionResultBytesMax`
 * its values are withheld.
 */
export class Session implements OperationOwner, Peer {
  readonly #call: SessionCall
  readonly #principal: Principal
  readonly #node: Node
  readonly #context: ServiceContext
  readonly #name: RequestName | undefined
  readonly #onDriftingClient: (peer: string) => void
  readonly #readers: Readers | undefined
  readonly #onClose: () => void
  /** When something came last, or else when it began. */
  #heardMs: number
  readonly #inFlight = new OperationTable()
  readonly #results = new ResultWriter()
  /** The bytes of `#results`, and of what was written and not yet taken by the connection. */
  readonly #held: HeldResults
  /** Whether what has gathered is about to leave. */
  #leaving: 'no' | 'with-the-turn' | 'at-once' = 'no'
  #paused = false
  /** The client will send no more, but may wait for results. */
  #halfClosed = false
  /** Everything has been answered and the stream ended; what was written may still wait for the client. */
  #ended = false
  #closed = false

  constructor(options: SessionOptions) {
    this.#call = options.call
    this.#principal = options.principal
    this.#node = options.node
    this.#context = options.context
    this.#name = requestNameIn(options.call.metadata)
    this.#held = new HeldResults(options.budget)
    this.#onDriftingClient = options.onDriftingClient
    this.#readers = options.readers
    this.#onClose = options.onClose
    this.#readers?.add(this)
    this.#heardMs = options.context.clock.monotonicMs()
    // Tells the client at once that somebody listens; without this it would learn so with the first result.
    this.#call.sendMetadata(new Metadata())
    if (this.#isDraining) this.drain()
    this.#call.on('data', (message: Buffer) => this.#receive(message))
    this.#call.on('end', () => {
      this.#halfClosed = true
      this.#endIfDone()
    })
    this.#call.on('cancelled', () => this.#dispose())
    this.#call.on('close', () => this.#release())
  }

  /** Bytes of results that the client has not taken. The stream below knows of one message only: the library keeps the others. */
  get writableLength(): number {
    return this.#held.bytes - this.#results.length
  }

  taken(): number {
    return this.#held.taken
  }

  /** Ends it out of order: what waits is dropped, as it is what is not taken. */
  cut(): void {
    const error = new KvError('overloaded', 'the results of this session were not taken in time')
    this.#endWith(error)
    dropCall(this.#call, toStatus(error, 'read'))
  }

  /** Since when nothing has been asked, on the clock of the node. Undefined: something is under way. */
  get idleSinceMs(): number | undefined {
    return this.#inFlight.size === 0 ? this.#heardMs : undefined
  }

  /** Tells the client, at once, that the node takes no more operations. */
  drain(): void {
    // Behind the end nothing may be written: the stream would break, with all that still waits in it.
    if (!this.#closed && !this.#ended) this.#send()
  }

  /** Ends the session in order: what has ended is still sent, then the client is told to go elsewhere. Idempotent. */
  close(reason: string): void {
    this.#endWith(stacklessError('unavailable', reason, {}))
  }

  /** Ends the session where whoever opened it may not have one any more. */
  checkPrincipal(): void {
    const { over } = this.#principal
    if (over !== '') this.#endWith(new KvError('unauthenticated', over))
  }

  #endWith(error: KvError): void {
    if (this.#closed) return
    this.#flush()
    this.#call.emit('error', toStatus(error, 'read'))
    this.#dispose()
  }

  #receive(message: Buffer): void {
    if (this.#closed) return
    this.#context.access.refresh()
    // By that it may have been closed.
    if (this.#closed) return
    let batch: SessionBatch
    try {
      batch = readSessionRequest(message)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.#endWith(new KvError('invalid-argument', `this is no SessionRequest: ${error.message}`))
      return
    }
    const observed = { hi: batch.observedHi, lo: batch.observedLo }
    if ((observed.hi !== 0 || observed.lo !== 0) && !this.#node.observe(observed)) {
      this.#onDriftingClient(this.#call.getPeer())
    }
    const nowMs = this.#context.clock.monotonicMs()
    this.#heardMs = nowMs
    const { operations } = batch
    for (let i = 0; i < operations.length; i++) {
      if (i % prefetchKeysMax === 0) this.#readAhead(operations, i)
      this.#start(operations[i]!, nowMs)
    }
    for (const id of batch.cancelled) this.#inFlight.get(id)?.cancel()
  }

  /** Has the store look for what the next gets will read, mostly from here, so that they wait for memory together. */
  #readAhead(operations: readonly SessionOperation[], from: number): void {
    const end = Math.min(from + prefetchKeysMax, operations.length)
    const keys: Uint8Array[] = []
    for (let i = from; i < end; i++) if (operations[i]!.kind === 'get') keys.push(operations[i]!.key)
    if (keys.length > 1) this.#node.localStore?.prefetch(keys, 0, keys.length)
  }

  #start(operation: SessionOperation, nowMs: number): void {
    const { id } = operation
    if (this.#inFlight.size >= limits.sessionOpsMax) {
      const message = `${limits.sessionOpsMax} operations are in flight on this session`
      this.#refuse(operation, stacklessError('overloaded', message, { outcome: 'not-applied' }))
      return
    }
    // Only what was put into the table may be taken out of it: a second operation with the same id must not be.
    if (this.#inFlight.get(id) !== undefined) {
      this.#refuse(operation, invalidArgument('id', `${id} is in flight on this session already`))
      return
    }
    operation.deadlineMs = nowMs + giveUpAfterMs(operation.timeoutMs)
    this.#inFlight.add(operation)
    try {
      check(operation)
      if (!this.#principal.unrestricted) this.#checkPermission(operation)
      this.#principal.rate?.admit(operation.key.length + operation.value.length)
      this.#ask(operation)
    } catch (error) {
      this.failed(operation, error)
    }
  }

  /** Throws `permission-denied`. */
  #checkPermission({ kind, key }: SessionOperation): void {
    const principal = this.#principal
    try {
      if (kind !== 'get') principal.checkRole('write')
      principal.checkKey(key)
    } catch (error) {
      if (error instanceof KvError) {
        const { code: outcome, message: reason } = error
        const [who, from] = [principal.name, this.#call.getPeer()]
        this.#context.access.audit({ action: sessionPath, who, from, outcome, reason })
      }
      throw error
    }
  }

  #ask(operation: SessionOperation): void {
    const { coordinator, phase } = this.#node
    if (coordinator === undefined) throw notServing(phase)
    operation.owner = this
    operation.request = this.#nameOf(operation)
    switch (operation.kind) {
      case 'get':
        coordinator.startGet(operation.key, operation, operation)
        break
      case 'put':
        coordinator.startPut(operation.key, operation.value, operation, operation)
        break
      default:
        coordinator.startDelete(operation.key, operation, operation)
    }
  }

  #nameOf({ traceparent }: SessionOperation): RequestName | undefined {
    if (traceparent === '') return this.#name
    return requestName(this.#name?.requestId, traceparent) ?? this.#name
  }

  /** @internal */
  got(operation: SessionOperation, record: StoredRecord | undefined): void {
    if (this.#closed) return
    this.#inFlight.remove(operation)
    if (record !== undefined) this.#principal.rate?.charge(record.value.length)
    if (record !== undefined && !this.#fits(record.value.length)) {
      this.#withhold(operation)
      return
    }
    const before = this.#results.length
    this.#results.get(operation.id, record)
    this.#gathered(before)
  }

  /** @internal */
  wrote(operation: SessionOperation, result: WriteResult): void {
    if (this.#closed) return
    this.#inFlight.remove(operation)
    if (result.previous !== undefined) {
      const { length } = result.previous.value
      this.#principal.rate?.charge(length)
      if (!this.#fits(length)) {
        this.#withhold(operation)
        return
      }
    }
    const before = this.#results.length
    if (operation.kind === 'put') this.#results.put(operation.id, result)
    else this.#results.delete(operation.id, result)
    this.#gathered(before)
  }

  /** @internal */
  failed(operation: SessionOperation, error: unknown): void {
    if (this.#closed) {
      reportBug(this.#context, error)
      return
    }
    this.#inFlight.remove(operation)
    this.#refuse(operation, error)
  }

  /** Whether there is memory in which a value may wait for the client. Results without one always fit. */
  #fits(valueBytes: number): boolean {
    if (valueBytes === 0) return true
    return this.#held.fits(valueBytes)
  }

  #withhold(operation: SessionOperation): void {
    // Of a write it says nothing about the outcome, and so leaves it unknown: it has been applied.
    this.#refuse(operation, new KvError('overloaded', 'too many results wait for this client to read them'))
  }

  #refuse(operation: SessionOperation, error: unknown): void {
    reportBug(this.#context, error)
    const before = this.#results.length
    this.#results.error(operation.id, toWireError(error, kindOf(operation)))
    this.#gathered(before)
  }

  /** Counts what was added to the results, and sees to it that they leave. */
  #gathered(before: number): void {
    const bytes = this.#results.length - before
    this.#held.hold(bytes)
    if (this.#held.bytes >= limits.sessionResultBytesMark && !this.#paused) {
      this.#paused = true
      this.#call.pause()
    }
    if (this.#results.length >= limits.batchBytesMax) {
      this.#flush()
    } else {
      this.#scheduleFlush()
    }
  }

  #scheduleFlush(): void {
    if (this.#inFlight.size === 0) {
      // Nothing more will come for which it would be worth to wait until the loop turns.
      if (this.#leaving === 'at-once') return
      this.#leaving = 'at-once'
      process.nextTick(() => this.#leave())
    } else if (this.#leaving === 'no') {
      this.#leaving = 'with-the-turn'
      this.#context.clock.defer(() => this.#leave())
    }
  }

  #leave(): void {
    this.#leaving = 'no'
    this.#flush()
  }

  #flush(): void {
    const bytes = this.#results.length
    if (this.#closed || bytes === 0) return
    this.#send()
    this.#endIfDone()
  }

  get #isDraining(): boolean {
    return this.#node.members?.draining === true
  }

  #send(): void {
    const bytes = this.#results.length
    const epoch = this.#node.topology?.epoch ?? 0
    const message = this.#results.take(this.#node.clockReading(), epoch, this.#isDraining)
    this.#call.write(message, () => this.#taken(bytes))
  }

  #taken(bytes: number): void {
    this.#held.take(bytes)
    if (this.#paused && this.#held.bytes < limits.sessionResultBytesMark / 2) {
      this.#paused = false
      this.#call.resume()
    }
  }

  #endIfDone(): void {
    if (!this.#halfClosed || this.#ended || this.#closed) return
    if (this.#inFlight.size > 0 || this.#results.length > 0) return
    this.#ended = true
    this.#call.end()
  }

  /** Nothing is done for the client any more. What was written waits for it all the same, and is counted until it is taken. */
  #dispose(): void {
    if (this.#closed) return
    this.#closed = true
    this.#held.drop(this.#results.clear())
    this.#inFlight.clear((operation) => operation.cancel())
    this.#onClose()
  }

  /** The call is over: nothing waits any more. */
  #release(): void {
    this.#dispose()
    this.#held.release()
    this.#readers?.remove(this)
  }
}

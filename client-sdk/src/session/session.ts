import { ClusterService } from '@quorumkv/proto/kv/v1/cluster'
import type { NodeStats } from '../client-stats.js'
import { KvError } from '../errors.js'
import { limits } from '../limits.js'
import { type Break, fromReply } from '../status.js'
import { Connection } from './connection.js'
import { Departure } from './departure.js'
import { InFlight } from './in-flight.js'
import type { Operation } from './operation.js'
import { backoffMs } from './retry.js'
import { RoundTrips } from './round-trips.js'
import { SendQueue } from './send-queue.js'
import type { SessionContext } from './session-context.js'
import type { Transport, UnaryMethod } from './transport.js'
import { type Reply, ResponseReader } from './wire-reader.js'
import { RequestWriter } from './wire-writer.js'

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting'; readonly connection: Connection }
  | { readonly kind: 'up'; readonly connection: Connection }
  | { readonly kind: 'down'; readonly retryAt: number; readonly error: KvError }
  | { readonly kind: 'closed'; readonly error: KvError }

const idle: State = { kind: 'idle' }

interface Waiter {
  readonly resolve: (transport: Transport) => void
  readonly reject: (error: KvError) => void
}

/**
 * The client's line to one node, over any number of connections: queues operations, sends what has gathered as one
 * message, pairs the results, and notices when the node is not there any more.
 *
 * It tries nothing twice: what fails goes back to its context, which knows what may be repeated, and where.
 */
export class Session {
  readonly address: string
  /** In milliseconds of the monotonic clock; for closing what nobody uses. */
  lastUsedAt: number = performance.now()
  private readonly context: SessionContext
  private state: State = idle
  private readonly queue = new SendQueue()
  private readonly inFlight = new InFlight()
  private readonly roundTrips = new RoundTrips()
  private sentCount = 0
  private failedCount = 0
  private readonly writer = new RequestWriter()
  private readonly reader = new ResponseReader((reply) => this.conclude(reply))
  private cancelled: number[] = []
  private waiters: Waiter[] = []
  /** Calls beside the session that run. */
  private calls = 0
  /** Why the node could not be connected, if the last attempt was turned away at once. */
  private turnedAway: KvError | undefined
  private readonly departure = new Departure(() => this.flush())
  private writable = true
  /** Connections that failed since the node last answered anything. */
  private failures = 0
  /** Since when the node owes an answer and has said nothing at all; undefined: it owes nothing. */
  private silentSince: number | undefined
  /** How much had come on the connection when it was last looked at. */
  private bytesRead = 0
  /** The node's clock as it was read last, and when, in milliseconds of this process's monotonic clock. */
  private readingMs = 0
  private readingAt = 0
  private probing = false
  /** The node has said that it takes no more operations. */
  private draining = false

  constructor(address: string, context: SessionContext) {
    this.address = address
    this.context = context
  }

  get kind(): State['kind'] {
    return this.state.kind
  }

  /** `id`: the member's, as far as it is known. */
  stats(id: string | undefined): NodeStats | undefined {
    const { address, inFlight, queue, roundTrips, sentCount: sent, failedCount: failed } = this
    const state = this.avoided ? 'down' : this.state.kind
    if (state === 'closed') return undefined
    const { latencyMs } = roundTrips
    return { address, id, state, inFlight: inFlight.size, queued: queue.size, sent, failed, latencyMs }
  }

  get busy(): boolean {
    return this.calls > 0 || this.inFlight.size > 0 || this.queue.size > 0 || this.waiters.length > 0
  }

  /**
   * Whether operations should rather go elsewhere: it is down, comes back from there, owes an answer for too long, or
   * takes no more operations.
   */
  get avoided(): boolean {
    const { kind } = this.state
    return kind === 'down' || kind === 'closed' || this.probing || this.comingBack || this.draining
  }

  private get comingBack(): boolean {
    return this.state.kind === 'connecting' && this.failures > 0
  }

  /** Nobody listens at the address, or it has a name that nobody knows; undefined: not as far as is known. */
  get refusal(): KvError | undefined {
    return this.turnedAway
  }

  enqueue(operation: Operation): void {
    operation.session = this
    operation.state = 'queued'
    this.queue.push(operation)
    if (this.state.kind === 'up') this.scheduleFlush()
    else this.connect()
  }

  /** The operation was settled by its deadline or its caller. Where it was sent, the node may stop working on it. */
  forget(operation: Operation, tellNode: boolean): void {
    if (operation.state === 'queued') {
      this.queue.delete(operation)
      return
    }
    if (this.inFlight.take(operation.id) !== operation || !tellNode || this.state.kind !== 'up') return
    this.cancelled.push(operation.id)
    this.scheduleFlush()
  }

  /** Connects unless it is connected or on the way. */
  connect(): void {
    if (this.state.kind !== 'idle' && this.state.kind !== 'down') return
    const { config, client } = this.context
    const connection = new Connection(this.address, config, client, {
      onReady: () => this.becomeUp(connection),
      onMessage: (bytes) => this.receive(bytes),
      onDrain: () => {
        this.writable = true
        this.flush()
      },
      onBroken: (reason) => this.fail(reason),
    })
    this.state = { kind: 'connecting', connection }
  }

  /** The channel for calls beside the session, once it stands. Ends within the connect timeout. */
  connected(): Promise<Transport> {
    this.lastUsedAt = performance.now()
    if (this.state.kind === 'up') return Promise.resolve(this.state.connection.channel)
    if (this.state.kind === 'closed') return Promise.reject(this.state.error)
    return new Promise((resolve, reject) => {
      this.waiters.push({ resolve, reject })
      this.connect()
    })
  }

  /**
   * A call beside the session, to end by `endAt` of the monotonic clock. The connection stays while it lasts, which for
   * a snapshot may be minutes.
   */
  async unary<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, endAt: number): Promise<Res> {
    this.calls++
    try {
      const channel = await this.connected()
      const { token } = this.context.config
      await token?.ready()
      const generation = token?.generation ?? 0
      try {
        return await channel.unary(method, request, endAt - performance.now())
      } catch (error) {
        // Refused is not begun: it can be asked again, once.
        const refused = error instanceof KvError && error.code === 'unauthenticated'
        if (!refused || token?.renew(generation) !== true) throw error
        await token.ready()
        return await channel.unary(method, request, endAt - performance.now())
      }
    } finally {
      this.calls--
      this.lastUsedAt = performance.now()
    }
  }

  /** To be called every now and then: tries a node that is down again, and asks a silent one whether it lives. */
  sweep(now: number): void {
    if (this.state.kind === 'down' && now >= this.state.retryAt) this.connect()
    if (this.state.kind !== 'up' || this.silentSince === undefined || this.probing) return
    const { connection } = this.state
    const { bytesRead } = connection.channel
    // A large value on a slow line: who sends it is not silent.
    if (bytesRead !== this.bytesRead) this.silentSince = now
    this.bytesRead = bytesRead
    if (now - this.silentSince > limits.stallMs) this.probe(connection)
  }

  /** This process itself stood still: the silence may have been ours. */
  forgiveSilence(now: number): void {
    if (this.silentSince !== undefined) this.silentSince = now
  }

  /** Drops a connection that nobody uses. */
  rest(): void {
    if (this.state.kind === 'up') this.state.connection.destroy()
    if (this.state.kind === 'up' || this.state.kind === 'down') this.state = idle
    this.resetStream()
  }

  /** For good. Operations are left to the caller. */
  close(error: KvError): void {
    if (this.state.kind === 'connecting' || this.state.kind === 'up') this.state.connection.destroy()
    this.state = { kind: 'closed', error }
    this.queue.takeAll()
    this.inFlight.takeAll()
    this.resetStream()
    this.settleWaiters((waiter) => waiter.reject(error))
  }

  private becomeUp(connection: Connection): void {
    this.state = { kind: 'up', connection }
    this.turnedAway = undefined
    this.resetStream()
    this.settleWaiters((waiter) => waiter.resolve(connection.channel))
    this.context.onUp(this)
    this.flush()
  }

  private fail(reason: Break): void {
    const { error, refused } = reason
    const pause = backoffMs(this.failures, limits.reconnectMsMin, limits.reconnectMsMax)
    this.failures++
    this.state = { kind: 'down', retryAt: performance.now() + pause, error }
    this.turnedAway = isRefusal(error.cause) ? error : undefined
    const sent = this.inFlight.takeAll()
    const unsent = this.queue.takeAll()
    this.resetStream()
    this.settleWaiters((waiter) => waiter.reject(error))
    this.context.onDown(this, error)
    this.failedCount += sent.length
    for (const operation of sent) this.context.onAttemptFailed(operation, error, refused ? 'no' : 'maybe')
    for (const operation of unsent) this.context.onAttemptFailed(operation, error, 'no')
  }

  private resetStream(): void {
    this.writable = true
    this.cancelled = []
    this.silentSince = undefined
    this.probing = false
    this.draining = false
    this.departure.cancel()
  }

  private settleWaiters(settle: (waiter: Waiter) => void): void {
    const { waiters } = this
    this.waiters = []
    for (const waiter of waiters) settle(waiter)
  }

  private scheduleFlush(): void {
    this.departure.plan(this.queue.size + this.cancelled.length, this.inFlight.size)
  }

  private flush(): void {
    while (this.state.kind === 'up' && this.writable && (this.queue.size > 0 || this.cancelled.length > 0)) {
      this.writable = this.state.connection.write(this.nextMessage())
      this.context.messagesSent++
      this.silentSince ??= performance.now()
    }
  }

  private nextMessage(): Buffer {
    const { cancelled } = this
    this.cancelled = []
    const batch = this.nextBatch()
    let bytes = 0
    for (const operation of batch) bytes += operation.bytes
    this.writer.begin(this.context.observed, cancelled, bytes)
    const now = performance.now()
    this.lastUsedAt = now
    for (const operation of batch) this.send(operation, now)
    return this.writer.end()
  }

  private nextBatch(): Operation[] {
    const batch: Operation[] = []
    let bytes = 0
    while (batch.length < limits.batchOpsMax) {
      const operation = this.queue.peek()
      if (operation === undefined) break
      bytes += operation.bytes
      if (batch.length > 0 && bytes > limits.batchBytesMax) break
      this.queue.delete(operation)
      batch.push(operation)
    }
    return batch
  }

  private send(operation: Operation, now: number): void {
    this.inFlight.add(operation)
    operation.state = 'sent'
    if (operation.attempts > 0) this.context.retries++
    operation.attempts++
    this.sentCount++
    this.roundTrips.sent(operation, now)
    if (operation.isWrite) this.bound(operation, now)
    this.writer.operation(operation.id, nodeTimeoutMs(operation.deadlineAt - now), operation)
  }

  /**
   * Bounds the stamp of a write: an attempt that arrives much later than it should is refused, and a repetition lies
   * above whatever attempts of unknown fate may still get. Otherwise a request that was delayed on its way could
   * overwrite what was acknowledged after its repetition.
   */
  private bound(operation: Operation, now: number): void {
    const nodeMs = this.readingMs === 0 ? Date.now() : this.readingMs + now - this.readingAt
    operation.stampLimitMs = Math.ceil(Math.max(nodeMs, operation.stampAboveMs)) + limits.stampWindowMs
  }

  private receive(bytes: Buffer): void {
    const { context, reader } = this
    reader.read(bytes)
    this.failures = 0
    context.messagesReceived++
    const { observed } = context
    if (reader.hlcHi > observed.hi || (reader.hlcHi === observed.hi && reader.hlcLo > observed.lo)) {
      observed.hi = reader.hlcHi
      observed.lo = reader.hlcLo
    }
    this.readingMs = reader.hlcHi * 65_536 + (reader.hlcLo >>> 16)
    this.readingAt = performance.now()
    this.draining = reader.draining
    this.heardSomething()
    this.departure.answered(this.inFlight.size)
    context.onEpoch(reader.epoch)
  }

  private conclude(reply: Reply): void {
    const operation = this.inFlight.take(reply.id)
    // Its caller has gone: the deadline or a signal was faster than the node.
    if (operation === undefined) return
    this.roundTrips.answered(operation)
    if (reply.kind === operation.kind) {
      this.context.onAnswer(operation, reply)
      return
    }
    this.failedCount++
    if (reply.kind === 'error') {
      const error = fromReply(reply, this.address)
      this.context.onAttemptFailed(operation, error, error.outcome === 'not-applied' ? 'no' : 'maybe')
    } else {
      const message = `${this.address}: answered a ${operation.kind} with ${reply.kind}`
      this.context.onAttemptFailed(operation, new KvError('internal', message, { node: this.address }), 'maybe')
    }
  }

  private heardSomething(): void {
    this.probing = false
    this.silentSince = this.inFlight.size > 0 ? performance.now() : undefined
  }

  /** Any answer proves life, a refusal too. Without one the connection is dropped, and the operations go elsewhere. */
  private probe(connection: Connection): void {
    this.probing = true
    const startedAt = performance.now()
    const { channel } = connection
    const { bytesRead } = channel
    const current = (): boolean => this.state.kind === 'up' && this.state.connection === connection && this.probing
    const alive = (): void => {
      if (!current()) return
      this.heardSomething()
      this.context.onUp(this)
    }
    channel.unary(ClusterService.status, {}, limits.probeTimeoutMs).then(alive, (error: KvError) => {
      const late = performance.now() - startedAt > 2 * limits.probeTimeoutMs
      // The answer may have to wait behind what is on its way, in either direction.
      const hears = error.code === 'timeout' && channel.bytesRead > bytesRead
      if (late || hears || (error.code !== 'timeout' && error.code !== 'unavailable')) return alive()
      if (!current()) return
      connection.destroy()
      const message = `${this.address}: stopped answering`
      this.fail({
        error: new KvError('unavailable', message, { node: this.address, cause: error }),
        refused: false,
      })
    })
  }
}

/** A little less than what is left, so that an answer that says what became of a write still arrives in time. */
function nodeTimeoutMs(remainingMs: number): number {
  return Math.max(1, Math.floor(remainingMs - Math.min(100, remainingMs / 20)))
}

/** Of all errors of connect(2), those that say that nobody is there, and not that somebody is hard to reach. */
function isRefusal(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && (cause.code === 'ECONNREFUSED' || cause.code === 'ENOTFOUND')
}

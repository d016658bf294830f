import { ClientEvents } from '../client-events.js'
import type { ClientStats, NodeStats } from '../client-stats.js'
import { asKvError, KvError, type KvErrorCode, stacklessError, type WriteOutcome } from '../errors.js'
import { Lifetime } from '../lifetime.js'
import { limits } from '../limits.js'
import type { ClientConfig } from '../options.js'
import { cancelledBy, offAbort, onAbort } from '../signals.js'
import type { TopologyView } from '../topology/topology.js'
import { TopologyKeeper } from '../topology/topology-keeper.js'
import { DeadlineWheel } from './deadlines.js'
import { NodePool } from './nodes.js'
import type { Operation } from './operation.js'
import { backoffMs, RetryBudget } from './retry.js'
import type { Session } from './session.js'
import type { SessionContext } from './session-context.js'
import type { Reply } from './wire-reader.js'
import type { ClockReading } from './wire-writer.js'

/**
 * Failures that another attempt may not meet. A node's `timeout` is not among them: it comes when the caller's own time
 * is as good as over, and says more about the outcome than an attempt that cannot end any more.
 */
const repeatable: ReadonlySet<KvErrorCode> = new Set(['unavailable', 'overloaded'])

/**
 * Takes operations to their end: chooses a node, tries again elsewhere what may be repeated, keeps deadlines and
 * signals, and holds what is known about a write's outcome over all its attempts.
 */
export class Dispatcher implements SessionContext {
  readonly config: ClientConfig
  readonly client: object
  readonly events: ClientEvents = new ClientEvents()
  readonly lifetime: Lifetime = new Lifetime()
  readonly nodes: NodePool
  readonly topology: TopologyKeeper
  readonly budget: RetryBudget = new RetryBudget()
  readonly observed: ClockReading = { hi: 0, lo: 0 }
  operations = 0
  failed = 0
  retries = 0
  messagesSent = 0
  messagesReceived = 0
  /** Holds every operation that is not settled. */
  private readonly wheel: DeadlineWheel<Operation>
  private pending = 0
  private pendingBytes = 0
  /** Waiting because no node is well: to be woken by the first that is. */
  private readonly stranded = new Set<Operation>()
  /** Not accepted; each with the reason in `lastError`. They are told with the next turn of the event loop. */
  private turnedAway: Operation[] = []
  /** What listeners have been told last of each node. */
  private readonly told = new WeakMap<Session, 'up' | 'down'>()

  /** `client`: whose it is, for who watches. */
  constructor(config: ClientConfig, client: object = config) {
    this.config = config
    this.client = client
    this.wheel = new DeadlineWheel((operation) => this.wake(operation))
    this.nodes = new NodePool(this)
    this.topology = new TopologyKeeper(this.nodes, this.lifetime)
  }

  stats(): ClientStats {
    const { operations, failed, retries, messagesSent, messagesReceived, pending, pendingBytes, topology } = this
    const nodes: NodeStats[] = []
    for (const session of this.nodes.all()) {
      const stats = session.stats(this.nodes.memberIdOf(session))
      if (stats !== undefined) nodes.push(stats)
    }
    const inFlight = nodes.reduce((sum, node) => sum + node.inFlight, 0)
    return {
      ...{ operations, failed, retries, messagesSent, messagesReceived, pending, pendingBytes },
      queued: pending - inFlight,
      retryTokens: Math.floor(this.budget.available),
      epoch: topology.epoch,
      nodes,
    }
  }

  /** Runs one operation; `accept` makes the caller's result of the reply, at once. Rejects with a KvError. */
  execute<T>(
    operation: Operation,
    signal: AbortSignal | undefined,
    accept: (reply: Reply, operation: Operation) => T,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      operation.conclude = (reply) => resolve(accept(reply, operation))
      operation.reject = reject
      this.submit(operation, signal)
    })
  }

  close(): void {
    const error = new KvError('closed', 'the client has been closed')
    this.lifetime.close(error)
    this.topology.stop()
    for (const operation of this.wheel.entries()) {
      const outcome = this.outcomeOf(operation)
      this.fail(operation, new KvError('closed', 'the client was closed', { outcome }))
    }
    this.nodes.close(error)
  }

  onAnswer(operation: Operation, reply: Reply): void {
    try {
      operation.conclude(reply)
      this.settle(operation)
    } catch (error) {
      this.fail(operation, asKvError(error))
    }
  }

  onAttemptFailed(operation: Operation, error: KvError, applied: 'no' | 'maybe'): void {
    if (operation.state === 'sent') operation.owesToken = true
    operation.state = 'waiting'
    operation.failures++
    operation.lastError = error
    if (applied === 'maybe' && operation.isWrite) {
      operation.mayBeApplied = true
      // Only by what may still come: attempts that were refused must not push the bound ahead of all clocks.
      operation.stampAboveMs = operation.stampLimitMs
    }
    if (!repeatable.has(error.code) || (operation.mayBeApplied && !operation.repeatableAfterUnknown)) {
      this.fail(operation, this.finalError(operation, error))
      return
    }
    // What a dead connection or a missing node left behind can go to another node at once, for the first time.
    const atOnce = operation.failures === 1 && error.code === 'unavailable' && operation.session?.avoided === true
    if (atOnce) this.route(operation)
    else this.pause(operation)
  }

  onUp(session: Session): void {
    this.tellOf(session, undefined)
    this.topology.want(1)
    for (const operation of [...this.stranded]) this.route(operation)
  }

  onDown(session: Session, error: KvError): void {
    this.tellOf(session, error)
    this.topology.recheck()
  }

  onTopology(view: TopologyView): void {
    this.events.emit('topology', view)
  }

  onEpoch(epoch: number): void {
    this.topology.want(epoch)
  }

  /** Why nothing is to be waited for: see the option `failWhenRefused`. */
  get refused(): KvError | undefined {
    return this.config.failWhenRefused ? this.nodes.refusal() : undefined
  }

  /** Tells listeners that a node can be used, or why not, unless they know. */
  private tellOf(session: Session, error: KvError | undefined): void {
    const state = error === undefined ? 'up' : 'down'
    if (this.told.get(session) === state) return
    this.told.set(session, state)
    const node = { address: session.address, id: this.nodes.memberIdOf(session) }
    if (error === undefined) this.events.emit('nodeUp', node)
    else this.events.emit('nodeDown', { ...node, error })
  }

  private submit(operation: Operation, signal: AbortSignal | undefined): void {
    const refusal = this.refusal(operation, signal)
    if (refusal !== undefined) {
      this.turnAway(operation, refusal)
      return
    }
    this.operations++
    this.budget.earn()
    this.pending++
    this.pendingBytes += operation.bytes
    if (signal !== undefined) this.listen(operation, signal)
    this.topology.want(1)
    this.route(operation)
  }

  /**
   * Later, and together with others: who asks again as soon as he has been refused would otherwise keep the answers from
   * coming in for which there would be room, as promises are settled without the event loop. And a promise that is
   * rejected before anybody has had the time to listen to it is reported to Node as unhandled, and then taken back,
   * which cost 2 µs.
   */
  private turnAway(operation: Operation, error: KvError): void {
    operation.state = 'settled'
    operation.lastError = error
    this.turnedAway.push(operation)
    if (this.turnedAway.length > 1) return
    setImmediate(() => {
      const { turnedAway } = this
      this.turnedAway = []
      for (const each of turnedAway) each.reject(each.lastError!)
    })
  }

  private refusal(operation: Operation, signal: AbortSignal | undefined): KvError | undefined {
    const outcome = operation.isWrite ? 'not-applied' : undefined
    if (this.lifetime.error !== undefined) return new KvError('closed', 'the client has been closed', { outcome })
    if (signal?.aborted) return cancelledBy(signal, outcome)
    if (this.pending >= this.config.maxInFlight) {
      return stacklessError('overloaded', `${this.pending} operations wait for their results already`, { outcome })
    }
    if (this.pendingBytes + operation.bytes > this.config.maxInFlightBytes) {
      return stacklessError('overloaded', `${this.pendingBytes} bytes wait for their results already`, { outcome })
    }
    return undefined
  }

  private listen(operation: Operation, signal: AbortSignal): void {
    operation.signal = signal
    operation.onAbort = () => {
      this.withdraw(operation, true)
      this.fail(operation, cancelledBy(signal, this.outcomeOf(operation)))
    }
    onAbort(signal, operation.onAbort)
  }

  /** Leaves the operation in the wheel, or settled. */
  private route(operation: Operation): void {
    if (this.stranded.size > 0) this.stranded.delete(operation)
    const session = this.nodes.pick(operation)
    if (session === undefined) {
      const refusal = this.refused
      if (refusal !== undefined) {
        this.fail(operation, this.finalError(operation, refusal))
        return
      }
      this.stranded.add(operation)
      operation.failures++
      this.pause(operation)
      return
    }
    if (operation.owesToken && !this.budget.spend()) {
      const { lastError } = operation
      // A node that has too much to do is not to be asked more often than that, and the caller can know it now.
      if (lastError?.code === 'overloaded') this.fail(operation, this.finalError(operation, lastError))
      else this.pause(operation)
      return
    }
    operation.owesToken = false
    this.wheel.set(operation, operation.deadlineAt)
    session.enqueue(operation)
  }

  private pause(operation: Operation): void {
    const ms = backoffMs(operation.failures, limits.retryMsMin, limits.retryMsMax)
    this.wheel.set(operation, Math.min(operation.deadlineAt, performance.now() + ms))
  }

  /** A pause or the time of an operation is over. */
  private wake(operation: Operation): void {
    if (performance.now() < operation.deadlineAt) {
      this.route(operation)
      return
    }
    this.withdraw(operation, false)
    const { state, lastError } = operation
    // Nobody works on it: it was not late, but refused for as long as it had time.
    const wasRefused = state === 'waiting' && lastError?.code === 'overloaded'
    this.fail(operation, wasRefused ? this.finalError(operation, lastError) : this.timeoutError(operation))
  }

  /**
   * Takes an operation out of wherever it is, before it is settled from this side. The node need not be told that its
   * time is over: it knows the deadline.
   */
  private withdraw(operation: Operation, tellNode: boolean): void {
    if (operation.state === 'sent' && operation.isWrite) operation.mayBeApplied = true
    if (operation.state === 'sent' || operation.state === 'queued') operation.session?.forget(operation, tellNode)
  }

  private outcomeOf(operation: Operation): WriteOutcome | undefined {
    if (!operation.isWrite) return undefined
    return operation.mayBeApplied || operation.state === 'sent' ? 'unknown' : 'not-applied'
  }

  private timeoutError(operation: Operation): KvError {
    const { attempts, lastError, kind, timeoutMs } = operation
    const tries = attempts === 1 ? '1 attempt' : `${attempts} attempts`
    const reason = lastError === undefined ? '' : `; last: ${lastError.message}`
    return stacklessError('timeout', `${kind} not done within ${timeoutMs} ms (${tries}${reason})`, {
      outcome: this.outcomeOf(operation),
      node: operation.session?.address,
      retryable: operation.mayBeApplied ? operation.repeatableAfterUnknown : undefined,
      cause: lastError,
    })
  }

  /** What the last attempt met, with what all attempts together may have done. */
  private finalError(operation: Operation, error: KvError): KvError {
    return stacklessError(error.code, error.message, {
      field: error.field,
      node: error.node,
      outcome: this.outcomeOf(operation),
      retryable: operation.mayBeApplied && !operation.repeatableAfterUnknown ? false : undefined,
      cause: error.cause,
    })
  }

  private fail(operation: Operation, error: KvError): void {
    this.failed++
    this.settle(operation)
    operation.reject(error)
  }

  private settle(operation: Operation): void {
    operation.state = 'settled'
    this.wheel.delete(operation)
    if (this.stranded.size > 0) this.stranded.delete(operation)
    this.pending--
    this.pendingBytes -= operation.bytes
    if (operation.onAbort !== undefined) offAbort(operation.signal!, operation.onAbort)
  }
}

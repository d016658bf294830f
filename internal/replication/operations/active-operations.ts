import { assert, limits } from '../../base/index.js'
import type { Clock } from '../../env/index.js'
import type { Replica } from '../replicas/replica.js'
import type { Routing } from './routing.js'

/** An operation that runs and that time can end. */
export abstract class ActiveOperation {
  /** @internal Its neighbours in the list of those that run; it is in the list while `listed`. */
  listed = false
  /** @internal */
  previousActive: ActiveOperation | undefined = undefined
  /** @internal */
  nextActive: ActiveOperation | undefined = undefined
  /** When owners that go by another epoch, or have no link, are asked again, in monotonic milliseconds; infinite while there are none. */
  #askAgainAtMs = Number.POSITIVE_INFINITY
  #askAgainMs: number = limits.askAgainMsMin
  /** How often owners have been asked again. */
  #askedAgain = 0

  /** Looks at its deadline and hedge, and asks those again that went by another epoch or had no link. Must not throw. */
  abstract tick(nowMs: number): void

  /**
   * A replica has lost what it once held of these slots. An operation that has counted an answer of it there fails: the
   * answer is no longer true, and together with later answers of others it might make a quorum that nobody holds. Must
   * not throw.
   */
  abstract forget(replica: Replica, slots: ReadonlySet<number>): void

  /**
   * Another topology is in force. An operation counts only what was answered under one epoch: it asks the owners under
   * this one from the start, and answers to what it had asked before change nothing any more. Must not throw.
   */
  abstract reroute(routing: Routing): void

  /** An owner goes by another epoch, or has no link: it is to be asked again, after a pause that grows from one time to the next. */
  protected askAgainLater(nowMs: number): void {
    if (this.#askAgainAtMs !== Number.POSITIVE_INFINITY) return
    this.#askAgainAtMs = nowMs + this.#askAgainMs
    this.#askAgainMs = Math.min(2 * this.#askAgainMs, limits.askAgainMsMax)
  }

  /**
   * Whether an owner is waited for because it cannot be reached, but may be in a moment; it is then asked again as one that
   * goes by another epoch. Not for ever: links may come and break again and again.
   */
  protected waitsFor({ returning }: Replica, clock: Clock): boolean {
    if (!returning || this.#askedAgain >= limits.ownerReturnAsksMax) return false
    this.askAgainLater(clock.monotonicMs())
    return true
  }

  /** Whether that time has come. True once for each. */
  protected isTimeToAskAgain(nowMs: number): boolean {
    if (nowMs < this.#askAgainAtMs) return false
    this.#askAgainAtMs = Number.POSITIVE_INFINITY
    this.#askedAgain++
    return true
  }

  /** Nobody is to be asked again; the next pause is a short one. */
  protected askNobodyAgain(): void {
    this.#askAgainAtMs = Number.POSITIVE_INFINITY
    this.#askAgainMs = limits.askAgainMsMin
  }
}

/**
 * The operations that run now. One coarse timer looks at all of them: a timer for each would cost more than the
 * operation, and hardly any ever fires. They are linked to each other rather than kept in a Set, for the reason that
 * `Pending` gives.
 */
export class ActiveOperations {
  readonly #clock: Clock
  #first: ActiveOperation | undefined
  #size = 0
  #begun = 0
  #ticking = false
  #tickDueMs = 0
  readonly #idleWaiters: (() => void)[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#size
  }

  /** Operations that have begun so far. */
  get begun(): number {
    return this.#begun
  }

  /**
   * Whether the event loop has not turned for longer than it should: the tick is late. Who has much to do then gives way. Answers
   * of this node's own replica come at once, so that work on them alone would never let anybody else have a turn.
   */
  get overdue(): boolean {
    return this.#ticking && this.#clock.monotonicMs() >= this.#tickDueMs + limits.overdueMs
  }

  add(operation: ActiveOperation): void {
    assert(!operation.listed, 'an operation that runs is started again')
    operation.listed = true
    operation.nextActive = this.#first
    if (this.#first !== undefined) this.#first.previousActive = operation
    this.#first = operation
    this.#size++
    this.#begun++
    this.#schedule()
  }

  /** Idempotent. */
  remove(operation: ActiveOperation): void {
    if (!operation.listed) return
    const { previousActive, nextActive } = operation
    if (previousActive === undefined) this.#first = nextActive
    else previousActive.nextActive = nextActive
    if (nextActive !== undefined) nextActive.previousActive = previousActive
    operation.listed = false
    operation.previousActive = undefined
    operation.nextActive = undefined
    this.#size--
    if (this.#size > 0) return
    for (const resolve of this.#idleWaiters.splice(0)) resolve()
  }

  /** Resolves when none runs, or after `graceMs`. */
  async idle(graceMs: number): Promise<void> {
    if (this.#size === 0) return
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimer(graceMs, resolve)
      this.#idleWaiters.push(() => {
        timer.cancel()
        resolve()
      })
    })
  }

  /** Has every operation that runs forget what a replica answered about slots that it has lost since. */
  forget(replica: Replica, slots: ReadonlySet<number>): void {
    this.#each((operation) => operation.forget(replica, slots))
  }

  /** Has every operation that runs go on under another routing. */
  reroute(routing: Routing): void {
    this.#each((operation) => operation.reroute(routing))
  }

  #each(visit: (operation: ActiveOperation) => void): void {
    for (let operation = this.#first; operation !== undefined; ) {
      // Read before the visit, which may end this operation; ending one never ends another.
      const next: ActiveOperation | undefined = operation.nextActive
      visit(operation)
      operation = next
    }
  }

  #schedule(): void {
    if (this.#ticking || this.#size === 0) return
    this.#ticking = true
    this.#tickDueMs = this.#clock.monotonicMs() + limits.operationTickMs
    this.#clock.setTimer(limits.operationTickMs, () => {
      this.#ticking = false
      const nowMs = this.#clock.monotonicMs()
      this.#each((operation) => operation.tick(nowMs))
      this.#schedule()
    })
  }
}

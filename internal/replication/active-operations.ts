import { assert, limits } from '../base/index.js'
import type { Clock } from '../env/index.js'
import type { Replica } from './replica.js'

/** An operation that runs and that time can end. */
export abstract class ActiveOperation {
  /** @internal Its neighbours in the list of those that run; it is in the list while `listed`. */
  listed = false
  /** @internal */
  previousActive: ActiveOperation | undefined = undefined
  /** @internal */
  nextActive: ActiveOperation | undefined = undefined

  /** Looks at its deadline and hedge. Must not throw. */
  abstract tick(nowMs: number): void

  /**
   * A replica has lost what it once held of these slots. An operation that has counted an answer of it there fails: the
   * answer is no longer true, and together with later answers of others it might make a quorum that nobody holds. Must
   * not throw.
   */
  abstract forget(replica: Replica, slots: ReadonlySet<number>): void
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
  #ticking = false
  readonly #idleWaiters: (() => void)[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#size
  }

  add(operation: ActiveOperation): void {
    assert(!operation.listed, 'an operation that runs is started again')
    operation.listed = true
    operation.nextActive = this.#first
    if (this.#first !== undefined) this.#first.previousActive = operation
    this.#first = operation
    this.#size++
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
    this.#clock.setTimer(limits.operationTickMs, () => {
      this.#ticking = false
      const nowMs = this.#clock.monotonicMs()
      this.#each((operation) => operation.tick(nowMs))
      this.#schedule()
    })
  }
}

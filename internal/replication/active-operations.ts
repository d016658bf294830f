import { limits } from '../base/index.js'
import type { Clock } from '../env/index.js'

/** An operation that runs and that time can end. */
export interface ActiveOperation {
  /** Looks at its deadline and hedge. Must not throw. */
  tick(nowMs: number): void
}

/**
 * The operations that run now. One coarse timer looks at all of them: a timer for each would cost more than the
 * operation, and hardly any ever fires.
 */
export class ActiveOperations {
  readonly #clock: Clock
  readonly #operations = new Set<ActiveOperation>()
  #ticking = false
  #idleWaiters: (() => void)[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#operations.size
  }

  add(operation: ActiveOperation): void {
    this.#operations.add(operation)
    this.#schedule()
  }

  remove(operation: ActiveOperation): void {
    this.#operations.delete(operation)
    if (this.#operations.size > 0) return
    const waiters = this.#idleWaiters
    this.#idleWaiters = []
    for (const resolve of waiters) resolve()
  }

  /** Resolves when none runs, or after `graceMs`. */
  async idle(graceMs: number): Promise<void> {
    if (this.#operations.size === 0) return
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimer(graceMs, resolve)
      this.#idleWaiters.push(() => {
        timer.cancel()
        resolve()
      })
    })
  }

  #schedule(): void {
    if (this.#ticking || this.#operations.size === 0) return
    this.#ticking = true
    this.#clock.setTimer(limits.operationTickMs, () => {
      this.#ticking = false
      const nowMs = this.#clock.monotonicMs()
      for (const operation of this.#operations) operation.tick(nowMs)
      this.#schedule()
    })
  }
}

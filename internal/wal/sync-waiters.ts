import type { KvError } from '../base/index.js'

/** One call of `WriteAheadLog.sync` that has not ended. */
export interface SyncWaiter {
  readonly resolve: () => void
  readonly reject: (error: KvError) => void
}

/** Those who wait for the next sync of the log. */
export class SyncWaiters {
  readonly #waiting: SyncWaiter[] = []

  /** Settles as whoever takes the waiters says. */
  wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
  }

  /** All who wait now; the caller settles each of them. */
  take(): readonly SyncWaiter[] {
    return this.#waiting.splice(0)
  }
}

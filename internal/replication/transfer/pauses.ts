import type { Cancellation } from '../../base/index.js'
import type { Clock, Timer } from '../../env/index.js'

/**
 * Timers of one service, which `endAll` ends all at once: each calls its end exactly once, by time or by `endAll`. After
 * `stop` nothing is waited for any more.
 */
export class Pauses {
  readonly #clock: Clock
  readonly #running = new Map<Timer, () => void>()
  #stopped = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Calls `ended` after `ms`, or at `endAll`; not if the returned function is called before. */
  begin(ms: number, ended: () => void): () => void {
    const timer = this.#clock.setTimer(ms, () => {
      this.#running.delete(timer)
      ended()
    })
    this.#running.set(timer, ended)
    return () => {
      timer.cancel()
      this.#running.delete(timer)
    }
  }

  get stopped(): boolean {
    return this.#stopped
  }

  /** For good: what waits ends, and what would begin to wait ends at once. Idempotent. */
  stop(): void {
    this.#stopped = true
    this.endAll()
  }

  /** Resolves after `ms`, or at `endAll`. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#stopped) resolve()
      else this.begin(ms, resolve)
    })
  }

  /** Resolves after `ms`, at `endAll`, or when nobody waits any more: `cancellation` has no listener then. */
  async pauseUnless(cancellation: Cancellation, ms: number): Promise<void> {
    if (this.#stopped || cancellation.cancelled) return
    await new Promise<void>((resolve) => {
      const end = this.begin(ms, resolve)
      cancellation.onCancel(() => {
        end()
        resolve()
      })
    })
    cancellation.onCancel(undefined)
  }

  /** What another node answers, or `silence` when it takes longer than `withinMs`, or at `endAll`. */
  answer<T>(withinMs: number, silence: T, ask: (resolve: (answer: T) => void) => void): Promise<T> {
    return new Promise((resolve) => {
      if (this.#stopped) {
        resolve(silence)
        return
      }
      const end = this.begin(withinMs, () => resolve(silence))
      ask((answer) => {
        end()
        resolve(answer)
      })
    })
  }

  endAll(): void {
    for (const [timer, ended] of [...this.#running]) {
      timer.cancel()
      this.#running.delete(timer)
      ended()
    }
  }
}

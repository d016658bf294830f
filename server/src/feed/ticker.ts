import type { Clock, Timer } from '@quorumkv/internal/env'

/** Calls `tick` at once and then so often, until it is stopped. A tick that takes longer than the interval delays the next. */
export class Ticker {
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #tick: () => Promise<void>
  readonly #onBug: (error: unknown) => void
  #timer: Timer | undefined
  #running = false
  #ticking = false
  /** When the next tick is due. */
  #dueMs = 0

  constructor(clock: Clock, intervalMs: number, tick: () => Promise<void>, onBug: (error: unknown) => void) {
    this.#clock = clock
    this.#intervalMs = intervalMs
    this.#tick = tick
    this.#onBug = onBug
  }

  start(): void {
    if (this.#running) return
    this.#running = true
    // A tick from before `stop` is not to have another beside it: the first one follows it.
    if (this.#ticking) this.#dueMs = this.#clock.monotonicMs()
    else this.#round()
  }

  /** Idempotent. A tick that runs goes on to its end. */
  stop(): void {
    this.#running = false
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #round(): void {
    this.#ticking = true
    this.#dueMs = this.#clock.monotonicMs() + this.#intervalMs
    const next = (): void => {
      this.#ticking = false
      if (!this.#running) return
      const delayMs = Math.max(0, this.#dueMs - this.#clock.monotonicMs())
      this.#timer = this.#clock.setTimer(delayMs, () => this.#round())
    }
    this.#tick().then(next, this.#onBug)
  }
}

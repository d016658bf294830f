import type { Clock, Timer } from '../env/index.js'

/** Timers of one service, which a stop ends all at once: each calls its end exactly once, by time or by `endAll`. */
export class Pauses {
  readonly #clock: Clock
  readonly #running = new Map<Timer, () => void>()

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

  /** Resolves after `ms`, or at `endAll`. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.begin(ms, resolve)
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

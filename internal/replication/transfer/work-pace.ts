import { limits } from '../../base/index.js'
import type { Clock } from '../../env/index.js'
import type { Pauses } from './pauses.js'

/**
 * Keeps the work of one service to a share of the time while clients are served: after each piece of work it rests
 * `limits.copyRestRatio` times as long. How long a piece has taken is measured on the clock, so on a busy machine, where it
 * has waited for others, the rest is longer as well. Where nobody is served there is no rest.
 */
export class WorkPace {
  readonly #clock: Clock
  readonly #pauses: Pauses
  /** Rises with everything that is done for clients. */
  readonly #served: () => number
  #last: Promise<void> = Promise.resolve()
  /** Of rests too short for a timer. */
  #owedMs = 0

  constructor(clock: Clock, pauses: Pauses, served: () => number) {
    this.#clock = clock
    this.#pauses = pauses
    this.#served = served
  }

  /** Does a piece of work behind those that came before, and their rests. Settles as it does, before its own rest. */
  async work<T>(piece: () => Promise<T>): Promise<T> {
    const before = this.#last
    let over: () => void = () => undefined
    this.#last = new Promise((resolve) => {
      over = resolve
    })
    await before
    const served = this.#served()
    const beganMs = this.#clock.monotonicMs()
    try {
      return await piece()
    } finally {
      const tookMs = this.#clock.monotonicMs() - beganMs
      void this.#rest(this.#served() === served ? 0 : tookMs).then(over)
    }
  }

  async #rest(tookMs: number): Promise<void> {
    this.#owedMs = Math.min(this.#owedMs + tookMs * limits.copyRestRatio, limits.copyRestMsMax)
    if (this.#owedMs < 1) return
    const restMs = this.#owedMs
    this.#owedMs = 0
    await this.#pauses.pause(restMs)
  }
}

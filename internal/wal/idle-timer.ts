import type { Clock, Timer } from '../env/index.js'

/** Notices that something has stood still for a while. Costs one timer for each such while, however often it moves. */
export class IdleTimer {
  readonly #clock: Clock
  readonly #idleMs: number
  readonly #position: () => number | undefined
  readonly #fire: () => void
  #timer: Timer | undefined

  /**
   * Once armed, calls `fire` when `position` has been the same for `idleMs` milliseconds, at the latest twice that
   * after the last move; not where it has become undefined, which says that nobody needs to know.
   */
  constructor(clock: Clock, idleMs: number, position: () => number | undefined, fire: () => void) {
    this.#clock = clock
    this.#idleMs = idleMs
    this.#position = position
    this.#fire = fire
  }

  /** Does nothing where it is armed, or where there is no position. */
  arm(): void {
    const armedAt = this.#position()
    if (this.#timer !== undefined || armedAt === undefined) return
    this.#timer = this.#clock.setTimer(this.#idleMs, () => {
      this.#timer = undefined
      if (this.#position() === armedAt) this.#fire()
      else this.arm()
    })
  }

  cancel(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}

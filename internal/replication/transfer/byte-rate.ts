import type { Cancellation } from '../../base/index.js'
import type { Clock } from '../../env/index.js'
import type { Pauses } from './pauses.js'

/** Who waits looks so often whether the rate has changed. */
const lookMs = 1_000

/** Keeps what one service moves to so many bytes in a second: whoever has moved some, or is about to, waits until they are paid for. */
export class ByteRate {
  readonly #clock: Clock
  readonly #pauses: Pauses
  #bytesPerSecond: number
  /** Bytes moved so far, and those of them that were paid for at `#paidAtMs`; in between time pays. */
  #moved = 0
  #paid = 0
  #paidAtMs: number

  constructor(clock: Clock, pauses: Pauses, bytesPerSecond: number) {
    this.#clock = clock
    this.#pauses = pauses
    this.#bytesPerSecond = bytesPerSecond
    this.#paidAtMs = clock.monotonicMs()
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond
  }

  /** Holds within a second for those who wait, too. */
  set bytesPerSecond(bytes: number) {
    this.#settle()
    this.#bytesPerSecond = bytes
  }

  /** These bytes have been moved; whoever pays next waits for them as well. */
  owe(bytes: number): void {
    this.#settle()
    this.#moved += bytes
  }

  /** Resolves when these bytes are paid for, or when the pauses stop. Several may wait; each waits for its own. */
  async pay(bytes: number): Promise<void> {
    this.owe(bytes)
    const upTo = this.#moved
    while (!this.#pauses.stopped) {
      const leftMs = ((upTo - this.#paid) * 1000) / this.#bytesPerSecond
      if (leftMs < 1) return
      await this.#pauses.pause(Math.min(leftMs, lookMs))
      this.#settle()
    }
  }

  /**
   * Waits until what has been moved so far is paid for, but no longer than its caller does. Resolves with whether it is; true as
   * well when the pauses stop. `cancellation` has no other listener meanwhile, and none afterwards.
   */
  async isPaidBy(deadlineMs: number, cancellation: Cancellation): Promise<boolean> {
    this.#settle()
    const upTo = this.#moved
    while (!this.#pauses.stopped) {
      const leftMs = ((upTo - this.#paid) * 1000) / this.#bytesPerSecond
      if (leftMs < 1) return true
      const patienceMs = deadlineMs - this.#clock.monotonicMs()
      if (patienceMs <= 0 || cancellation.cancelled) return false
      await this.#pauses.pauseUnless(cancellation, Math.min(leftMs, patienceMs, lookMs))
      this.#settle()
    }
    return true
  }

  #settle(): void {
    const nowMs = this.#clock.monotonicMs()
    const paid = this.#paid + ((nowMs - this.#paidAtMs) * this.#bytesPerSecond) / 1000
    this.#paid = Math.min(this.#moved, paid)
    this.#paidAtMs = nowMs
  }
}

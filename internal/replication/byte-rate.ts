import type { Clock } from '../env/index.js'
import type { Pauses } from './pauses.js'

/** Keeps what one service moves to so many bytes in a second: whoever has moved some, or is about to, waits until they are paid for. */
export class ByteRate {
  readonly #clock: Clock
  readonly #pauses: Pauses
  /** May be changed at any time; what waits already waits as it was. */
  bytesPerSecond: number
  /** When all that was moved so far is paid for, in monotonic milliseconds. */
  #paidMs = 0

  constructor(clock: Clock, pauses: Pauses, bytesPerSecond: number) {
    this.#clock = clock
    this.#pauses = pauses
    this.bytesPerSecond = bytesPerSecond
  }

  /** Resolves when these bytes are paid for, or when the pauses end. Several may wait; each waits for its own. */
  async pay(bytes: number): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    this.#paidMs = Math.max(this.#paidMs, nowMs) + (bytes * 1000) / this.bytesPerSecond
    if (this.#paidMs - nowMs >= 1) await this.#pauses.pause(this.#paidMs - nowMs)
  }
}

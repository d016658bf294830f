import { limits } from '../../base/index.js'
import type { Clock } from '../../env/index.js'

/**
 * Carries out work that goes through whole slots, piece by piece: however many pieces come at once, the event loop gets
 * its turn after `limits.antiEntropySliceMs`, or after one piece that takes longer.
 */
export class ScanSlices {
  readonly #clock: Clock
  /** Bounded by those who add to it: this node asks about `limits.antiEntropySlotsMax` slots at a time, others are refused. */
  readonly #waiting: (() => void)[] = []
  #scheduled = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Pieces of work that wait. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Does a piece of work after the event loop's next turn, and after all that came before. What it throws is a bug. */
  add(work: () => void): void {
    this.#waiting.push(work)
    this.#schedule()
  }

  /** The same for who waits for what comes of it. */
  result<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.add(() => {
        try {
          resolve(work())
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0) return
    this.#scheduled = true
    this.#clock.defer(() => this.#slice())
  }

  #slice(): void {
    this.#scheduled = false
    const endMs = this.#clock.monotonicMs() + limits.antiEntropySliceMs
    try {
      do this.#waiting.shift()?.()
      while (this.#waiting.length > 0 && this.#clock.monotonicMs() < endMs)
    } finally {
      this.#schedule()
    }
  }
}

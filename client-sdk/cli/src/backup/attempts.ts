import { KvError } from '@quorumkv/client'
import type { Timing } from '../io.js'
import { limits } from '../limits.js'

/**
 * Repeats the calls of one backup or restore until they succeed, ever more slowly, or when a node has said to come again: a node that
 * restarts costs time and nothing else, and so does a rate that the caller goes by. Calls may overlap.
 */
export class Attempts {
  readonly #timing: Timing
  readonly #signal: AbortSignal
  readonly #tell: (why: string) => void
  /** When the last call succeeded, whichever it was, and when something was told; in monotonic ms. */
  #wellMs: number
  #toldMs = Number.NEGATIVE_INFINITY

  /** `tell` is told why it takes so long, where nothing has succeeded for `limits.backupSilentMs`; seldom. */
  constructor(timing: Timing, signal: AbortSignal, tell: (why: string) => void) {
    this.#timing = timing
    this.#signal = signal
    this.#tell = tell
    this.#wellMs = timing.monotonic()
  }

  /**
   * Rejects with the last KvError where it cannot be made again, where the signal is aborted, and where no call has succeeded for
   * `limits.backupGiveUpAfterMs`, besides the longest time for which a node has told it to wait.
   */
  async repeated<T>(attempt: () => Promise<T>): Promise<T> {
    const sinceMs = this.#timing.monotonic()
    let toldMs = 0
    for (let failures = 0; ; failures++) {
      try {
        const result = await attempt()
        this.#wellMs = this.#timing.monotonic()
        return result
      } catch (error) {
        if (!(error instanceof KvError) || !error.retryable || this.#signal.aborted) throw error
        const nowMs = this.#timing.monotonic()
        const stillMs = nowMs - Math.max(sinceMs, this.#wellMs)
        const { retryAfterMs = 0 } = error
        toldMs = Math.max(toldMs, retryAfterMs)
        if (stillMs >= limits.backupGiveUpAfterMs + toldMs) throw error
        if (stillMs >= limits.backupSilentMs && nowMs - this.#toldMs >= limits.backupTellEveryMs) {
          this.#toldMs = nowMs
          this.#tell(`${error.message}; trying again`)
        }
        const pauseMs = Math.min(limits.retryPauseMsMax, limits.retryPauseMs * 2 ** Math.min(failures, 10))
        await this.#timing.sleep(retryAfterMs || pauseMs * (0.5 + this.#timing.random() / 2), this.#signal)
      }
    }
  }
}

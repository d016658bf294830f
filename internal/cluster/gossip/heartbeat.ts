import type { Clock, Timer } from '../../env/index.js'

export interface HeartbeatOptions {
  readonly clock: Clock
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly ping: (number: number) => void
  /** Nothing was heard in time. Called at most once. */
  readonly dead: () => void
}

/**
 * Notices that the other end of a link has fallen silent. Any message counts as a sign of life. A node that was
 * paused itself (its timer comes far too late) accuses nobody of the time that it missed, but asks again.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  #timer: Timer | undefined
  #number = 0
  #heard = false
  #stopped = false

  constructor(options: HeartbeatOptions) {
    this.#options = options
    this.#wait()
  }

  /** A message has come. */
  heard(): void {
    this.#heard = true
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  #wait(): void {
    this.#timer = this.#options.clock.setTimer(this.#options.intervalMs, () => this.#probe())
  }

  #probe(): void {
    const { clock, timeoutMs, ping, dead } = this.#options
    this.#number++
    this.#heard = false
    const dueMs = clock.monotonicMs() + timeoutMs
    ping(this.#number)
    this.#timer = clock.setTimer(timeoutMs, () => {
      const paused = clock.monotonicMs() - dueMs > timeoutMs
      // Timers run before sockets are read: after a stall of our own, an answer may be waiting to be read.
      clock.defer(() => {
        if (this.#stopped) return
        if (this.#heard) this.#wait()
        else if (paused) this.#probe()
        else dead()
      })
    })
  }
}

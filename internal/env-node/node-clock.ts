import { assert } from '../base/index.js'
import type { Clock, Timer } from '../env/index.js'

/** What Node's setTimeout can wait for at once; anything above fires after 1 ms instead. */
const timeoutMsMax = 2 ** 31 - 1

/**
 * The machine's time. Its timers do not keep the process alive: who has work to do holds a socket or a file operation,
 * and after a stop a forgotten timer must not delay the exit. What is deferred is work at hand, and does.
 */
export class NodeClock implements Clock {
  wallMs(): number {
    return Date.now()
  }

  monotonicMs(): number {
    return performance.now()
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    assert(Number.isFinite(delayMs), `a timer needs a finite delay, got ${delayMs}`)
    return new NodeTimer(performance.now() + delayMs, fire)
  }

  defer(fire: () => void): void {
    setImmediate(fire)
  }
}

class NodeTimer implements Timer {
  readonly #dueMs: number
  readonly #fire: () => void
  #timeout: NodeJS.Timeout

  constructor(dueMs: number, fire: () => void) {
    this.#dueMs = dueMs
    this.#fire = fire
    this.#timeout = this.#arm(dueMs - performance.now())
  }

  cancel(): void {
    clearTimeout(this.#timeout)
  }

  #arm(leftMs: number): NodeJS.Timeout {
    return setTimeout(() => this.#wake(), Math.min(Math.ceil(leftMs), timeoutMsMax)).unref()
  }

  #wake(): void {
    // Node counts from the start of the loop's turn in whole milliseconds, so it may call up to one too early.
    const leftMs = this.#dueMs - performance.now()
    if (leftMs > 0) this.#timeout = this.#arm(leftMs)
    else this.#fire()
  }
}

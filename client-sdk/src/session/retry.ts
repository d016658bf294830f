import { limits } from '../limits.js'

/** A random pause from 0 to a bound that doubles with each failure: "full jitter", so that callers do not come back together. */
export function backoffMs(failures: number, msMin: number, msMax: number): number {
  const bound = Math.min(msMax, msMin * 2 ** Math.min(failures, 20))
  return Math.random() * bound
}

/**
 * Keeps repetitions to a tenth of the operations, plus a floor and a burst for the moment when a node dies: where a
 * cluster is slow because it is overloaded, clients that all repeat would keep it so. Without a token the repetition of
 * what a node refused as overloaded is given up, and any other waits until its operation's deadline.
 */
export class RetryBudget {
  private tokens: number = limits.retryTokensMax
  private refilledAt: number = performance.now()

  /** What there is now. */
  get available(): number {
    this.refill()
    return this.tokens
  }

  /** To be called for every operation that is accepted. */
  earn(): void {
    this.tokens = Math.min(limits.retryTokensMax, this.tokens + limits.retryTokensPerOperation)
  }

  /** Takes a token for one repetition, if there is one. */
  spend(): boolean {
    this.refill()
    if (this.tokens < 1) return false
    this.tokens--
    return true
  }

  private refill(): void {
    const now = performance.now()
    const earned = ((now - this.refilledAt) / 1000) * limits.retryTokensPerSecond
    this.refilledAt = now
    this.tokens = Math.min(limits.retryTokensMax, this.tokens + earned)
  }
}

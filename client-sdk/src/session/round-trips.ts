import type { Operation } from './operation.js'

/**
 * How long a node takes to answer, smoothed: one operation at a time is timed, from its sending to its answer, and counts
 * an eighth, as TCP does with its round trips (RFC 6298, without repetitions by Karn's rule). So no operation carries a
 * time of its own, and the clock is read once for many.
 */
export class RoundTrips {
  private timed: Operation | undefined
  private timedAttempt = 0
  private sentAt = 0
  private smoothed: number | undefined

  /** In milliseconds; undefined: nothing has been timed yet. */
  get latencyMs(): number | undefined {
    return this.smoothed
  }

  /** An operation was sent at `now`. */
  sent(operation: Operation, now: number): void {
    const { timed } = this
    // One that was withdrawn, or went elsewhere, is never answered here.
    if (timed !== undefined && timed.state === 'sent' && timed.attempts === this.timedAttempt) return
    this.timed = operation
    this.timedAttempt = operation.attempts
    this.sentAt = now
  }

  /** An operation was answered. */
  answered(operation: Operation): void {
    if (operation !== this.timed || operation.attempts !== this.timedAttempt) return
    this.timed = undefined
    const tookMs = performance.now() - this.sentAt
    this.smoothed = this.smoothed === undefined ? tookMs : this.smoothed + (tookMs - this.smoothed) / 8
  }
}

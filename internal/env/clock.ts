/** A timer that has been set. Cancelling one that has fired, or cancelling twice, does nothing. */
export interface Timer {
  cancel(): void
}

/**
 * Time, as a node sees it. Wall and monotonic time are apart: the wall may jump either way and may be wrong by days,
 * monotonic time never goes back but says nothing about the date. Intervals and deadlines use monotonic time only.
 */
export interface Clock {
  /** Unix time in whole milliseconds. */
  wallMs(): number
  /** Milliseconds, with a fraction, since some moment in the past. Never falls. */
  monotonicMs(): number
  /** Calls `fire` once, not before `delayMs` of monotonic time have passed, and never within this call. */
  setTimer(delayMs: number, fire: () => void): Timer
  /** Calls `fire` when the event loop turns: after everything that is ready now, I/O included, has run. */
  defer(fire: () => void): void
}

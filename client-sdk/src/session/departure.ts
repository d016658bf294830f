import { limits } from '../limits.js'

/**
 * Decides when the message that a session gathers leaves. What costs is the message and not the operation, so as much
 * as possible should share one; but nobody should wait for company that will not come:
 *
 * - Where the node owes no answers, it leaves as soon as the code that runs now has come to its end.
 * - Where it owes few, it leaves when the event loop turns.
 * - Where it owes many (`limits.gatherFrom`), answers come all the time, and each frees callers who ask for more: it
 *   leaves with the turn that brings the next answer, when so much has gathered that more company saves little
 *   (`limits.gatherOpsMax`), or after `limits.gatherMs`. The rule is Nagle's (RFC 896), in operations and with a bound.
 */
export class Departure {
  private readonly leave: () => void
  /** It leaves within this turn. */
  private due = false
  private timer: NodeJS.Timeout | undefined

  /** `leave` sends what there is, if anything. */
  constructor(leave: () => void) {
    this.leave = leave
  }

  /** Something waits to leave: `waiting` in all, while the node owes answers to `unanswered`. */
  plan(waiting: number, unanswered: number): void {
    if (this.due) return
    if (unanswered === 0) {
      this.due = true
      process.nextTick(this.go)
    } else if (unanswered < limits.gatherFrom || waiting >= limits.gatherOpsMax) this.withTheTurn()
    else this.timer ??= setTimeout(this.go, limits.gatherMs)
  }

  /** The node has answered: what waits, and what is asked for because of the answer, leaves together. */
  answered(unanswered: number): void {
    if (!this.due && (this.timer !== undefined || unanswered >= limits.gatherFrom)) this.withTheTurn()
  }

  /** Nothing waits any more. */
  cancel(): void {
    clearTimeout(this.timer)
    this.timer = undefined
  }

  private withTheTurn(): void {
    this.due = true
    setImmediate(this.go)
  }

  private readonly go = (): void => {
    this.due = false
    this.cancel()
    this.leave()
  }
}

import { assert, limits } from '../base/index.js'

/**
 * How much a node trusts its own eyes: Lifeguard's local health (Dadgar, Phillips and Currey, "Lifeguard: SWIM-ing with
 * situational awareness", 2018). A node that is slow itself takes its own lateness for the silence of others. So what
 * hints at that (a failed probe that no helper confirms, having to refute a suspicion, ticks that come late) makes it
 * wait longer for answers, up to eight times, and each answer that it gets makes it wait less again.
 */
export class LocalHealth {
  #score = 0

  /** 0: well; at most `limits.swimHealthMax`. */
  get score(): number {
    return this.#score
  }

  /** How many times as long as usual to wait for others. */
  get factor(): number {
    return this.#score + 1
  }

  improve(): void {
    this.#score = Math.max(0, this.#score - 1)
  }

  worsen(by: number): void {
    assert(Number.isInteger(by) && by >= 0, `health worsens by ${by}`)
    this.#score = Math.min(limits.swimHealthMax, this.#score + by)
  }
}

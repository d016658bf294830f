import { AssertionError, assert } from '../base/index.js'

/** Three-valued, so that a quorum that cannot come about any more fails at once instead of by timeout. */
export type Verdict = 'pending' | 'met' | 'impossible'

/** Voters are the bits of one number. */
const votersMax = 32

/**
 * Counts the answers of a slot's owners toward a quorum. Pure and allocation-light: one object per operation. Each
 * owner has one vote, named by its position in the owners' list; a second vote is a bug, because a quorum that counts
 * one replica twice is none. A verdict that was reached stays: later votes are counted but change nothing.
 */
export class Tally {
  /** How many successes the quorum needs. */
  readonly needed: number
  /** How many owners vote. */
  readonly voters: number
  #voted = 0
  #inFavour = 0
  #succeeded = 0
  #failed = 0

  /** `needed` of `voters` must succeed: 1 <= needed <= voters <= 32. */
  constructor(needed: number, voters: number) {
    assert(Number.isInteger(voters) && voters >= 1 && voters <= votersMax, `a tally of ${voters} voters`)
    assert(Number.isInteger(needed) && needed >= 1 && needed <= voters, `${needed} needed of ${voters} voters`)
    this.needed = needed
    this.voters = voters
  }

  /** `met`: enough succeeded. `impossible`: too many failed. Both are final, and never both true. */
  get verdict(): Verdict {
    if (this.#succeeded >= this.needed) return 'met'
    return this.#failed > this.voters - this.needed ? 'impossible' : 'pending'
  }

  get succeeded(): number {
    return this.#succeeded
  }

  get failed(): number {
    return this.#failed
  }

  /** How many have not voted. */
  get outstanding(): number {
    return this.voters - this.#succeeded - this.#failed
  }

  /** Whether this owner has voted, either way. */
  hasVoted(voter: number): boolean {
    return (this.#voted & this.#bit(voter)) !== 0
  }

  /** Whether this owner has voted, and for it. */
  hasSucceeded(voter: number): boolean {
    return (this.#inFavour & this.#bit(voter)) !== 0
  }

  succeed(voter: number): void {
    this.#inFavour |= this.#vote(voter)
    this.#succeeded++
  }

  fail(voter: number): void {
    this.#vote(voter)
    this.#failed++
  }

  #vote(voter: number): number {
    const bit = this.#bit(voter)
    if ((this.#voted & bit) !== 0) throw new AssertionError(`voter ${voter} votes twice`)
    this.#voted |= bit
    return bit
  }

  // Not `assert`: it would format its message at each of some hundred thousand votes a second.
  #bit(voter: number): number {
    if (!(Number.isInteger(voter) && voter >= 0 && voter < this.voters)) {
      throw new AssertionError(`voter ${voter} of ${this.voters}`)
    }
    return 1 << voter
  }
}

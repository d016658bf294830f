import { AssertionError, assert } from '../base/index.js'
import { countVoters, firstVoters, isMet, type Quorums } from './quorum.js'

/** Three-valued, so that a quorum that cannot come about any more fails at once instead of by timeout. */
export type Verdict = 'pending' | 'met' | 'impossible'

/**
 * Counts the answers of a slot's owners toward their quorums. Pure and allocation-light: one object per operation. Each
 * owner has one vote, named by its position in the owners' list; a second vote is a bug, because a quorum that counts
 * one replica twice is none. A verdict that was reached stays: later votes are counted but change nothing.
 */
export class Tally {
  readonly quorums: Quorums
  /** How many owners vote. */
  readonly voters: number
  /** A bit for each owner that has voted for it, or against. */
  #inFavour = 0
  #against = 0

  /** The quorums' groups are among the first `voters`, at most `votersMax`. */
  constructor(quorums: Quorums, voters: number) {
    this.quorums = quorums
    this.voters = voters
    const all = firstVoters(voters)
    for (let i = 0; i < quorums.length; i++) assert((quorums[i]!.group & ~all) === 0, 'a quorum of others than voters')
  }

  /** `met`: enough succeeded. `impossible`: too many failed. Both are final, and never both true. */
  get verdict(): Verdict {
    if (isMet(this.quorums, this.#inFavour)) return 'met'
    return isMet(this.quorums, ~this.#against) ? 'pending' : 'impossible'
  }

  /** A bit for each owner that has voted for it. */
  get inFavour(): number {
    return this.#inFavour
  }

  get succeeded(): number {
    return countVoters(this.#inFavour)
  }

  get failed(): number {
    return countVoters(this.#against)
  }

  /** How many have not voted. */
  get outstanding(): number {
    return this.voters - this.succeeded - this.failed
  }

  /** Whether this owner has voted, either way. */
  hasVoted(voter: number): boolean {
    return ((this.#inFavour | this.#against) & this.#bit(voter)) !== 0
  }

  /** Whether this owner has voted, and for it. */
  hasSucceeded(voter: number): boolean {
    return (this.#inFavour & this.#bit(voter)) !== 0
  }

  succeed(voter: number): void {
    this.#inFavour |= this.#vote(voter)
  }

  fail(voter: number): void {
    this.#against |= this.#vote(voter)
  }

  #vote(voter: number): number {
    if (this.hasVoted(voter)) throw new AssertionError(`voter ${voter} votes twice`)
    return 1 << voter
  }

  // Not `assert`: it would format its message at each of some hundred thousand votes a second.
  #bit(voter: number): number {
    if (!(Number.isInteger(voter) && voter >= 0 && voter < this.voters)) {
      throw new AssertionError(`voter ${voter} of ${this.voters}`)
    }
    return 1 << voter
  }
}

/**
 * Names one round of one proposer. Ballots are ordered, and no two rounds of an epoch share one: the number is the
 * proposer's own, and the counter rises from round to round, over restarts too, because a proposer lets its own acceptor
 * promise a ballot durably before anyone else hears of it.
 */
export interface Ballot {
  /** From 1; 0 in `zeroBallot` alone. */
  readonly counter: number
  /** The short number of the proposing member. */
  readonly number: number
}

/** Below every ballot that is ever used. */
export const zeroBallot: Ballot = { counter: 0, number: 0 }

/** Negative, 0 or positive, as `a` is below, equal to or above `b`. */
export function compareBallots(a: Ballot, b: Ballot): number {
  return a.counter - b.counter || a.number - b.number
}

import type { Ballot } from './ballot.js'

/** A value that an acceptor has voted for. */
export interface Vote<V> {
  readonly ballot: Ballot
  readonly value: V
}

/** What a proposer asks of an acceptor. `epoch` is the one that is to be decided. */
export type RegisterRequest<V> =
  | { readonly kind: 'prepare'; readonly epoch: number; readonly ballot: Ballot }
  | { readonly kind: 'accept'; readonly epoch: number; readonly ballot: Ballot; readonly value: V }

/**
 * What an acceptor answers to the request with this epoch and ballot.
 * - `promised`: no lower ballot from now on; `vote` is what it has voted for last, if anything.
 * - `accepted`: it has voted for the value.
 * - `outbid`: it has promised a higher ballot, `promised`.
 * - `ahead`: it knows what was decided, for this epoch or a later one.
 * - `behind`: it does not know the document of the epoch before, or has no vote in it.
 */
export type RegisterReply<V> =
  | { readonly kind: 'promised'; readonly epoch: number; readonly ballot: Ballot; readonly vote: Vote<V> | undefined }
  | { readonly kind: 'accepted'; readonly epoch: number; readonly ballot: Ballot }
  | { readonly kind: 'outbid'; readonly epoch: number; readonly ballot: Ballot; readonly promised: Ballot }
  | { readonly kind: 'ahead'; readonly epoch: number; readonly ballot: Ballot }
  | { readonly kind: 'behind'; readonly epoch: number; readonly ballot: Ballot }

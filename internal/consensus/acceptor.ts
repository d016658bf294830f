import { type Ballot, compareBallots, zeroBallot } from './ballot.js'
import type { RegisterReply, RegisterRequest, Vote } from './messages.js'

/** What an acceptor must never forget while the epoch is undecided. */
export interface AcceptorState<V> {
  /** The epoch that it is about. */
  readonly epoch: number
  /** It answers no lower ballot than this. */
  readonly promised: Ballot
  /** The value of the highest ballot that it has voted in. */
  readonly vote: Vote<V> | undefined
}

export interface AcceptorStep<V> {
  /** What to hold from now on: durable before the reply leaves, unless it is the state that was given. */
  readonly state: AcceptorState<V> | undefined
  readonly reply: RegisterReply<V>
}

/**
 * One step of an acceptor (Paxos: Lamport, "Paxos Made Simple", 2001). Pure. `state` is what it holds durably; undefined:
 * it has never promised anything. `known` is the epoch of the newest document that it holds durably and that names it as
 * a member, 0 if there is none: it votes about the very next epoch and no other, so what it holds about epochs up to
 * `known` is void.
 */
export function acceptorStep<V>(
  known: number,
  state: AcceptorState<V> | undefined,
  request: RegisterRequest<V>,
): AcceptorStep<V> {
  const { epoch, ballot } = request
  if (epoch <= known) return { state, reply: { kind: 'ahead', epoch, ballot } }
  // A state about a later epoch than that belongs to a newer document than the one that is held: somebody has put
  // an old one in its place.
  const misplaced = state !== undefined && state.epoch > epoch
  if (known === 0 || epoch > known + 1 || misplaced) return { state, reply: { kind: 'behind', epoch, ballot } }
  const current = state?.epoch === epoch ? state : undefined
  const promised = current?.promised ?? zeroBallot
  if (compareBallots(ballot, promised) < 0) return { state, reply: { kind: 'outbid', epoch, ballot, promised } }
  const vote = current?.vote
  if (request.kind === 'prepare') {
    // The same request once more (a copy of it) changes nothing.
    const next = compareBallots(ballot, promised) === 0 ? state : { epoch, promised: ballot, vote }
    return { state: next, reply: { kind: 'promised', epoch, ballot, vote } }
  }
  const voted = vote !== undefined && compareBallots(vote.ballot, ballot) === 0
  const next = voted ? state : { epoch, promised: ballot, vote: { ballot, value: request.value } }
  return { state: next, reply: { kind: 'accepted', epoch, ballot } }
}

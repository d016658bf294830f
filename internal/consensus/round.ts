import { assert } from '../base/index.js'
import { type Ballot, compareBallots } from './ballot.js'
import type { RegisterReply, RegisterRequest, Vote } from './messages.js'

/**
 * How a round stands.
 * - `own`: its own acceptor has not promised yet; nobody else has been asked.
 * - `preparing`, `accepting`: it waits for a majority.
 * - `chosen`: `value` is decided for the epoch, whoever proposed it.
 * - `unset`: a round without a value of its own found that nothing had been decided when it began.
 * - `outbid`: another round has been promised more: try again above `outbidBy`, after a pause.
 * - `ahead`: the epoch is decided, and somebody knows how.
 */
export type RoundPhase = 'own' | 'preparing' | 'accepting' | 'chosen' | 'unset' | 'outbid' | 'ahead'

/** One round of a proposer. Immutable. */
export interface Round<V> {
  readonly phase: RoundPhase
  /** The epoch to be decided. */
  readonly epoch: number
  readonly ballot: Ballot
  /** How many acceptors there are: the members of the document of the epoch before. */
  readonly acceptors: number
  /** Which of them is the proposer's own. */
  readonly self: number
  /** What it stands for: its own value until the acceptors have told of another. Undefined: only looking. */
  readonly value: V | undefined
  /** Who has said yes in this phase, in the order of answers. */
  readonly yes: readonly number[]
  /** The vote with the highest ballot among those that it was told of. */
  readonly found: Vote<V> | undefined
  /** Present when outbid. */
  readonly outbidBy: Ballot | undefined
}

export interface RoundStep<V> {
  readonly round: Round<V>
  /** To these acceptors, among them perhaps its own. */
  readonly to: readonly number[]
  readonly request: RegisterRequest<V> | undefined
}

export interface RoundOptions<V> {
  readonly epoch: number
  readonly ballot: Ballot
  readonly acceptors: number
  readonly self: number
  /** Undefined: look only. What is found half decided is then decided, so that every later look sees the same. */
  readonly value: V | undefined
}

/** More than half of `acceptors`: two such sets share a member. */
export function majority(acceptors: number): number {
  return Math.floor(acceptors / 2) + 1
}

/**
 * Begins a round: compare-and-set on a register in the manner of CASPaxos (Rystsov, 2018), where the comparison is
 * with the epoch. The value that follows epoch e is decided once, by a majority of the members of document e; whoever
 * finds another value than its own has been overtaken.
 *
 * Its own acceptor is asked first, alone. When the others hear of the ballot it is on this node's disk, so that
 * no later life of the node uses it again with another value.
 */
export function beginRound<V>(options: RoundOptions<V>): RoundStep<V> {
  const { epoch, ballot, acceptors, self } = options
  assert(self >= 0 && self < acceptors, 'a proposer is one of the acceptors')
  const round: Round<V> = { ...options, phase: 'own', yes: [], found: undefined, outbidBy: undefined }
  return { round, to: [self], request: { kind: 'prepare', epoch, ballot } }
}

/** One answer, by the acceptor `from`. Copies, latecomers and answers to other rounds change nothing. Pure. */
export function stepRound<V>(round: Round<V>, from: number, reply: RegisterReply<V>): RoundStep<V> {
  const { phase } = round
  const running = phase === 'own' || phase === 'preparing' || phase === 'accepting'
  const ours = reply.epoch === round.epoch && compareBallots(reply.ballot, round.ballot) === 0
  if (!running || !ours || from < 0 || from >= round.acceptors) return still(round)
  switch (reply.kind) {
    case 'promised':
      return phase === 'accepting' ? still(round) : promised(round, from, reply.vote)
    case 'accepted':
      return phase === 'accepting' ? accepted(round, from) : still(round)
    case 'outbid':
      return still({ ...round, phase: 'outbid', outbidBy: reply.promised })
    case 'ahead':
      return still({ ...round, phase: 'ahead' })
    case 'behind':
      return still(round)
    default:
      return reply satisfies never
  }
}

function promised<V>(round: Round<V>, from: number, vote: Vote<V> | undefined): RoundStep<V> {
  const { epoch, ballot, self, phase } = round
  if (round.yes.includes(from)) return still(round)
  const higher =
    vote !== undefined && (round.found === undefined || compareBallots(vote.ballot, round.found.ballot) > 0)
  const found = higher ? vote : round.found
  const next: Round<V> = { ...round, phase: 'preparing', yes: [...round.yes, from], found }
  if (next.yes.length >= majority(round.acceptors)) return decide(next)
  if (phase !== 'own') return still(next)
  return {
    round: next,
    to: everybody(round).filter((each) => each !== self),
    request: { kind: 'prepare', epoch, ballot },
  }
}

/** A majority has promised: what one of them has voted for may be decided already, so it takes precedence. */
function decide<V>(round: Round<V>): RoundStep<V> {
  const { epoch, ballot, found } = round
  const value = found === undefined ? round.value : found.value
  if (value === undefined) return still({ ...round, phase: 'unset' })
  const next: Round<V> = { ...round, phase: 'accepting', value, yes: [] }
  return { round: next, to: everybody(round), request: { kind: 'accept', epoch, ballot, value } }
}

function accepted<V>(round: Round<V>, from: number): RoundStep<V> {
  if (round.yes.includes(from)) return still(round)
  const yes = [...round.yes, from]
  return still({ ...round, yes, phase: yes.length >= majority(round.acceptors) ? 'chosen' : 'accepting' })
}

function everybody(round: Round<unknown>): number[] {
  return Array.from({ length: round.acceptors }, (_, acceptor) => acceptor)
}

function still<V>(round: Round<V>): RoundStep<V> {
  return { round, to: [], request: undefined }
}

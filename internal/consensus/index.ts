export { type AcceptorState, type AcceptorStep, acceptorStep } from './acceptor.js'
export { type Ballot, compareBallots, zeroBallot } from './ballot.js'
export type { RegisterReply, RegisterRequest, Vote } from './messages.js'
export {
  beginRound,
  majority,
  type Round,
  type RoundOptions,
  type RoundPhase,
  type RoundStep,
  stepRound,
} from './round.js'

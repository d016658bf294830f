import {
  RegisterVerdict,
  type RegisterReply as ReplyMessage,
  type RegisterRequest as RequestMessage,
} from '@quorumkv/proto/kv/peer/v1/messages'
import { invalidArgument, parseEpoch } from '../../base/index.js'
import type { RegisterReply, RegisterRequest, Vote } from '../../consensus/index.js'
import type { Topology } from '../../slots/index.js'
import { topologyFromMessage, topologyToMessage } from './topology-codec.js'
import { parseBallot } from './votes-document.js'

export function requestToMessage(request: RegisterRequest<Topology>): RequestMessage {
  const { epoch, ballot } = request
  const value = request.kind === 'accept' ? topologyToMessage(request.value) : undefined
  return { epoch: BigInt(epoch), ballot, value }
}

/** Throws KvError `invalid-argument` that names what is wrong. */
export function requestFromMessage(message: RequestMessage): RegisterRequest<Topology> {
  const epoch = parseEpoch(message.epoch)
  const ballot = parseBallot(message.ballot, 'ballot')
  if (message.value === undefined) return { kind: 'prepare', epoch, ballot }
  return { kind: 'accept', epoch, ballot, value: topologyOf(message.value, epoch) }
}

const verdicts = {
  promised: RegisterVerdict.PROMISED,
  accepted: RegisterVerdict.ACCEPTED,
  outbid: RegisterVerdict.OUTBID,
  ahead: RegisterVerdict.AHEAD,
  behind: RegisterVerdict.BEHIND,
} as const

export function replyToMessage(reply: RegisterReply<Topology>): ReplyMessage {
  const vote = reply.kind === 'promised' ? reply.vote : undefined
  return {
    epoch: BigInt(reply.epoch),
    ballot: reply.ballot,
    verdict: verdicts[reply.kind],
    promised: reply.kind === 'outbid' ? reply.promised : undefined,
    voted: vote?.ballot,
    value: vote === undefined ? undefined : topologyToMessage(vote.value),
  }
}

/** Throws KvError `invalid-argument` that names what is wrong. */
export function replyFromMessage(message: ReplyMessage): RegisterReply<Topology> {
  const epoch = parseEpoch(message.epoch)
  const ballot = parseBallot(message.ballot, 'ballot')
  switch (message.verdict) {
    case RegisterVerdict.PROMISED:
      return { kind: 'promised', epoch, ballot, vote: voteOf(message, epoch) }
    case RegisterVerdict.ACCEPTED:
      return { kind: 'accepted', epoch, ballot }
    case RegisterVerdict.OUTBID:
      return { kind: 'outbid', epoch, ballot, promised: parseBallot(message.promised, 'promised') }
    case RegisterVerdict.AHEAD:
      return { kind: 'ahead', epoch, ballot }
    case RegisterVerdict.BEHIND:
      return { kind: 'behind', epoch, ballot }
    default:
      throw invalidArgument('verdict', `${message.verdict} is unknown`)
  }
}

function voteOf({ voted, value }: ReplyMessage, epoch: number): Vote<Topology> | undefined {
  return value === undefined ? undefined : { ballot: parseBallot(voted, 'voted'), value: topologyOf(value, epoch) }
}

function topologyOf(message: NonNullable<RequestMessage['value']>, epoch: number): Topology {
  const value = topologyFromMessage(message)
  if (value.epoch !== epoch) throw invalidArgument('value.epoch', `must be ${epoch}, got ${value.epoch}`)
  return value
}

import { type Ballot as BallotMessage, Votes } from '@quorumkv/proto/kv/peer/v1/messages'
import { invalidArgument, parseEpoch } from '../../base/index.js'
import type { AcceptorState, Ballot } from '../../consensus/index.js'
import type { Disk } from '../../env/index.js'
import type { Topology } from '../../slots/index.js'
import { readDocumentAs, writeDocument } from '../../store/index.js'
import { topologyFromMessage, topologyToMessage } from './topology-codec.js'

const documentName = 'votes'

/** Throws KvError `invalid-argument` where there is none, or one that nobody could have used. */
export function parseBallot(message: BallotMessage | undefined, field: string): Ballot {
  const { counter, number } = message ?? { counter: 0, number: 0 }
  if (counter === 0 || number === 0) throw invalidArgument(field, `must have a counter and a number`)
  return { counter, number }
}

function encodeVotes({ epoch, promised, vote }: AcceptorState<Topology>): Uint8Array {
  const value = vote === undefined ? undefined : topologyToMessage(vote.value)
  return Votes.encode({ epoch: BigInt(epoch), promised, voted: vote?.ballot, value }).finish()
}

/** Throws when the bytes are no such document. */
export function decodeVotes(bytes: Uint8Array): AcceptorState<Topology> {
  const { epoch, promised, voted, value } = Votes.decode(bytes)
  const vote =
    value === undefined ? undefined : { ballot: parseBallot(voted, 'voted'), value: topologyFromMessage(value) }
  return { epoch: parseEpoch(epoch), promised: parseBallot(promised, 'promised'), vote }
}

/**
 * What this directory has promised and voted for about a topology to come; undefined: nothing. Throws FatalError `corrupt`
 * where the document is none, and DiskErrors.
 */
export function readVotes(disk: Disk): Promise<AcceptorState<Topology> | undefined> {
  return readDocumentAs(disk, documentName, decodeVotes)
}

/** Durable when it resolves. */
export function writeVotes(disk: Disk, votes: AcceptorState<Topology>): Promise<void> {
  return writeDocument(disk, documentName, encodeVotes(votes))
}

import {
  GossipKind,
  type Gossip as GossipMessage,
  GossipStatus,
  type MemberDigest,
  NodeMeta,
  type Rumour as RumourMessage,
} from '@quorumkv/proto/kv/peer/v1/messages'
import { invalidArgument } from '../../base/index.js'
import type { DigestEntry, MemberStatus, MessageKind, Rumour, SwimMessage } from '../../swim/index.js'

const kinds = {
  ping: GossipKind.PING,
  pingRequest: GossipKind.PING_REQUEST,
  ack: GossipKind.ACK,
  nack: GossipKind.NACK,
  gossip: GossipKind.GOSSIP,
  sync: GossipKind.SYNC,
  syncReply: GossipKind.SYNC_REPLY,
} as const satisfies Record<MessageKind, GossipKind>

const statuses = {
  alive: GossipStatus.ALIVE,
  suspect: GossipStatus.SUSPECT,
  dead: GossipStatus.DEAD,
  left: GossipStatus.LEFT,
} as const satisfies Record<MemberStatus, GossipStatus>

const kindOf = new Map<GossipKind, MessageKind>(
  Object.entries(kinds).map(([name, kind]) => [kind, name as MessageKind]),
)
const statusOf = new Map<GossipStatus, MemberStatus>(
  Object.entries(statuses).map(([name, status]) => [status, name as MemberStatus]),
)

export function gossipToMessage(message: SwimMessage): GossipMessage {
  return {
    kind: kinds[message.kind],
    seq: message.seq,
    number: message.number,
    refutation: BigInt(message.refutation),
    address: message.address,
    target: message.target,
    rumours: message.rumours.map(rumourToMessage),
    digest: message.digest.map(digestToMessage),
    wanted: [...message.wanted],
  }
}

/**
 * Throws KvError `invalid-argument` for kinds and statuses that are unknown here. Whether the rest can be, bounds included,
 * is for `Swim` to say.
 */
export function gossipFromMessage(message: GossipMessage): SwimMessage {
  const kind = kindOf.get(message.kind)
  if (kind === undefined) throw invalidArgument('gossip.kind', `${message.kind} is unknown`)
  return {
    kind,
    seq: message.seq,
    number: message.number,
    refutation: Number(message.refutation),
    address: message.address,
    target: message.target,
    rumours: message.rumours.map(rumourFromMessage),
    digest: message.digest.map(digestFromMessage),
    wanted: message.wanted,
  }
}

function rumourToMessage({ number, status, refutation, address, meta, accusers }: Rumour): RumourMessage {
  const bytes = Buffer.from(meta.buffer, meta.byteOffset, meta.byteLength)
  const counted = BigInt(refutation)
  return { number, status: statuses[status], refutation: counted, address, meta: bytes, accusers: [...accusers] }
}

function rumourFromMessage(message: RumourMessage): Rumour {
  const { number, address, meta, accusers } = message
  const status = parseStatus(message.status, 'gossip.rumours.status')
  // A view of the message would keep the whole of it in memory for as long as the member is known.
  return { number, status, refutation: Number(message.refutation), address, meta: Uint8Array.from(meta), accusers }
}

function digestToMessage({ number, status, refutation, described }: DigestEntry): MemberDigest {
  return { number, status: statuses[status], refutation: BigInt(refutation), described: BigInt(described) }
}

function digestFromMessage(message: MemberDigest): DigestEntry {
  const { number, refutation, described } = message
  const status = parseStatus(message.status, 'gossip.digest.status')
  return { number, status, refutation: Number(refutation), described: Number(described) }
}

function parseStatus(status: GossipStatus, field: string): MemberStatus {
  const name = statusOf.get(status)
  if (name === undefined) throw invalidArgument(field, `${status} is unknown`)
  return name
}

/** What a node tells all others about itself. */
export function metaToBytes(epoch: number): Uint8Array {
  return NodeMeta.encode({ epoch: BigInt(epoch) }).finish()
}

/** The epoch that a member goes by; 0: it has not said. Throws KvError `invalid-argument` for what is no meta. */
export function epochOfMeta(meta: Uint8Array): number {
  try {
    const epoch = Number(NodeMeta.decode(meta).epoch)
    if (!Number.isSafeInteger(epoch)) throw new RangeError(`epoch ${epoch}`)
    return epoch
  } catch (error) {
    throw invalidArgument('gossip.meta', error instanceof Error ? error.message : String(error))
  }
}

import { KvError, type Slot } from '@quorumkv/internal/base'
import { RecordFormatError } from '@quorumkv/internal/record'
import { ItemReader, type PeerLink, RemoteReplica } from '@quorumkv/internal/replication'
import { DigestLevel, PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { ClusterService, TopologyResponse } from '@quorumkv/proto/kv/v1/cluster'
import { KvService, SessionRequest, SessionResponse } from '@quorumkv/proto/kv/v1/kv'
import { KvError as ClientError } from '../../../client-sdk/src/errors.js'
import { ResponseReader } from '../../../client-sdk/src/session/wire-reader.js'
import { TopologyView } from '../../../client-sdk/src/topology/topology.js'
import { reportFromMessage } from '../../../internal/cluster/changes/handover-codec.js'
import { epochOfMeta, gossipFromMessage } from '../../../internal/cluster/gossip/gossip-codec.js'
import { judgeHello, type LocalNode } from '../../../internal/cluster/links/handshake.js'
import { replyFromMessage, requestFromMessage } from '../../../internal/cluster/topology/register-messages.js'
import { topologyFromMessage } from '../../../internal/cluster/topology/topology-codec.js'
import { decodeMessage } from '../../../internal/replication/replicas/message-codec.js'
import { copyAnswer } from '../../../internal/replication/transfer/copy-source.js'
import { topologyOf } from '../../../internal/slots/topology.test-support.js'
import { checkMessage } from '../../../internal/swim/messages.js'
import { readSessionRequest } from '../../../server/src/session/session-request.js'
import { WireError } from '../../../server/src/session/wire-reader.js'
import { clientMessages, nodeMessages, topologyAnswers } from '../corpus.js'
import { mutate } from '../mutate.js'
import { Fault, refusedBy, type Target } from '../target.js'
import { recordedTraffic } from '../traffic.js'

/** What the generated code throws at bytes that are no message; gRPC and `PeerLink` expect nothing more particular of it. */
export function isDecodeError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof RangeError) return !/call stack|Invalid typed array length|Array buffer/.test(error.message)
  return error.constructor === Error
}

const isWireError = (error: unknown): boolean => error instanceof WireError
const isKvError = (error: unknown): boolean => error instanceof KvError

export const sessionRequest: Target = {
  name: 'session-request',
  share: 220,
  async open() {
    const corpus = clientMessages()
    return {
      make: (random) => mutate(random, corpus),
      run: (input) =>
        refusedBy(isWireError, () => {
          const { operations } = readSessionRequest(Buffer.from(input))
          // Where both readers take a message they must take it for the same.
          const generated = decodedOrUndefined(() => SessionRequest.decode(input))
          if (generated === undefined) return
          if (generated.operations.length !== operations.length) throw new Fault('another number of operations')
          for (const [i, { id, request }] of generated.operations.entries()) {
            const ours = operations[i]!
            const kind = request?.$case ?? 'nothing'
            if (kind !== ours.kind || id !== ours.id) throw new Fault(`a ${ours.kind} ${ours.id} for a ${kind} ${id}`)
            if (request !== undefined && !Buffer.from(ours.key).equals(request.value.key))
              throw new Fault('another key')
          }
        }),
    }
  },
}

function decodedOrUndefined<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (!isDecodeError(error)) throw error
    return undefined
  }
}

/** All methods with one message, in one order: the first byte of an input says which. */
const methods = [...Object.values(KvService), ...Object.values(ClusterService)]

export const unaryRequest: Target = {
  name: 'unary-request',
  share: 90,
  async open() {
    const corpus = methods.map((method) => {
      const serialize = method.requestSerialize as (message: unknown) => Buffer
      return Buffer.from(serialize(method.requestDeserialize(Buffer.alloc(0))))
    })
    const filled = [...corpus, ...clientMessages()]
    return {
      make: (random) => Buffer.concat([Uint8Array.of(random.below(methods.length)), mutate(random, filled)]),
      run: (input) =>
        refusedBy(isDecodeError, () => {
          const method = methods[(input[0] ?? 0) % methods.length]!
          return method.requestDeserialize(Buffer.from(input.subarray(1)))
        }),
    }
  },
}

export const sessionResponse: Target = {
  name: 'session-response',
  share: 150,
  async open() {
    const corpus = nodeMessages()
    // Plain errors: `session.ts` takes whatever is thrown for the end of the session.
    const promised = (error: unknown): boolean => error instanceof Error && error.constructor === Error
    return {
      make: (random) => mutate(random, corpus),
      run: (input) =>
        refusedBy(promised, () => {
          let results = 0
          const reader = new ResponseReader((reply) => {
            results++
            if (reply.start > reply.end || reply.end > input.length) throw new Fault('a value outside of the message')
          })
          reader.read(Buffer.from(input))
          const generated = decodedOrUndefined(() => SessionResponse.decode(input))
          if (generated !== undefined && generated.results.length !== results)
            throw new Fault('another number of results')
        }),
    }
  },
}

export const topologyResponse: Target = {
  name: 'topology-response',
  share: 60,
  async open() {
    const corpus = topologyAnswers()
    const promised = (error: unknown): boolean => error instanceof ClientError || isDecodeError(error)
    return {
      make: (random) => mutate(random, corpus),
      run: (input) =>
        refusedBy(promised, () => {
          const view = TopologyView.from(TopologyResponse.decode(Buffer.from(input)), 'n1:1')
          if (view === undefined) return
          for (const hash of [0, 0x7fffffff, 0xffffffff]) {
            const slot = view.slotOf(hash)
            if (view.members[view.ownerIndex(slot, 0)] === undefined) throw new Fault(`slot ${slot} has no owner`)
            view.owners(slot)
            view.otherOwners(slot)
          }
        }),
    }
  },
}

/** A link that takes everything and has room for more, so that each kind of request waits for a reply with the id 1. */
const takingLink = {
  overloaded: false,
  queuedBytes: 0,
  outbox: () => new Proxy({}, { get: () => () => undefined }),
  sendNow: () => undefined,
  close: () => undefined,
} as unknown as PeerLink

/** Every number of an answer that stands for a floor or a horizon must be one. */
function checkFloor(ms: number): void {
  if (!Number.isInteger(ms) || ms < 0 || ms >= 2 ** 48) throw new Fault(`a floor at ${ms} was taken`)
}

/** A replica that is asked everything at once is told what a message says. */
function answered(message: PeerMessage): void {
  const replica = new RemoteReplica()
  replica.attach(takingLink, 'life')
  const slot = 1 as Slot
  const none = new Uint8Array(0)
  const record = { hi: 1, lo: 1, node: 1, key: Uint8Array.of(1), tombstone: true, expiresAtMs: 0, value: none }
  replica.write(record, true, { writeReplied: () => undefined }, 0)
  replica.read(record.key, true, { readReplied: () => undefined }, 0)
  const page = { slot, prefix: none, after: none, recordsMax: 1, bytesMax: 1 }
  replica.page(page, { pageReplied: (_, reply) => checkFloor(reply.floorMs) }, 0)
  replica.digests({ level: DigestLevel.BUCKETS, member: 0, places: [1] }, (answer) => {
    if (answer.kind === 'held') checkFloor(answer.floorMs)
  })
  replica.entries({ slot, buckets: [1], after: none, entriesMax: 1, bytesMax: 1 }, () => undefined)
  replica.floors({ slot, agreedMs: 0, candidateMs: 1 }, ({ floorMs, horizonMs }) => {
    checkFloor(floorMs)
    checkFloor(horizonMs)
  })
  const copied = { slot, digest: { hi: 0, lo: 0 }, floorMs: 0 }
  const copy = { slots: [copied], after: none, recordsMax: 1, bytesMax: 1, settled: false }
  replica.copy(copy, ({ parts }) => {
    for (const { floorMs } of parts) checkFloor(floorMs)
  })
  replica.received(message)
}

export const peerReply: Target = {
  name: 'peer-reply',
  share: 60,
  async open() {
    const replies = (await recordedTraffic()).map((bytes) => {
      const message = PeerMessage.decode(bytes)
      const lists = [
        message.pages,
        message.digestReplies,
        message.entryPages,
        message.floorReplies,
        message.copyReplies,
      ]
      for (const list of lists) for (const reply of list) reply.id = 1
      return { message, counts: lists.some(({ length }) => length > 0) || message.items.length > 0 }
    })
    const corpus = replies.filter(({ counts }) => counts).map(({ message }) => PeerMessage.encode(message).finish())
    const promised = (error: unknown): boolean => error instanceof RecordFormatError || isDecodeError(error)
    return {
      make: (random) => mutate(random, corpus),
      run: (input) => refusedBy(promised, () => answered(decodeMessage(input))),
    }
  },
}

const topology = topologyOf([{ id: 'n1' }, { id: 'n2' }, { id: 'n3' }])
const [self] = topology.members
const local: LocalNode = { ...self!, life: 'life', replication: topology.replication, virtualNodes: 150 }

/** Everything that a node makes of a message of another one before it does anything. */
function readPeerMessage(input: Uint8Array): void {
  const message = decodeMessage(input)
  const { hello, gossip, registerRequest, registerReply, handoverReport } = message
  if (hello !== undefined) for (const known of [undefined, topology]) judgeHello(local, known, hello)
  for (const item = new ItemReader(message.items); item.next(); );
  for (const reply of message.copyReplies) copyAnswer(reply)
  if (message.topology !== undefined) topologyFromMessage(message.topology)
  if (registerRequest !== undefined) requestFromMessage(registerRequest)
  if (registerReply !== undefined) replyFromMessage(registerReply)
  if (handoverReport !== undefined) {
    const { bytes, remainingBytes = 0, remainingMs = 0 } = reportFromMessage(handoverReport)
    // They are shown as whole numbers, which nothing else can be made into.
    if (![bytes, remainingBytes, remainingMs].every(Number.isFinite)) throw new Fault('a report with what is no number')
  }
  if (gossip === undefined) return
  const swim = gossipFromMessage(gossip)
  checkMessage(swim)
  for (const { meta } of swim.rumours) epochOfMeta(meta)
}

export const peerMessage: Target = {
  name: 'peer-message',
  share: 180,
  async open() {
    const corpus = await recordedTraffic()
    const promised = (error: unknown): boolean =>
      isKvError(error) || error instanceof RecordFormatError || isDecodeError(error)
    return {
      make: (random) => mutate(random, corpus),
      run: (input) => refusedBy(promised, () => readPeerMessage(input)),
    }
  },
}

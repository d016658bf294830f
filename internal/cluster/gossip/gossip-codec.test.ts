import { Gossip } from '@quorumkv/proto/kv/peer/v1/messages'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KvError, limits } from '../../base/index.js'
import { type MemberStatus, type MessageKind, messageBytes, type SwimMessage } from '../../swim/index.js'
import { epochOfMeta, gossipFromMessage, gossipToMessage, metaToBytes } from './gossip-codec.js'

const number = fc.integer({ min: 0, max: 0xffff_ffff })
const refutation = fc.integer({ min: 0, max: limits.swimRefutationMax })
const status = fc.constantFrom<MemberStatus>('alive', 'suspect', 'dead', 'left')
const rumour = fc.record({
  number,
  status,
  refutation,
  address: fc.constantFrom('', 'n1:50051'),
  meta: fc.uint8Array({ maxLength: limits.swimMetaBytesMax }),
  accusers: fc.array(number, { maxLength: limits.swimAccusersMax }),
})
const message: fc.Arbitrary<SwimMessage> = fc.record({
  kind: fc.constantFrom<MessageKind>('ping', 'pingRequest', 'ack', 'nack', 'gossip', 'sync', 'syncReply'),
  seq: number,
  number,
  refutation,
  address: fc.constant('n1:50051'),
  target: number,
  rumours: fc.array(rumour, { maxLength: 10 }),
  digest: fc.array(fc.record({ number, status, refutation, described: refutation }), { maxLength: 10 }),
  wanted: fc.array(number, { maxLength: 10 }),
})

describe('messages of failure detection', () => {
  test('arrive as they were sent, and are no longer than failure detection takes them for (property)', () => {
    fc.assert(
      fc.property(message, (sent) => {
        const bytes = Gossip.encode(gossipToMessage(sent)).finish()
        expect(bytes.length).toBeLessThanOrEqual(messageBytes(sent))
        expect(gossipFromMessage(Gossip.decode(bytes))).toEqual(sent)
      }),
    )
  })

  test('of an unknown kind or status are refused, naming the field', () => {
    const sent = gossipToMessage({ ...fc.sample(message, 1)[0]!, rumours: [], digest: [] })
    const about = { number: 1, status: 9 as never, refutation: 1n }
    const rumours = [{ ...about, address: '', meta: Buffer.alloc(0), accusers: [] }]
    for (const [field, wrong] of [
      ['gossip.kind', { kind: 9 as never }],
      ['gossip.rumours.status', { rumours }],
      ['gossip.digest.status', { digest: [{ ...about, described: 1n }] }],
    ] as [string, object][]) {
      expect(() => gossipFromMessage({ ...sent, ...wrong })).toThrow(expect.objectContaining({ field }))
    }
  })
})

test('what a node tells about itself is read back; nothing told is no epoch, and nonsense is refused', () => {
  expect(epochOfMeta(metaToBytes(17))).toBe(17)
  expect(epochOfMeta(new Uint8Array())).toBe(0)
  expect(() => epochOfMeta(Uint8Array.of(0x08))).toThrow(KvError)
})

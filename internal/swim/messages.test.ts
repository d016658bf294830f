import { expect, test } from 'vitest'
import { limits } from '../base/index.js'
import { accusation, aliveRumour } from './members.js'
import { checkMessage, type DigestEntry, messageBytes, rumourBytes, type SwimMessage } from './messages.js'

const message: SwimMessage = {
  kind: 'gossip',
  seq: 0,
  number: 1,
  refutation: 1,
  address: '10.0.0.1:50051',
  target: 0,
  rumours: [],
  digest: [],
  wanted: [],
}

const alive = aliveRumour(2, 1, '10.0.0.2:50051', new Uint8Array(0))
const entry: DigestEntry = { number: 2, status: 'alive', refutation: 1, described: 1 }

test('a sound message is taken', () => {
  checkMessage({ ...message, rumours: [alive, accusation(3, 'suspect', 1, [1, 2])], digest: [entry], wanted: [2] })
})

test.each<[string, Partial<SwimMessage>]>([
  ['kind', { kind: 'shout' as 'gossip' }],
  ['seq', { seq: -1 }],
  ['number', { number: 2 ** 32 }],
  ['refutation', { refutation: 1.5 }],
  ['target', { target: Number.NaN }],
  ['address', { address: 'nowhere' }],
  ['rumours.number', { rumours: [{ ...alive, number: -1 }] }],
  ['rumours.status', { rumours: [{ ...alive, status: 'undead' as 'dead' }] }],
  ['rumours.refutation', { rumours: [{ ...alive, refutation: 2 ** 48 }] }],
  ['rumours.address', { rumours: [{ ...alive, address: '' }] }],
  ['rumours.meta', { rumours: [{ ...alive, meta: new Uint8Array(limits.swimMetaBytesMax + 1) }] }],
  ['rumours.accusers', { rumours: [accusation(2, 'suspect', 1, new Array(limits.swimAccusersMax + 1).fill(1))] }],
  ['rumours.accusers', { rumours: [accusation(2, 'suspect', 1, [-1])] }],
  ['digest', { digest: new Array(limits.membersMax + 1).fill(entry) }],
  ['digest.number', { digest: [{ ...entry, number: -1 }] }],
  ['digest.status', { digest: [{ ...entry, status: '' as 'dead' }] }],
  ['digest.refutation', { digest: [{ ...entry, refutation: 2 ** 48 }] }],
  ['digest.described', { digest: [{ ...entry, described: -1 }] }],
  ['wanted', { wanted: new Array(limits.membersMax + 1).fill(1) }],
  ['wanted', { wanted: [0.5] }],
  ['message', { rumours: new Array(1000).fill(alive) }],
])('one with a bad %s is refused by name', (field, fields) => {
  expect(() => checkMessage({ ...message, ...fields })).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  expect(() => checkMessage({ ...message, ...fields })).toThrow(field)
})

test('sizes are those of Protocol Buffers', () => {
  // Written by hand: one byte of tag for each field, lengths and numbers in base 128.
  expect(messageBytes(message)).toBe(2 + 2 + 2 + 2 + 2 + (2 + 14))
  const meta = new Uint8Array(128)
  const large = aliveRumour(300, 2 ** 40, '10.0.0.2:50051', meta)
  const body = 1 + 2 + 2 + (1 + 6) + (2 + 14) + (1 + 2 + 128)
  expect(rumourBytes(large)).toBe(1 + 2 + body)
  expect(rumourBytes(accusation(3, 'suspect', 1, [1, 200]))).toBe(2 + 2 + 2 + 2 + 2 + 2 + (2 + 3))
  expect(messageBytes({ ...message, digest: [entry] }) - messageBytes(message)).toBe(2 + 8)
  expect(messageBytes({ ...message, wanted: [1, 300] }) - messageBytes(message)).toBe(2 + 3)
})

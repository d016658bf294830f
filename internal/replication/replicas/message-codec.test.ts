import { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../../base/index.js'
import { ItemWriter } from '../operations/items.js'
import { record, version } from '../replication.test-support.js'
import { decodeMessage, emptyPeerMessage, encodeItems, envelopeBytes } from './message-codec.js'

const u32 = fc.oneof(fc.nat({ max: 0xffffffff }), fc.constantFrom(0, 0x80000000, 0xffffffff))
const envelopes = fc.record({
  hi: u32,
  lo: u32,
  epoch: fc.oneof(fc.nat(), fc.constantFrom(0, 1, 2 ** 40)),
  wallMs: fc.double({ noNaN: true, min: 0 }),
  values: fc.array(fc.string({ maxLength: 200 }), { maxLength: 200 }),
})

function itemsOf(values: readonly string[]): ItemWriter {
  const items = new ItemWriter()
  for (const [i, value] of values.entries()) items.addWrite(i, 0, record('key', value, version(5)))
  return items
}

test('the generated code reads what is written by hand, and the other way round (property)', () => {
  fc.assert(
    fc.property(envelopes, ({ hi, lo, epoch, wallMs, values }) => {
      const items = itemsOf(values)
      const bytes = encodeItems({ hi, lo }, epoch, wallMs, items)
      const expected = {
        ...emptyPeerMessage(),
        ...{ hlcHi: hi, hlcLo: lo, epoch, wallMs, items: Buffer.from(items.view()) },
      }
      expect(bytes.length).toBe(envelopeBytes + items.length)
      expect(PeerMessage.decode(bytes)).toEqual(expected)
      expect(decodeMessage(bytes)).toEqual(expected)
      expect(decodeMessage(PeerMessage.encode(expected).finish())).toEqual(expected)
    }),
  )
})

test('the items of the largest batch have their length', () => {
  const items = itemsOf(['x'.repeat(limits.valueBytesMax), 'y'.repeat(limits.valueBytesMax)])
  const bytes = encodeItems({ hi: 1, lo: 2 }, 3, 4, items)
  expect(PeerMessage.decode(bytes).items.equals(items.view())).toBe(true)
  expect(decodeMessage(bytes).items.equals(items.view())).toBe(true)
})

test('a message that lies in the middle of other bytes is read from where it lies', () => {
  const bytes = encodeItems({ hi: 1, lo: 2 }, 3, 4, itemsOf(['one']))
  const around = new Uint8Array(bytes.length + 20).fill(0xff)
  around.set(bytes, 10)
  expect(decodeMessage(around.subarray(10, 10 + bytes.length))).toEqual(decodeMessage(bytes))
})

test('what else a message says is read beside its items, in front of the envelope or behind', () => {
  const bytes = encodeItems({ hi: 1, lo: 2 }, 3, 4, itemsOf(['one']))
  const ping = PeerMessage.encode({ ...emptyPeerMessage(), ping: 7 }).finish()
  const expected = { ...decodeMessage(bytes), ping: 7 }
  expect(decodeMessage(Buffer.concat([bytes, ping]))).toEqual(expected)
  expect(decodeMessage(Buffer.concat([ping, bytes]))).toEqual(expected)
})

test('damaged bytes are read as the generated code reads them, or refused as by it (property)', () => {
  const outcome = (read: () => PeerMessage): unknown => {
    try {
      return read()
    } catch {
      return 'refused'
    }
  }
  const damages = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(damages, fc.nat(4), (damage, cut) => {
      const whole = encodeItems({ hi: 1, lo: 2 }, 3, 4, itemsOf(['one', 'two']))
      const bytes = Uint8Array.from(whole.subarray(0, whole.length - cut))
      for (const [at, value] of damage) bytes[at % (envelopeBytes + 4)] = value
      expect(outcome(() => decodeMessage(bytes))).toEqual(outcome(() => PeerMessage.decode(bytes)))
    }),
    { numRuns: 2_000 },
  )
})

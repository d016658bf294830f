import { MessageDeframer } from '@quorumkv/proto/framing'
import { type Result, SessionRequest, SessionResponse } from '@quorumkv/proto/kv/v1/kv'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../limits.js'
import { Operation } from './operation.js'
import { type Reply, ResponseReader } from './wire-reader.js'
import { RequestWriter } from './wire-writer.js'

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const safe = fc.bigInt({ min: 0n, max: 2n ** 53n - 1n })
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const level = fc.constantFrom(0, 1, 2, 3)
const version = fc.option(fc.record({ hlc: u64, node: u32 }), { nil: undefined })

const operation = fc
  .record({
    kind: fc.constantFrom('get', 'put', 'delete'),
    key: bytes.filter(({ length }) => length > 0),
    value: bytes,
    ttlMs: fc.constantFrom(0, 1, 127, 128, 16_384, 2 ** 31, 3_153_600_000_000),
    consistency: level,
    returnPrevious: fc.boolean(),
    stampAboveMs: fc.constantFrom(0, 1, 2 ** 41, 2 ** 48 - 1),
    stampLimitMs: fc.constantFrom(0, 1, 2 ** 41, 2 ** 48 - 1),
    traceparent: fc.constantFrom('', `00-${'a1'.repeat(16)}-${'b2'.repeat(8)}-01`),
  })
  .map(({ kind, key, value, ttlMs, consistency, returnPrevious, ...rest }) => {
    const made = new Operation(kind as 'get', key, consistency as 0, 1000)
    if (kind === 'put') Object.assign(made, { value, ttlMs, returnPrevious })
    Object.assign(made, rest)
    return made
  })

const expected = (id: number, timeoutMs: number, made: Operation): SessionRequest['operations'][number] => {
  const { kind, key, consistency, value, ttlMs, returnPrevious } = made
  const request =
    kind === 'put'
      ? {
          $case: kind,
          value: { key, value, ttlMs: ttlMs === 0 ? undefined : BigInt(ttlMs), consistency, returnPrevious },
        }
      : { $case: kind, value: { key, consistency } }
  const { stampAboveMs, stampLimitMs, traceparent } = made
  const bounds = { stampAboveMs: BigInt(stampAboveMs), stampLimitMs: BigInt(stampLimitMs) }
  return { id, timeoutMs, request, ...bounds, traceparent }
}

/** What the deframer finds in a frame: one message, and nothing besides. */
function messageIn(frame: Buffer): Buffer {
  const messages: Buffer[] = []
  new MessageDeframer(limits.messageBytesMax, (message) => messages.push(message)).push(frame)
  expect(messages).toHaveLength(1)
  return messages[0]!
}

test('the generated code reads a request as it was meant, whatever is in it', () => {
  const ids = fc.constantFrom(1, 127, 128, 16_383, 2 ** 21, 2 ** 28, 2 ** 32 - 1)
  const operations = fc.array(fc.tuple(ids, fc.integer({ min: 1, max: 600_000 }), operation), { maxLength: 20 })
  const writer = new RequestWriter()
  fc.assert(
    fc.property(u32, u32, fc.array(ids, { maxLength: 20 }), operations, (hi, lo, cancelled, list) => {
      const size = list.reduce((sum, [, , made]) => sum + made.bytes, 0)
      writer.begin({ hi, lo }, cancelled, size)
      for (const [id, timeoutMs, made] of list) writer.operation(id, timeoutMs, made)
      const message = messageIn(writer.end())
      expect(SessionRequest.decode(message)).toEqual({
        observedHlc: (BigInt(hi) << 32n) | BigInt(lo),
        cancelled,
        operations: list.map(([id, timeoutMs, made]) => expected(id, timeoutMs, made)),
      })
    }),
    { numRuns: 300 },
  )
})

test('an operation of the largest size stays within what is reckoned for it', () => {
  const made = new Operation('put', Buffer.alloc(1024), 3, 600_000)
  Object.assign(made, { value: Buffer.alloc(1_048_576), ttlMs: 3_153_600_000_000, returnPrevious: true })
  Object.assign(made, { stampAboveMs: 2 ** 48 - 1, stampLimitMs: 2 ** 48 - 1 })
  const writer = new RequestWriter()
  writer.begin({ hi: 2 ** 32 - 1, lo: 2 ** 32 - 1 }, [2 ** 32 - 1], made.bytes)
  writer.operation(2 ** 32 - 1, 600_000, made)
  const message = messageIn(writer.end())
  expect(message.length).toBeLessThanOrEqual(made.bytes + 32)
  expect(SessionRequest.decode(message).operations[0]).toEqual(expected(2 ** 32 - 1, 600_000, made))
})

const outcome: fc.Arbitrary<Result['outcome']> = fc.oneof(
  fc.record({ found: fc.boolean(), value: bytes, version, expiresAtMs: safe }).map((value) => ({
    $case: 'get' as const,
    value,
  })),
  fc
    .record({ version, acks: u32, hadPrevious: fc.boolean(), previousValue: bytes, previousUnknown: fc.boolean() })
    .map((value) => ({ $case: 'put' as const, value })),
  fc
    .record({ version, acks: u32, existed: fc.boolean(), existedUnknown: fc.boolean() })
    .map((value) => ({ $case: 'delete' as const, value })),
  fc
    .record({
      code: fc.integer({ min: 0, max: 9 }),
      message: fc.string({ unit: 'grapheme' }),
      field: fc.string(),
      writeOutcome: level,
    })
    .map((value) => ({ $case: 'error' as const, value }) as Result['outcome']),
  fc.constant(undefined),
)

/** What a reply says, in the words of the generated code. */
const outcomeOf = (reply: Reply): unknown => {
  const value = Buffer.from(reply.bytes.subarray(reply.start, reply.end))
  const stamp = { hlc: (BigInt(reply.hlcHi) << 32n) | BigInt(reply.hlcLo), node: reply.node }
  switch (reply.kind) {
    case 'get':
      return { found: reply.present, value, version: stamp, expiresAtMs: BigInt(reply.expiresAtMs) }
    case 'put':
      return {
        version: stamp,
        acks: reply.acks,
        hadPrevious: reply.present,
        previousValue: value,
        previousUnknown: reply.replacedUnknown,
      }
    case 'delete':
      return { version: stamp, acks: reply.acks, existed: reply.present, existedUnknown: reply.replacedUnknown }
    case 'error':
      return { code: reply.code, message: reply.message, field: reply.field, writeOutcome: reply.writeOutcome }
    default:
      return undefined
  }
}

const withVersion = (result: Result['outcome']): unknown => {
  if (result === undefined || result.$case === 'error') return result?.value
  return { ...result.value, version: result.value.version ?? { hlc: 0n, node: 0 } }
}

const response = fc.record({
  hlc: u64,
  epoch: safe,
  results: fc.array(fc.record({ id: u32, outcome }), { maxLength: 20 }),
  draining: fc.boolean(),
})

test('what the generated code writes is read as it was meant', () => {
  const read: unknown[] = []
  const reader = new ResponseReader((reply) => read.push({ id: reply.id, outcome: outcomeOf(reply) }))
  fc.assert(
    fc.property(response, (message) => {
      read.length = 0
      reader.read(Buffer.from(SessionResponse.encode(message).finish()))
      expect(read).toEqual(message.results.map(({ id, outcome: o }) => ({ id, outcome: withVersion(o) })))
      expect((BigInt(reader.hlcHi) << 32n) | BigInt(reader.hlcLo)).toBe(message.hlc)
      expect(BigInt(reader.epoch)).toBe(message.epoch)
      expect(reader.draining).toBe(message.draining)
    }),
    { numRuns: 300 },
  )
})

test('fields that a newer node adds are passed over, at every level', () => {
  // Field 15: a number, 8 bytes, a text, 4 bytes.
  const unknown = Buffer.from([0x78, 0x85, 0x01, 0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x7a, 2, 65, 66, 0x7d, 1, 2, 3, 4])
  const part = (tag: number, ...content: (Buffer | number[])[]): Buffer => {
    const inner = Buffer.concat(content.map((piece) => Buffer.from(piece)))
    return Buffer.concat([Buffer.from([tag, inner.length]), inner])
  }
  const stamp = part(0x1a, unknown, [0x10, 9])
  const get = part(0x12, unknown, [0x08, 1], [0x12, 1, 88], stamp)
  const message = Buffer.concat([unknown, part(0x1a, [0x08, 7], unknown, get), unknown, Buffer.from([0x10, 3])])
  const read: unknown[] = []
  const reader = new ResponseReader(({ id, present, node, bytes: all, start, end }) =>
    read.push([id, present, node, all.toString('utf8', start, end)]),
  )
  reader.read(message)
  expect(read).toEqual([[7, true, 9, 'X']])
  expect(reader.epoch).toBe(3)
})

test('no bytes make the reader run wild: it ends, with results or with an error', () => {
  const reader = new ResponseReader(() => undefined)
  const tryToRead = (input: Buffer): void => {
    try {
      reader.read(input)
    } catch (error) {
      expect(error).toBeInstanceOf(Error)
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (array) => tryToRead(Buffer.from(array))))
  fc.assert(
    fc.property(response, fc.nat(), fc.nat({ max: 255 }), (message, at, byte) => {
      const encoded = Buffer.from(SessionResponse.encode(message).finish())
      if (encoded.length > 0) encoded[at % encoded.length] = byte
      tryToRead(encoded)
    }),
  )
})

test.each([
  ['cut off in a part', [0x1a, 5, 0x08]],
  ['cut off in a number', [0x10, 0x80]],
  ['cut off in a clock', [0x09, 1, 2]],
  ['a part longer than the one around it', [0x1a, 2, 0x12, 9]],
  ['a field that runs over its end', [0x1a, 3, 0x79, 1, 2]],
  ['a number without an end', [0x10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]],
  ['a group', [0x1b]],
  ['a field without a number', [0x00, 0x00]],
  ['a field with a number of over 29 bits', [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00]],
])('%s is refused', (_what, input) => {
  expect(() => new ResponseReader(() => undefined).read(Buffer.from(input))).toThrow()
})

import { limits } from '@quorumkv/internal/base'
import { hlcFromBigint } from '@quorumkv/internal/hlc'
import {
  type Consistency,
  ErrorCode,
  type Operation,
  Operation as OperationMessage,
  type Result,
  SessionRequest,
  SessionResponse,
  WriteOutcome,
} from '@quorumkv/proto/kv/v1/kv'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ResultWriter } from './result-writer.js'
import { OperationTable, SessionOperation } from './session-operation.js'
import { readSessionRequest, type SessionBatch } from './session-request.js'
import { WireError } from './wire-reader.js'

const u32 = fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(0, 1, 127, 128, 2 ** 32 - 1))
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const consistency = fc.integer({ min: -3, max: 5 }).map((number) => number as Consistency)

const keyRequest = fc.record({ key: bytes, consistency })
const putRequest = fc.record({
  key: bytes,
  value: bytes,
  ttlMs: fc.option(u64, { nil: undefined }),
  consistency,
  returnPrevious: fc.boolean(),
})
const u48 = fc.bigInt({ min: 0n, max: 2n ** 48n - 1n })
/** What most operations do not say. */
const bare = { stampAboveMs: 0n, stampLimitMs: 0n, traceparent: '' }
const operation: fc.Arbitrary<Operation> = fc.record({
  id: u32,
  timeoutMs: u32,
  stampAboveMs: u48,
  stampLimitMs: u48,
  traceparent: fc.constantFrom('', 'short', `00-${'a1'.repeat(16)}-${'b2'.repeat(8)}-01`, 'x'.repeat(300)),
  request: fc.oneof(
    fc.constant(undefined),
    keyRequest.map((value) => ({ $case: 'get', value }) as const),
    keyRequest.map((value) => ({ $case: 'delete', value }) as const),
    putRequest.map((value) => ({ $case: 'put', value }) as const),
  ),
})
const request = fc.record({
  observedHlc: u64,
  operations: fc.array(operation, { maxLength: 8 }),
  cancelled: fc.array(u32, { maxLength: 8 }),
})

/** What the reader should have made of a request. */
function expected({ observedHlc, operations, cancelled }: SessionRequest): object {
  const { hi, lo } = hlcFromBigint(observedHlc)
  return {
    observedHi: hi,
    observedLo: lo,
    cancelled,
    operations: operations.map(({ id, timeoutMs, stampAboveMs, stampLimitMs, traceparent, request: asked }) => {
      const value = asked?.value
      const put = asked?.$case === 'put' ? asked.value : undefined
      return {
        id,
        timeoutMs,
        stampAboveMs: Number(stampAboveMs),
        stampLimitMs: Number(stampLimitMs),
        traceparent: traceparent.length === 55 ? traceparent : '',
        kind: asked?.$case ?? 'nothing',
        key: [...(value?.key ?? [])],
        value: [...(put?.value ?? [])],
        consistency: value?.consistency ?? 0,
        ttlMs: put?.ttlMs === undefined ? undefined : Number(put.ttlMs),
        returnPrevious: put?.returnPrevious ?? false,
      }
    }),
  }
}

function summary({ observedHi, observedLo, cancelled, operations }: SessionBatch): object {
  return {
    observedHi,
    observedLo,
    cancelled,
    operations: operations.map((read) => ({
      id: read.id,
      timeoutMs: read.timeoutMs,
      stampAboveMs: read.stampAboveMs,
      stampLimitMs: read.stampLimitMs,
      traceparent: read.traceparent,
      kind: read.kind,
      key: [...read.key],
      value: [...read.value],
      consistency: read.consistencyNumber,
      ttlMs: read.ttlMs,
      returnPrevious: read.returnPrevious,
    })),
  }
}

function encoded(message: SessionRequest): Buffer {
  return Buffer.from(SessionRequest.encode(message).finish())
}

describe('reading requests by hand', () => {
  it('gives what the generated code gives', () => {
    void fc.assert(
      fc.property(request, (message) => {
        const wire = encoded(message)
        expect(summary(readSessionRequest(wire))).toEqual(expected(message))
        expect(summary(readSessionRequest(wire))).toEqual(expected(SessionRequest.decode(wire)))
      }),
    )
  })

  it('refuses a message of more operations or cancels than a session may have in flight', () => {
    const empty = Buffer.from([(2 << 3) | 2, 0])
    const cancel = Buffer.from([3 << 3, 1])
    for (const item of [empty, cancel]) {
      const most = Buffer.concat(Array<Buffer>(limits.sessionOpsMax).fill(item))
      expect(() => readSessionRequest(most)).not.toThrow()
      expect(() => readSessionRequest(Buffer.concat([most, item]))).toThrow(WireError)
    }
  })

  it('passes over fields that it does not know, of every encoding', () => {
    const message: SessionRequest = {
      observedHlc: 5n,
      operations: [
        {
          id: 7,
          timeoutMs: 1,
          ...bare,
          request: { $case: 'get', value: { key: Buffer.from('k'), consistency: 1 } },
        },
      ],
      cancelled: [],
    }
    // Field 100 as a varint, as eight bytes, as four bytes, and with a length.
    const unknown = [
      [0xa0, 0x06, 0xff, 0x01],
      [0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
      [0xa5, 0x06, 1, 2, 3, 4],
      [0xa2, 0x06, 2, 1, 2],
    ].map((field) => Buffer.from(field))
    for (const field of unknown) {
      const wire = Buffer.concat([field, encoded(message), field])
      expect(summary(readSessionRequest(wire))).toEqual(expected(message))
    }
  })

  it('of two requests in one operation takes the last, and nothing of the first', () => {
    const put = {
      key: Buffer.from('a'),
      value: Buffer.from('v'),
      consistency: 1,
      ttlMs: 5n,
      returnPrevious: true,
    } as const
    const get = { key: Buffer.from('b'), consistency: 0 } as const
    const inner = Buffer.concat([
      OperationMessage.encode({ id: 1, timeoutMs: 0, ...bare, request: { $case: 'put', value: put } }).finish(),
      OperationMessage.encode({ id: 1, timeoutMs: 0, ...bare, request: { $case: 'get', value: get } }).finish(),
    ])
    const wire = Buffer.concat([Buffer.from([0x12, inner.length]), inner])
    const [read] = readSessionRequest(wire).operations
    expect([read!.kind, read!.key, read!.value.length]).toEqual(['get', Buffer.from('b'), 0])
    expect([read!.ttlMs, read!.returnPrevious, read!.consistencyNumber]).toEqual([undefined, false, 0])
  })

  it('refuses every message that is cut short, and survives every other damage', () => {
    void fc.assert(
      fc.property(request, fc.nat(), fc.nat(255), (message, where, byte) => {
        const wire = encoded(message)
        if (wire.length === 0) return
        const at = where % wire.length
        const damaged = Buffer.from(wire)
        damaged[at] = byte
        for (const input of [wire.subarray(0, at), damaged]) {
          try {
            readSessionRequest(input)
          } catch (error) {
            expect(error).toBeInstanceOf(WireError)
          }
        }
      }),
    )
    const wire = encoded({
      observedHlc: 1n,
      operations: [
        {
          id: 1,
          timeoutMs: 1,
          ...bare,
          request: { $case: 'get', value: { key: Buffer.from('kk'), consistency: 1 } },
        },
      ],
      cancelled: [],
    })
    // The clock is nine bytes; behind it, an operation that is not whole is none.
    for (let length = 10; length < wire.length; length++) {
      expect(() => readSessionRequest(wire.subarray(0, length))).toThrow(WireError)
    }
  })

  it.each([
    ['small', 1],
    ['as large as is copied whole', limits.sessionCopyBytesMax],
    ['larger', limits.sessionCopyBytesMax + 1],
  ])('keys and values do not keep the bytes that a %s message came in, nor more than Node keeps anyway', (_, size) => {
    const consistency: Consistency = 1
    const put = { key: Buffer.from('kk'), ttlMs: undefined, consistency, returnPrevious: false }
    const messageOf = (valueBytes: number): Buffer =>
      encoded({
        observedHlc: 0n,
        operations: [
          {
            id: 1,
            timeoutMs: 1,
            ...bare,
            request: { $case: 'put', value: { ...put, value: Buffer.alloc(valueBytes, 'v') } },
          },
        ],
        cancelled: [],
      })
    const valueBytes = Math.max(1, size - (messageOf(size).length - size))
    const wire = messageOf(valueBytes)
    if (size > 1) expect(wire).toHaveLength(size)
    const [read] = readSessionRequest(wire).operations
    wire.fill(0)
    expect(Buffer.from(read!.key).toString()).toBe('kk')
    expect(Buffer.from(read!.value).toString()).toBe('v'.repeat(valueBytes))
    expect(read!.key.buffer.byteLength).toBeLessThanOrEqual(Math.max(Buffer.poolSize, limits.sessionCopyBytesMax))
  })
})

const hlc = fc.record({ hi: u32, lo: u32 })
const version = fc.record({ hi: u32, lo: u32, node: u32 })
const record = fc
  .record({
    version,
    value: bytes,
    expiresAtMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 ** 48 })),
  })
  .map(({ version: stamp, value, expiresAtMs }) => ({
    ...stamp,
    key: Buffer.from('k'),
    tombstone: false,
    value,
    expiresAtMs,
  }))
const result = fc.record({
  version,
  acks: fc.nat(300),
  replacedKnown: fc.boolean(),
  existed: fc.boolean(),
  previous: fc.option(record, { nil: undefined }),
})
const failure = fc.record({
  code: fc.constantFrom(...Object.values(ErrorCode)),
  message: fc.string(),
  field: fc.string({ maxLength: 9 }),
  writeOutcome: fc.constantFrom(...Object.values(WriteOutcome)),
})
const written = fc.oneof(
  fc.record({ kind: fc.constant('get' as const), id: u32, given: fc.option(record, { nil: undefined }) }),
  fc.record({ kind: fc.constant('put' as const), id: u32, given: result }),
  fc.record({ kind: fc.constant('delete' as const), id: u32, given: result }),
  fc.record({ kind: fc.constant('error' as const), id: u32, given: failure }),
)
type Written = typeof written extends fc.Arbitrary<infer T> ? T : never

const wide = ({ hi, lo }: { hi: number; lo: number }): bigint => (BigInt(hi) << 32n) | BigInt(lo)
const wireVersion = (stamp: { hi: number; lo: number; node: number }) => ({ hlc: wide(stamp), node: stamp.node })

function resultOf(item: Written): Result {
  const { id } = item
  switch (item.kind) {
    case 'get': {
      const found = item.given !== undefined
      const value = {
        found,
        value: item.given?.value ?? Buffer.alloc(0),
        version: item.given === undefined ? undefined : wireVersion(item.given),
        expiresAtMs: BigInt(item.given?.expiresAtMs ?? 0),
      }
      return { id, outcome: { $case: 'get', value } }
    }
    case 'put': {
      const { acks, replacedKnown, existed, previous } = item.given
      const value = {
        version: wireVersion(item.given.version),
        acks,
        hadPrevious: existed,
        previousValue: previous?.value ?? Buffer.alloc(0),
        previousUnknown: !replacedKnown,
      }
      return { id, outcome: { $case: 'put', value } }
    }
    case 'delete': {
      const { acks, replacedKnown, existed } = item.given
      const value = { version: wireVersion(item.given.version), acks, existed, existedUnknown: !replacedKnown }
      return { id, outcome: { $case: 'delete', value } }
    }
    case 'error':
      return { id, outcome: { $case: 'error', value: item.given } }
  }
}

describe('writing results by hand', () => {
  it('is read by the generated code as what was written, message after message', () => {
    const messages = fc.array(fc.tuple(fc.array(written, { maxLength: 30 }), hlc, fc.nat(2 ** 31), fc.boolean()), {
      maxLength: 4,
    })
    void fc.assert(
      fc.property(messages, (all) => {
        const writer = new ResultWriter()
        const taken: Buffer[] = []
        for (const [items, clock, epoch, draining] of all) {
          for (const item of items) {
            if (item.kind === 'get') writer.get(item.id, item.given)
            else if (item.kind === 'put') writer.put(item.id, item.given)
            else if (item.kind === 'delete') writer.delete(item.id, { ...item.given, previous: undefined })
            else writer.error(item.id, item.given)
          }
          taken.push(writer.take(clock, epoch, draining))
        }
        // Read at the end: a message that was taken does not change when the next one is written.
        for (const [i, [items, clock, epoch, draining]] of all.entries()) {
          expect(SessionResponse.decode(taken[i]!)).toEqual({
            hlc: wide(clock),
            epoch: BigInt(epoch),
            results: items.map(resultOf),
            draining,
          })
        }
      }),
    )
  })

  it('its length is that of the results, with or without a value', () => {
    const writer = new ResultWriter()
    expect(writer.length).toBe(0)
    writer.get(1, undefined)
    const short = writer.length
    const value = new Uint8Array(1_048_576)
    writer.get(2, { hi: 1, lo: 1, node: 1, key: new Uint8Array(1), tombstone: false, expiresAtMs: 0, value })
    expect(writer.length - short).toBeGreaterThan(value.length)
    expect(writer.take({ hi: 1, lo: 1 }, 1, false).length).toBeGreaterThan(value.length)
    expect(writer.length).toBe(0)
  })
})

describe('table of operations', () => {
  it('is a map from ids to operations, whatever the ids', () => {
    const step = fc.record({ id: fc.oneof(fc.nat(20), u32), remove: fc.boolean() })
    void fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const table = new OperationTable()
        const model = new Map<number, SessionOperation>()
        for (const { id, remove } of steps) {
          const known = model.get(id)
          expect(table.get(id)).toBe(known)
          if (known !== undefined && remove) {
            table.remove(known)
            model.delete(id)
          } else if (known === undefined) {
            const added = new SessionOperation()
            added.id = id
            table.add(added)
            model.set(id, added)
          }
          expect(table.size).toBe(model.size)
        }
        for (const [id, known] of model) expect(table.get(id)).toBe(known)
        const cleared: SessionOperation[] = []
        table.clear((one) => cleared.push(one))
        expect(new Set(cleared)).toEqual(new Set(model.values()))
        expect(table.size).toBe(0)
      }),
    )
  })

  it('may be changed by whoever is told that it is cleared', () => {
    const table = new OperationTable()
    for (const id of [1, 65, 2]) {
      const added = new SessionOperation()
      added.id = id
      table.add(added)
    }
    table.clear((one) => table.remove(one))
    expect(table.size).toBe(0)
  })
})

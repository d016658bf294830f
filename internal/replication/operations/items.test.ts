import { ReadMode, ReadStatus, WriteVerdict } from '@quorumkv/proto/kv/peer/v1/messages'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../../base/index.js'
import { type Version, zeroVersion } from '../../hlc/index.js'
import { RecordFormatError, type StoredRecord } from '../../record/index.js'
import { itemsOf, record, version } from '../replication.test-support.js'
import { ItemReader, ItemWriter, itemKind } from './items.js'

const u32 = fc.oneof(fc.nat({ max: 0xffffffff }), fc.constantFrom(0, 0x7fffffff, 0x80000000, 0xffffffff))
const versions: fc.Arbitrary<Version> = fc.record({ hi: u32, lo: u32, node: u32 })
const keys = fc.uint8Array({ minLength: 1, maxLength: 40 })
const records: fc.Arbitrary<StoredRecord> = fc
  .record({
    hi: u32,
    lo: u32,
    node: u32,
    key: keys,
    tombstone: fc.boolean(),
    expiresAtMs: fc.constantFrom(0, 1, 2 ** 40),
    value: fc.uint8Array({ maxLength: 300 }),
  })
  .map((each) => (each.tombstone ? { ...each, value: new Uint8Array(0) } : each))

/** Something to say, and what is to be read of it. */
interface Said {
  readonly write: (writer: ItemWriter) => void
  readonly read: object
}

const writes = fc.record({ id: u32, flags: fc.nat(3), record: records }).map(({ id, flags, record }): Said => {
  return {
    write: (writer) => writer.addWrite(id, flags, record),
    read: { kind: itemKind.write, id, code: flags, record },
  }
})
const reads = fc
  .record({ id: u32, mode: fc.constantFrom(ReadMode.FULL, ReadMode.VERSION), key: keys })
  .map(({ id, mode, key }): Said => {
    return { write: (writer) => writer.addRead(id, mode, key), read: { kind: itemKind.read, id, code: mode, key } }
  })
const writeReplies = fc
  .record({
    id: u32,
    verdict: fc.constantFrom(...Object.values(WriteVerdict)),
    version: fc.option(versions, { nil: undefined }),
    existed: fc.boolean(),
    record: fc.option(records, { nil: undefined }),
  })
  .map(({ id, verdict, version, existed, record }): Said => {
    return {
      write: (writer) => writer.addWriteReply(id, verdict, version, existed, record),
      read: { kind: itemKind.writeReply, id, code: verdict, version, existed, record },
    }
  })
const readReplies = fc
  .record({ id: u32, status: fc.constantFrom(...Object.values(ReadStatus)), version: versions, record: records })
  .map(({ id, status, version, record }): Said => {
    return {
      write: (writer) => writer.addReadReply(id, status, version, record),
      read: {
        kind: itemKind.readReply,
        id,
        code: status,
        version: status === ReadStatus.VERSION ? version : undefined,
        record: status === ReadStatus.RECORD ? record : undefined,
      },
    }
  })
const said = fc.array(fc.oneof(writes, reads, writeReplies, readReplies), { maxLength: 12 })

function written(parts: readonly Said[], writer: ItemWriter = new ItemWriter()): Uint8Array {
  for (const { write } of parts) write(writer)
  return writer.view().slice()
}

const sample: readonly ((writer: ItemWriter) => void)[] = [
  (writer) => writer.addWrite(1, 0, record('a', 'one', version(5))),
  (writer) => writer.addRead(2, ReadMode.FULL, Buffer.from('a')),
  (writer) => writer.addWriteReply(3, WriteVerdict.APPLIED, version(4), true, record('a', 'old', version(4))),
  (writer) => writer.addReadReply(4, ReadStatus.VERSION, version(5), undefined),
  (writer) => writer.addReadReply(5, ReadStatus.RECORD, version(5), record('a', 'one', version(5))),
]

describe('items', () => {
  test('come back in order as they were added, whatever the buffer held before (property)', () => {
    fc.assert(
      fc.property(said, said, (before, parts) => {
        const writer = new ItemWriter()
        written(before, writer)
        writer.clear()
        const bytes = written(parts, writer)
        expect(writer.length).toBe(bytes.length)
        expect(itemsOf(bytes)).toMatchObject(parts.map(({ read }) => read))
      }),
    )
  })

  test('have the layout that the schema draws', () => {
    const hex = sample.map((write) => Buffer.from(written([{ write, read: {} }])).toString('hex'))
    const recordOf = (value: string, counter: string): string => {
      return `0000010003000000${'00000000'}${counter}01000000${Buffer.from(`a${value}`).toString('hex')}`
    }
    const { hi, lo, node } = version(5)
    expect([hi, node]).toEqual([0, 1])
    const stamp = (n: number): string => Buffer.from(Uint32Array.of(n).buffer).toString('hex')
    const before = version(4).lo
    expect(hex).toEqual([
      `0100000001000000${recordOf('one', stamp(lo))}`,
      `020101000200000061`,
      `0301070003000000${'00000000'}${stamp(before)}01000000${recordOf('old', stamp(before))}`,
      `0402000004000000${'00000000'}${stamp(lo)}01000000`,
      `0403000005000000${recordOf('one', stamp(lo))}`,
    ])
  })

  test('fit whatever their size, and a large buffer is not kept', () => {
    const writer = new ItemWriter()
    const large = record('a', 'x'.repeat(limits.valueBytesMax), version(5))
    writer.addRead(1, ReadMode.FULL, Buffer.from('a'))
    writer.addWrite(2, 0, large)
    expect(itemsOf(writer.view()).map(({ id }) => id)).toEqual([1, 2])
    expect(itemsOf(writer.view())[1]!.record!.value).toHaveLength(limits.valueBytesMax)
    writer.clear()
    expect(writer.view().buffer.byteLength).toBeLessThan(100_000)
  })
})

describe('malformed items are refused as such', () => {
  test('wherever one is cut short', () => {
    for (const write of sample) {
      const bytes = written([{ write, read: {} }])
      for (let length = 1; length < bytes.length; length++) {
        expect(() => itemsOf(bytes.subarray(0, length)), `${length} of ${bytes.length}`).toThrow(RecordFormatError)
      }
    }
  })

  test.each([
    ['a kind that does not exist', 0, 0, 5],
    ['a reserved byte of a write', 0, 3, 1],
    ['a reserved byte of a reply', 3, 2, 1],
    ['an unknown flag of a reply', 2, 2, 8],
    ['a reserved byte of a write reply', 2, 3, 1],
    ['an empty key', 1, 2, 0],
    ['a key longer than any', 1, 3, 0xff],
    ['a record that is none', 0, 8, 0xff],
  ])('%s', (_, which, at, value) => {
    const bytes = written([{ write: sample[which]!, read: {} }])
    bytes[at] = value
    expect(() => itemsOf(bytes)).toThrow(RecordFormatError)
  })

  test('no bytes are read beyond their end, or for ever (property)', () => {
    fc.assert(
      fc.property(said, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), (parts, damage) => {
        const bytes = written(parts)
        for (const [at, value] of damage) if (bytes.length > 0) bytes[at % bytes.length] = value
        const reader = new ItemReader(bytes)
        let count = 0
        try {
          while (reader.next()) count++
        } catch (error) {
          expect(error).toBeInstanceOf(RecordFormatError)
        }
        expect(count).toBeLessThanOrEqual(bytes.length / 8)
      }),
    )
  })
})

test('a reply without a version leaves none of the one before it', () => {
  const writer = new ItemWriter()
  sample[2]!(writer)
  writer.addWriteReply(9, WriteVerdict.APPLIED, undefined, false, undefined)
  sample[4]!(writer)
  writer.addReadReply(10, ReadStatus.ABSENT, zeroVersion, undefined)
  const [, second, , fourth] = itemsOf(writer.view())
  expect(second).toMatchObject({ version: undefined, record: undefined, existed: false })
  expect(fourth).toMatchObject({ version: undefined, record: undefined })
})

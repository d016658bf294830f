import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../base/index.js'
import {
  decodeRecord,
  decodeRecords,
  encodedRecordBytes,
  encodeRecord,
  encodeRecords,
  RecordFormatError,
  recordLengthAt,
  type StoredRecord,
} from './index.js'

const u32 = fc.oneof(fc.nat({ max: 0xffffffff }), fc.constantFrom(0, 0x7fffffff, 0x80000000, 0xffffffff))
const records: fc.Arbitrary<StoredRecord> = fc
  .record({
    key: fc.uint8Array({ minLength: 1, maxLength: 60 }),
    hi: u32,
    lo: u32,
    node: u32,
    tombstone: fc.boolean(),
    expiresAtMs: fc.oneof(
      fc.constantFrom(0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 48),
      fc.maxSafeNat().map((n) => n % 2 ** 48),
    ),
    value: fc.uint8Array({ maxLength: 300 }),
  })
  .map((record) => (record.tombstone ? { ...record, value: new Uint8Array(0) } : record))

function record(change: Partial<StoredRecord> = {}): StoredRecord {
  const key = Buffer.from('user:1')
  const value = Buffer.from('Ada')
  return { key, hi: 0x018c8d3a, lo: 0x5e7f0102, node: 7, tombstone: false, expiresAtMs: 0, value, ...change }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

test('what was encoded is decoded, alone and behind others, and the lengths agree', () => {
  fc.assert(
    fc.property(fc.array(records, { maxLength: 5 }), fc.nat(8), (list, before) => {
      const bytes = encodeRecords(list)
      const decoded = decodeRecords(bytes, list.length)
      expect(decoded).toEqual(list)
      let at = before
      const into = new Uint8Array(before + bytes.length)
      for (const each of list) {
        const end = encodeRecord(each, into, at)
        expect(end - at).toBe(encodedRecordBytes(each))
        expect(recordLengthAt(into, at)).toBe(end - at)
        expect(decodeRecord(into, at)).toEqual(each)
        at = end
      }
      expect(hex(into.subarray(before))).toBe(hex(bytes))
    }),
  )
})

// FORMAT.md, "Record". If one of these fails, data directories and mixed clusters break: change the code, not the bytes.
test('golden bytes hold the format', () => {
  const golden: [StoredRecord, string][] = [
    [record(), '00000600030000003a8d8c0102017f5e07000000757365723a31416461'],
    [record({ tombstone: true, value: new Uint8Array(0) }), '01000600000000003a8d8c0102017f5e07000000757365723a31'],
    [
      record({ expiresAtMs: 0x0123456789ab }),
      '02000600030000003a8d8c0102017f5e07000000ab89674523010000757365723a31416461',
    ],
    [
      record({ tombstone: true, value: new Uint8Array(0), expiresAtMs: 1, hi: 0xffffffff, lo: 0, node: 0xfffffffe }),
      '0300060000000000ffffffff00000000feffffff0100000000000000757365723a31',
    ],
  ]
  for (const [given, bytes] of golden) {
    expect(hex(encodeRecords([given]))).toBe(bytes)
    expect(decodeRecords(new Uint8Array(Buffer.from(bytes, 'hex')), 1)).toEqual([
      { ...given, key: new Uint8Array(given.key), value: new Uint8Array(given.value) },
    ])
  }
})

test('keys and values at their limits go through', () => {
  const key = new Uint8Array(limits.keyBytesMax).fill(0xab)
  const value = new Uint8Array(limits.valueBytesMax).fill(0xcd)
  const bytes = encodeRecords([record({ key, value })])
  const [decoded] = decodeRecords(bytes, 1)
  expect(hex(decoded!.key)).toBe(hex(key))
  expect(Buffer.compare(decoded!.value, value)).toBe(0)
})

/** The error of decoding `bytes` at `at`; undefined when there is none. */
function refusal(bytes: Uint8Array, at = 0): RecordFormatError | undefined {
  try {
    decodeRecord(bytes, at)
  } catch (error) {
    expect(error).toBeInstanceOf(RecordFormatError)
    return error as RecordFormatError
  }
  return undefined
}

test('each damage of a header is refused and named, before anything is allocated by its lengths', () => {
  const plain = encodeRecords([record()])
  const withExpiry = encodeRecords([record({ expiresAtMs: 5 })])
  const patched = (bytes: Uint8Array, at: number, ...patch: number[]): Uint8Array => {
    const copy = bytes.slice()
    copy.set(patch, at)
    return copy
  }
  const damaged: [bytes: Uint8Array, message: string][] = [
    [patched(plain, 0, 4), 'unknown flags'],
    [patched(plain, 0, 0x80), 'unknown flags'],
    [patched(plain, 1, 1), 'unknown flags'],
    [patched(plain, 2, 0, 0), 'key length 0'],
    [patched(plain, 2, 1, 4), 'key length 1025'],
    [patched(plain, 2, 0xff, 0xff), 'key length 65535'],
    [patched(plain, 4, 1, 0, 0x10, 0), 'value length 1048577'],
    [patched(plain, 4, 0xff, 0xff, 0xff, 0xff), 'value length 4294967295'],
    [patched(plain, 0, 1), 'a tombstone with a value'],
    [patched(plain, 2, 7), 'cut short'],
    [patched(plain, 4, 4), 'cut short'],
    [patched(plain, 0, 2), 'cut short'],
    [patched(withExpiry, 20, 0), 'expiry 0'],
    [patched(withExpiry, 20, 1, 0, 0, 0, 0, 0, 1), `expiry ${2 ** 48 + 1}`],
    [patched(withExpiry, 20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 'expiry'],
  ]
  for (const [bytes, message] of damaged) expect(refusal(bytes)?.message).toContain(message)
})

test('a record that ends at any byte too early is refused', () => {
  for (const given of [record(), record({ expiresAtMs: 9 }), record({ tombstone: true, value: new Uint8Array(0) })]) {
    const bytes = encodeRecords([given])
    for (let length = 0; length < bytes.length; length++) {
      expect(refusal(bytes.subarray(0, length))?.message).toContain('cut short')
    }
  }
})

test('the refusal says where the bad record starts', () => {
  const bytes = encodeRecords([record(), record()])
  const second = bytes.length / 2
  bytes[second] = 0xff
  expect(refusal(bytes, second)?.offset).toBe(second)
  expect(() => decodeRecords(bytes)).toThrow(`record at byte ${second}: unknown flags 0xff`)
})

test('another number of records than promised is refused', () => {
  const bytes = encodeRecords([record(), record()])
  expect(decodeRecords(bytes)).toHaveLength(2)
  for (const promised of [0, 1, 3]) {
    expect(() => decodeRecords(bytes, promised)).toThrow(RecordFormatError)
  }
})

test('arbitrary bytes are refused or decoded to what encodes to the very same bytes, never anything else', () => {
  const flags = fc.constantFrom(0, 1, 2, 3, 4)
  const keyLength = fc.nat(12)
  const bytes = fc
    .tuple(flags, keyLength, fc.nat(12), fc.uint8Array({ minLength: 12, maxLength: 60 }))
    .map(([flag, key, value, rest]) => Uint8Array.of(flag, 0, key, 0, value, 0, 0, 0, ...rest))
  fc.assert(
    fc.property(bytes, (given) => {
      if (refusal(given) !== undefined) return
      const decoded = decodeRecord(given, 0)
      expect(hex(encodeRecords([decoded]))).toBe(hex(given.subarray(0, recordLengthAt(given, 0))))
    }),
    { numRuns: 2000 },
  )
})

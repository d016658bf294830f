import { expect, test } from 'vitest'
import { parseClusterId, parseIncarnation } from '../base/index.js'
import { crc32 } from '../hash/index.js'
import { decodeSegmentHeader, encodeSegmentHeader, segmentHeaderBytes } from './segment-header.js'

const header = {
  clusterId: parseClusterId('00112233445566778899aabbccddeeff'),
  incarnation: parseIncarnation('ffeeddccbbaa99887766554433221100'),
  number: 7,
  firstSequence: 0x0000_0003_0000_0201,
  previousCrc: 0xcafebabe,
}

test('the bytes of a segment header stay as FORMAT.md draws them', () => {
  const bytes = encodeSegmentHeader(header)
  expect(bytes.length).toBe(512)
  expect(Buffer.from(bytes.subarray(0, 60)).toString('hex')).toBe(
    [
      '514b564c4f470d0a', // magic
      '02000000', // format version
      '07000000', // number
      '00112233445566778899aabbccddeeff',
      'ffeeddccbbaa99887766554433221100',
      '0102000003000000', // first sequence
      'bebafeca', // previous checksum
    ].join(''),
  )
  expect(bytes.subarray(60, 508).every((byte) => byte === 0)).toBe(true)
  expect(new DataView(bytes.buffer).getUint32(508, true)).toBe(crc32(bytes, 0, 508))
})

test('what is written is read', () => {
  expect(decodeSegmentHeader(encodeSegmentHeader(header))).toMatchObject(header)
})

test('any byte that is changed in a header is seen, the reserved ones included', () => {
  const good = encodeSegmentHeader(header)
  for (let at = 0; at < segmentHeaderBytes; at++) {
    const bad = good.slice()
    bad[at]! ^= 0x10
    expect(decodeSegmentHeader(bad), `byte ${at}`).toBeTypeOf('string')
  }
})

test('a later format version and a reserved byte in use are refused even with a right checksum', () => {
  for (const [at, found] of [
    [8, 'format version'],
    [60, 'reserved byte'],
  ] as const) {
    const bytes = encodeSegmentHeader(header)
    bytes[at] = 9
    new DataView(bytes.buffer).setUint32(508, crc32(bytes, 0, 508), true)
    expect(decodeSegmentHeader(bytes)).toContain(found)
  }
})

test('a file that is too short is no segment', () => {
  expect(decodeSegmentHeader(encodeSegmentHeader(header).subarray(0, 511))).toBe('a file of 511 bytes')
})

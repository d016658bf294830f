import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../base/index.js'
import { crc32 } from '../hash/index.js'
import { decodeFrameHeader, encodeFrameHeader, type FrameHeader, frameHeaderBytes, provesDurable } from './frame.js'

const header: FrameHeader = {
  kind: 'group',
  payloadBytes: 0x0102,
  sequence: 0x0000_0007_8a9b_0c0d,
  segmentTag: 0x11223344,
  records: 3,
  unsynced: 2,
  payloadCrc: 0xdeadbeef,
}

function encode(from: FrameHeader): Uint8Array {
  const bytes = new Uint8Array(frameHeaderBytes)
  encodeFrameHeader(from, bytes, 0)
  return bytes
}

/** A header whose checksum is right, whatever else is wrong with it. */
function withPatch(patch: (view: DataView) => void): Uint8Array {
  const bytes = encode(header)
  const view = new DataView(bytes.buffer)
  patch(view)
  view.setUint32(36, crc32(bytes, 0, 36), true)
  return bytes
}

test('the bytes of a frame header stay as FORMAT.md draws them', () => {
  expect(Buffer.from(encode(header)).toString('hex')).toBe(
    [
      'f14b560a', // magic
      '02010000', // payload length
      '0d0c9b8a07000000', // sequence
      '44332211', // segment tag
      '03000000', // records
      '01000000', // kind, reserved
      '02000000', // unsynced
      'efbeadde', // payload checksum
      '2fe11d91', // header checksum
    ].join(''),
  )
})

test('what is written is read, at any place in a buffer', () => {
  const numbers = fc.record({
    kind: fc.constantFrom('group' as const, 'seal' as const, 'end' as const),
    payloadBytes: fc.integer({ min: 1, max: limits.logFrameBytesMax }),
    sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    segmentTag: fc.integer({ min: 0, max: 0xffffffff }),
    records: fc.integer({ min: 1, max: 0xffffffff }),
    unsynced: fc.integer({ min: 0, max: 0xffffffff }),
    payloadCrc: fc.integer({ min: 0, max: 0xffffffff }),
  })
  fc.assert(
    fc.property(numbers, fc.nat(50), (fields, at) => {
      const given = fields.kind === 'group' ? fields : { ...fields, payloadBytes: 0, records: 0 }
      const bytes = new Uint8Array(at + frameHeaderBytes)
      const headerCrc = encodeFrameHeader(given, bytes, at)
      expect(decodeFrameHeader(bytes, at)).toEqual({ ...given, headerCrc })
    }),
  )
})

test('any bit that is turned over in a header is seen', () => {
  const good = encode(header)
  for (let bit = 0; bit < frameHeaderBytes * 8; bit++) {
    const bad = good.slice()
    bad[bit >> 3]! ^= 1 << (bit & 7)
    expect(decodeFrameHeader(bad, 0), `bit ${bit}`).toBeTypeOf('string')
  }
})

test('a length above the cap is refused even with a right checksum, before anyone allocates for it', () => {
  for (const length of [limits.logFrameBytesMax + 1, 0x7fffffff, 0xffffffff]) {
    expect(
      decodeFrameHeader(
        withPatch((view) => view.setUint32(4, length, true)),
        0,
      ),
    ).toContain('above the limit')
  }
})

test('frames that no version of ours writes are refused even with a right checksum', () => {
  expect(
    decodeFrameHeader(
      withPatch((view) => view.setUint16(24, 4, true)),
      0,
    ),
  ).toContain('unknown kind')
  expect(
    decodeFrameHeader(
      withPatch((view) => view.setUint16(26, 1, true)),
      0,
    ),
  ).toContain('unknown kind')
  expect(
    decodeFrameHeader(
      withPatch((view) => view.setUint16(24, 2, true)),
      0,
    ),
  ).toContain('"seal" of 258 bytes')
  expect(
    decodeFrameHeader(
      withPatch((view) => {
        view.setUint32(4, 0, true)
        view.setUint32(20, 0, true)
      }),
      0,
    ),
  ).toContain('"group" of 0 bytes')
  expect(
    decodeFrameHeader(
      withPatch((view) => view.setUint32(20, 0, true)),
      0,
    ),
  ).toContain('0 records')
})

test('zeros, other bytes and the end of a file are told apart', () => {
  expect(decodeFrameHeader(new Uint8Array(frameHeaderBytes), 0)).toBe('zeros')
  expect(decodeFrameHeader(new Uint8Array(frameHeaderBytes).fill(7), 0)).toBe('bytes that start no frame')
  expect(decodeFrameHeader(encode(header).subarray(0, frameHeaderBytes - 1), 0)).toBe('the end of the file')
})

test('a frame proves that the ones before it were durable, except those that it says were not yet synced', () => {
  const frame = { ...header, sequence: 10, unsynced: 0 }
  expect(provesDurable(frame, 9)).toBe(true)
  expect(provesDurable(frame, 10)).toBe(false)
  expect(provesDurable({ ...frame, unsynced: 3 }, 6)).toBe(true)
  expect(provesDurable({ ...frame, unsynced: 3 }, 7)).toBe(false)
})

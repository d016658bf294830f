import { expect, test } from 'vitest'
import type { Slot } from '../base/index.js'
import { compareVersions, hlcOf } from '../hlc/index.js'
import {
  decodeEntries,
  decodeFloor,
  decodeRecord,
  emptiedSlot,
  encodedFloorBytes,
  encodeFloor,
  encodeRecords,
  floorVersion,
  isDeadAtFloor,
  isFloorAt,
  isFloorVersion,
  RecordFormatError,
} from './index.js'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

function encoded(slot: number, floorMs: number): Uint8Array {
  const bytes = new Uint8Array(encodedFloorBytes)
  expect(encodeFloor({ slot: slot as Slot, floorMs }, bytes, 0)).toBe(encodedFloorBytes)
  return bytes
}

// FORMAT.md, "Floor". If it fails, data directories break: change the code, not the bytes.
test('golden bytes hold the format', () => {
  const golden: [number, number, string][] = [
    [0, 1, '04000200000000000000000' + '0ffff0100ffffffff0000'],
    [4095, 0x018c8d3a5e7f, '04000200000000003a8d8c01ffff7f5effffffffff0f'],
    [18, 0, '0400020000000000000000000000000000000000' + '1200'],
  ]
  for (const [slot, floorMs, bytes] of golden) {
    expect(hex(encoded(slot, floorMs))).toBe(bytes)
    expect(decodeFloor(encoded(slot, floorMs), 0)).toEqual({ slot, floorMs })
  }
})

test('golden bytes hold an emptied slot', () => {
  const bytes = new Uint8Array(encodedFloorBytes)
  encodeFloor(emptiedSlot(4095 as Slot), bytes, 0)
  expect(hex(bytes)).toBe(`0c00020000000000${'00'.repeat(12)}ff0f`)
  expect(isFloorAt(bytes, 0)).toBe(true)
  expect(decodeFloor(bytes, 0)).toEqual({ slot: 4095, floorMs: 0, empties: true })
  const withFloor = encoded(7, 5)
  withFloor[0] = 0x0c
  expect(() => decodeFloor(withFloor, 0)).toThrow(RecordFormatError)
})

test('a floor stands among records where the log is read, and nowhere else', () => {
  const record = {
    hi: 1,
    lo: 2,
    node: 3,
    key: Uint8Array.of(9),
    tombstone: false,
    expiresAtMs: 0,
    value: Uint8Array.of(7),
  }
  const bytes = Buffer.concat([encodeRecords([record]), encoded(7, 5), encodeRecords([record])])
  expect(decodeEntries(bytes, 3)).toEqual([record, { slot: 7, floorMs: 5 }, record].map(plain))
  expect(() => decodeEntries(bytes, 2)).toThrow(RecordFormatError)
  expect(isFloorAt(bytes, 0)).toBe(false)
  expect(() => decodeRecord(encoded(7, 5), 0)).toThrow('unknown flags 0x4')
})

function plain(entry: object): object {
  return Object.fromEntries(
    Object.entries(entry).map(([name, value]) => [name, value instanceof Uint8Array ? Buffer.from(value) : value]),
  )
}

test('each damage of a floor is refused', () => {
  for (const [at, byte] of [
    [0, 5],
    [1, 1],
    [2, 3],
    [4, 1],
    [12, 0],
    [16, 0],
    [21, 0x10],
  ] as const) {
    const bytes = encoded(4, 77)
    bytes[at] = byte
    expect(() => decodeFloor(bytes, 0), `byte ${at}`).toThrow(RecordFormatError)
  }
  for (let length = 0; length < encodedFloorBytes; length++) {
    expect(() => decodeFloor(encoded(4, 77).subarray(0, length), 0)).toThrow(RecordFormatError)
  }
})

test('the version of a floor is above every stamp of its millisecond and below every later one', () => {
  const version = floorVersion(1000)
  expect(compareVersions(version, { ...hlcOf(1000, 0xffff), node: 0xfffffffe })).toBeGreaterThan(0)
  expect(compareVersions(version, { ...hlcOf(1001, 0), node: 0 })).toBeLessThan(0)
  expect(isFloorVersion(version)).toBe(true)
  expect(isFloorVersion(floorVersion(0))).toBe(false)
})

test('dead at a floor: tombstones up to it, and what has expired by then, whether or not its value is still there', () => {
  const at = (ms: number, tombstone: boolean, expiresAtMs: number): boolean =>
    isDeadAtFloor({ ...hlcOf(ms, 9), node: 1, tombstone, expiresAtMs }, 1000)
  expect(at(1000, true, 0)).toBe(true)
  expect(at(1001, true, 0)).toBe(false)
  expect(at(1000, false, 0)).toBe(false)
  for (const purged of [false, true]) {
    expect(at(900, purged, 1000)).toBe(true)
    expect(at(900, purged, 1001)).toBe(false)
  }
  expect(isDeadAtFloor({ hi: 0, lo: 0, node: 0, tombstone: true, expiresAtMs: 0 }, 0)).toBe(false)
})

import { expect, test } from 'vitest'
import { limits } from '../limits.js'
import { KeyNames, keyBytes, keyName, Values, valueBytesMin } from './values.js'

const values = new Values(100, 'seed', 7)

test('a value that was made for a key is right for it and tells its write, at the smallest size too', () => {
  for (const size of [valueBytesMin, 100, 5000, limits.benchValueBytesMax]) {
    const sized = new Values(size, 'seed', 7)
    const value = sized.make(3, 42)
    expect(value).toHaveLength(size)
    expect(sized.writeOf(3, value)).toBe(42)
    expect(sized.writeOf(3, new Uint8Array(value))).toBe(42)
  }
})

test('the value of another key is wrong', () => {
  expect(() => values.writeOf(7, values.make(8, 1))).toThrow('bench:0000000007 has the value of bench:0000000008')
})

test('a value with any one bit turned is wrong', () => {
  const value = values.make(7, 1)
  for (let i = 0; i < value.length; i++) {
    value[i]! ^= 1 << (i % 8)
    expect(() => values.writeOf(7, value)).toThrow('checksum is wrong')
    value[i]! ^= 1 << (i % 8)
  }
})

test('a value of another size is wrong, also one that was cut', () => {
  expect(() => values.writeOf(7, new Values(99, 'seed', 7).make(7, 1))).toThrow('has a value of 99 B, not 100 B')
  expect(() => values.writeOf(7, values.make(7, 1).subarray(0, 5))).toThrow('has a value of 5 B, not 100 B')
})

test('a value of another run is told apart, whatever its size', () => {
  expect(values.writeOf(7, new Values(99, 'seed', 8).make(7, 1))).toBeUndefined()
})

test('two writes of a key differ in more than their number', () => {
  const [one, two] = [values.make(7, 1), values.make(7, 2)]
  expect(one.subarray(12, 96).equals(two.subarray(12, 96))).toBe(false)
})

test('all keys have 16 bytes, kept or made anew', () => {
  const names = new KeyNames()
  for (const key of [0, 1, 99_999, limits.benchKeysMax - 1, 0]) {
    expect(names.of(key)).toBe(keyName(key))
    expect(Buffer.byteLength(names.of(key))).toBe(keyBytes)
  }
})

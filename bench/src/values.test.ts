import { expect, test } from 'vitest'
import { keyName, keysMax, Values, valueBytesMin } from './values.js'

const values = new Values(100, 'seed')

test('a value that was made for a key is right for it, at the smallest size too', () => {
  for (const size of [valueBytesMin, 100, 5000]) {
    const sized = new Values(size, 'seed')
    const value = sized.make(keyName(7))
    expect(value).toHaveLength(size)
    expect(() => sized.check(keyName(7), value)).not.toThrow()
  }
})

test('a missing value is wrong', () => {
  expect(() => values.check(keyName(7), undefined)).toThrow('bench:0000000007 is missing')
})

test('the value of another key is wrong', () => {
  expect(() => values.check(keyName(7), values.make(keyName(8)))).toThrow(
    'bench:0000000007 has the value of "bench:0000000008"',
  )
})

test('a value with any one bit turned is wrong', () => {
  const value = values.make(keyName(7))
  for (let i = 0; i < value.length; i++) {
    value[i]! ^= 1 << (i % 8)
    expect(() => values.check(keyName(7), value)).toThrow('checksum is wrong')
    value[i]! ^= 1 << (i % 8)
  }
})

test('a value of another size is wrong, also one that was cut', () => {
  const value = values.make(keyName(7))
  expect(() => values.check(keyName(7), value.subarray(0, 99))).toThrow('has a value of 99 B, not 100 B')
})

test('two writes of a key differ', () => {
  expect(values.make(keyName(7))).not.toEqual(values.make(keyName(7)))
})

test('all keys have 16 bytes', () => {
  for (const key of [0, 99_999, keysMax - 1]) expect(Buffer.byteLength(keyName(key))).toBe(16)
})

import { expect, test } from 'vitest'
import { murmur3_32 } from '../hash/index.js'
import { slotCount, slotOf, slotOfHash } from './index.js'

test('golden slots hold where keys live on disks and in clients', () => {
  const slots = ['', 'a', 'user:1', 'The quick brown fox jumps over the lazy dog'].map((key) =>
    slotOf(Buffer.from(key)),
  )
  expect(slots).toMatchInlineSnapshot(`
    [
      0,
      962,
      3258,
      740,
    ]
  `)
})

test('the slot is the upper twelve bits of the hash, from either entrance, and within range', () => {
  for (let i = 0; i < 5000; i++) {
    const key = Buffer.from(`key-${i}`)
    const slot = slotOf(key)
    expect(slot).toBe(Math.floor(murmur3_32(key) / 2 ** 20))
    expect(slotOfHash(murmur3_32(key))).toBe(slot)
    expect(slot).toBeLessThan(slotCount)
  }
})

test('counted keys spread over all slots', () => {
  const counts = new Uint32Array(slotCount)
  for (let i = 0; i < slotCount * 50; i++) counts[slotOf(Buffer.from(`user:${i}`))]!++
  expect(Math.min(...counts)).toBeGreaterThan(15)
  expect(Math.max(...counts)).toBeLessThan(100)
})

import { expect, test } from 'vitest'
import { accusation, aliveRumour } from './members.js'
import { rumourBytes } from './messages.js'
import { RumourQueue, transmissions } from './rumour-queue.js'

const about = (number: number, refutation = 1) => accusation(number, 'dead', refutation, [])
const plenty = 10_000

test('a rumour is sent a number of times that grows with the logarithm of the cluster, and then never again', () => {
  expect([2, 9, 10, 99, 100].map(transmissions)).toEqual([4, 4, 8, 8, 12])
  const queue = new RumourQueue()
  queue.put(about(7))
  let sent = 0
  for (let message = 0; message < 50; message++) sent += queue.take(1, [], plenty, 10).length
  expect(sent).toBe(8)
  expect(queue.hasFor(1)).toBe(false)
})

test('a newer rumour takes the place of the older about the same member, and is sent as often as any', () => {
  const queue = new RumourQueue()
  queue.put(about(7, 1))
  queue.take(1, [], plenty, 3)
  queue.put(about(7, 2))
  for (let message = 0; message < 4; message++) expect(queue.take(1, [], plenty, 3)).toEqual([about(7, 2)])
  expect(queue.take(1, [], plenty, 3)).toEqual([])
})

test('what was sent least goes first, then what is new, and no more than fits', () => {
  const queue = new RumourQueue()
  queue.put(about(1))
  queue.put(about(2))
  const two = 2 * rumourBytes(about(1))
  expect(queue.take(9, [], two, 3)).toEqual([about(2), about(1)])
  queue.put(about(3))
  expect(queue.take(9, [], two, 3).map(({ number }) => number)).toEqual([3, 2])
  expect(queue.take(9, [], two - 1, 3).map(({ number }) => number)).toEqual([3])
  expect(queue.take(9, [], rumourBytes(about(1)) - 1, 3)).toEqual([])
})

test('one that does not fit does not hold up smaller ones', () => {
  const queue = new RumourQueue()
  queue.put(about(1))
  const large = aliveRumour(2, 1, '10.0.0.2:1', new Uint8Array(100))
  queue.put(large)
  expect(queue.take(9, [], rumourBytes(large) - 1, 3)).toEqual([about(1)])
})

test('nobody is told about itself, or twice in one message', () => {
  const queue = new RumourQueue()
  queue.put(about(7))
  expect(queue.hasFor(7)).toBe(false)
  expect(queue.hasFor(8)).toBe(true)
  expect(queue.take(7, [], plenty, 3)).toEqual([])
  expect(queue.take(8, [about(7, 3)], plenty, 3)).toEqual([])
  expect(queue.take(8, [], plenty, 3)).toEqual([about(7)])
})

test('who is a member no more is not talked about', () => {
  const queue = new RumourQueue()
  queue.put(about(7))
  expect(queue.numbers).toEqual([7])
  queue.drop(7)
  expect(queue.take(1, [], plenty, 3)).toEqual([])
})

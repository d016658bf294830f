import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { limits } from '../limits.js'
import { resolveOptions } from '../options.js'
import { Dispatcher } from './dispatcher.js'

let dispatcher: Dispatcher

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  dispatcher = new Dispatcher(resolveOptions(['127.0.0.1:1', '127.0.0.1:2']))
})
afterEach(() => {
  dispatcher.close()
  vi.useRealTimers()
})

const addresses = (): string[] => [...dispatcher.nodes.all()].map(({ address }) => address)

test('a node that was asked once and is no member is forgotten, a seed is not', () => {
  dispatcher.nodes.session('127.0.0.1:3')
  expect(addresses()).toHaveLength(3)
  vi.advanceTimersByTime(limits.idleConnectionMs + 2 * limits.sweepIntervalMs)
  expect(addresses()).toEqual(['127.0.0.1:1', '127.0.0.1:2'])
})

test('the same address is the same session', () => {
  expect(dispatcher.nodes.session('127.0.0.1:1')).toBe(dispatcher.nodes.session('127.0.0.1:1'))
  expect(addresses()).toHaveLength(2)
})

test('without any other choice the node that failed last is taken again', () => {
  const [first, second] = [...dispatcher.nodes.all()]
  expect(dispatcher.nodes.pickAny(first)).toBe(second)
  expect(dispatcher.nodes.pickAny(second)).toBe(first)
})

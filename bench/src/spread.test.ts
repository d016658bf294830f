import { spreadOf } from '@quorumkv/cli/bench'
import { expect, test } from 'vitest'
import { ratioOf } from './spread.js'

test('the median is the value in the middle, or the mean of two', () => {
  expect(spreadOf([30, 10, 20])).toEqual({ median: 20, min: 10, max: 30 })
  expect(spreadOf([40, 10, 30, 20])).toEqual({ median: 25, min: 10, max: 40 })
  expect(spreadOf([7])).toEqual({ median: 7, min: 7, max: 7 })
  expect(() => spreadOf([])).toThrow('no spread of no values')
})

test('numbers are ordered as numbers', () => {
  expect(spreadOf([9, 100, 10])).toEqual({ median: 10, min: 9, max: 100 })
})

test('a ratio is that of the medians, its spread that of the rounds', () => {
  // Rounds: 2, 4 and 1 times; medians 200 and 100.
  expect(ratioOf([200, 400, 100], [100, 100, 100])).toEqual({ median: 2, min: 1, max: 4 })
  // One round in which the machine was slow for both: each round 2 times.
  expect(ratioOf([200, 20, 200], [100, 10, 100])).toEqual({ median: 2, min: 2, max: 2 })
  expect(() => ratioOf([1, 2], [1])).toThrow('2 rounds')
})

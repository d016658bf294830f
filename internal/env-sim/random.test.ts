import { expect, test } from 'vitest'
import { AssertionError } from '../base/index.js'
import { SimRandom } from './random.js'

const draw = (random: SimRandom, count = 4): number[] => Array.from({ length: count }, () => random.u32())

test('a seed gives the same stream for ever: old seeds must go on showing what they showed', () => {
  expect(draw(new SimRandom(1))).toEqual([4_177_725_683, 1_178_943_512, 3_335_383_021, 3_427_706_163])
  expect(draw(new SimRandom('a'))).toEqual([3_674_157_864, 2_268_587_868, 2_960_249_501, 3_443_820_869])
})

test('a number and its text are the same seed, neighbours are not alike', () => {
  expect(draw(new SimRandom(7))).toEqual(draw(new SimRandom('7')))
  const firsts = new Set(Array.from({ length: 1000 }, (_, seed) => new SimRandom(seed).u32()))
  expect(firsts.size).toBe(1000)
})

test('a fork depends on its label, not on what was drawn before', () => {
  const fresh = new SimRandom(3)
  const used = new SimRandom(3)
  draw(used, 100)
  expect(draw(used.fork('x'))).toEqual(draw(fresh.fork('x')))
  expect(draw(fresh.fork('y'))).not.toEqual(draw(fresh.fork('x')))
  expect(draw(fresh.fork('x').fork('y'))).not.toEqual(draw(fresh.fork('y').fork('x')))
})

test('choices stay in their bounds and reach them', () => {
  const random = new SimRandom(1)
  const seen = new Set(Array.from({ length: 200 }, () => random.below(5)))
  expect([...seen].sort()).toEqual([0, 1, 2, 3, 4])
  expect(new Set(Array.from({ length: 100 }, () => random.pick(['a', 'b'])))).toEqual(new Set(['a', 'b']))
  for (let i = 0; i < 100; i++) {
    const value = random.between(2, 3)
    expect(value >= 2 && value < 3).toBe(true)
    expect(random.chance(0)).toBe(false)
    expect(random.chance(1)).toBe(true)
  }
  expect(() => random.below(0)).toThrow(AssertionError)
  expect(() => random.pick([])).toThrow(AssertionError)
})

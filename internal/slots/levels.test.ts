import fc from 'fast-check'
import { expect, test } from 'vitest'
import { commonLevel, goesBy, type LevelRange, parseLevels } from './levels.js'

const range = fc
  .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 4 }))
  .map(([min, more]): LevelRange => {
    return { min, max: min + more }
  })

test('the common level is the newest that all go by, and there is one where each two have one (property)', () => {
  fc.assert(
    fc.property(fc.array(range, { minLength: 1, maxLength: 6 }), (ranges) => {
      const common = Array.from({ length: 13 }, (_, i) => i + 1).filter((level) =>
        ranges.every((each) => goesBy(each, level)),
      )
      expect(commonLevel(ranges)).toBe(common.at(-1))
      const inPairs = ranges.every((one) => ranges.every((other) => commonLevel([one, other]) !== undefined))
      expect(commonLevel(ranges) !== undefined).toBe(inPairs)
    }),
  )
})

test.each([
  [0, 1],
  [2, 1],
  [1.5, 2],
  [1, 65_536],
])('levels from %d to %d are refused', (min, max) => {
  expect(() => parseLevels({ min, max }, 'levels')).toThrow('levels')
})

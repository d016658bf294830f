import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AssertionError } from '../base/index.js'
import { Tally, type Verdict } from './index.js'

/** What can still become of the votes, by trying every way in which the outstanding voters could vote. */
function bruteForce(needed: number, votes: readonly (boolean | undefined)[]): Verdict {
  const open = votes.flatMap((vote, voter) => (vote === undefined ? [voter] : []))
  let canMeet = false
  let canMiss = false
  for (let outcome = 0; outcome < 1 << open.length; outcome++) {
    const successes = votes.filter((vote, voter) => vote ?? ((outcome >> open.indexOf(voter)) & 1) === 1).length
    if (successes >= needed) canMeet = true
    else canMiss = true
  }
  return canMeet && canMiss ? 'pending' : canMeet ? 'met' : 'impossible'
}

test('at every step the verdict is what all possible futures agree on, and it never flips back', () => {
  const plays = fc.integer({ min: 1, max: 7 }).chain((voters) =>
    fc.record({
      needed: fc.integer({ min: 1, max: voters }),
      order: fc.shuffledSubarray([...Array(voters).keys()]),
      results: fc.array(fc.boolean(), { minLength: voters, maxLength: voters }),
      voters: fc.constant(voters),
    }),
  )
  fc.assert(
    fc.property(plays, ({ needed, order, results, voters }) => {
      const tally = new Tally(needed, voters)
      const votes: (boolean | undefined)[] = Array(voters).fill(undefined)
      let last: Verdict = bruteForce(needed, votes)
      expect(tally.verdict).toBe(last)
      for (const voter of order) {
        expect(tally.hasVoted(voter)).toBe(false)
        votes[voter] = results[voter]!
        if (results[voter]) tally.succeed(voter)
        else tally.fail(voter)
        expect(tally.hasVoted(voter)).toBe(true)
        expect(tally.verdict).toBe(bruteForce(needed, votes))
        if (last !== 'pending') expect(tally.verdict).toBe(last)
        last = tally.verdict
        expect(tally.succeeded).toBe(votes.filter((vote) => vote === true).length)
        expect(tally.failed).toBe(votes.filter((vote) => vote === false).length)
        expect(tally.outstanding).toBe(votes.filter((vote) => vote === undefined).length)
      }
    }),
    { numRuns: 500 },
  )
})

test('two answers of one replica are a bug, not two votes', () => {
  const tally = new Tally(2, 3)
  tally.succeed(1)
  expect(() => tally.succeed(1)).toThrow(AssertionError)
  expect(() => tally.fail(1)).toThrow(AssertionError)
  expect(tally.verdict).toBe('pending')
  expect(tally.succeeded).toBe(1)
})

test('only owners vote: a voter outside the list is a bug', () => {
  const tally = new Tally(2, 3)
  for (const voter of [-1, 3, 32, 35, 0.5, Number.NaN]) expect(() => tally.succeed(voter)).toThrow(AssertionError)
  expect(tally.outstanding).toBe(3)
})

test('a quorum that no vote could decide is a bug', () => {
  for (const [needed, voters] of [
    [0, 3],
    [4, 3],
    [1, 0],
    [1, 33],
    [1.5, 3],
    [Number.NaN, 3],
  ] as const) {
    expect(() => new Tally(needed, voters)).toThrow(AssertionError)
  }
})

test('all 32 voters have a vote of their own', () => {
  const tally = new Tally(32, 32)
  for (let voter = 0; voter < 32; voter++) {
    expect(tally.verdict).toBe('pending')
    tally.succeed(voter)
  }
  expect(tally.verdict).toBe('met')
})

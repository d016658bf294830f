import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AssertionError } from '../base/index.js'
import { countVoters, firstVoters, isMet, isWanted, type Quorums, quorumOf, Tally, type Verdict } from './index.js'

/** The naive model: groups are sets of positions. */
interface Group {
  readonly members: readonly number[]
  readonly needed: number
}

function meets(groups: readonly Group[], has: (voter: number) => boolean): boolean {
  return groups.every(({ members, needed }) => members.filter(has).length >= needed)
}

/** What can still become of the votes, by trying every way in which the outstanding voters could vote. */
function bruteForce(groups: readonly Group[], votes: readonly (boolean | undefined)[]): Verdict {
  const open = votes.flatMap((vote, voter) => (vote === undefined ? [voter] : []))
  let canMeet = false
  let canMiss = false
  for (let outcome = 0; outcome < 1 << open.length; outcome++) {
    if (meets(groups, (voter) => votes[voter] ?? ((outcome >> open.indexOf(voter)) & 1) === 1)) canMeet = true
    else canMiss = true
  }
  return canMeet && canMiss ? 'pending' : canMeet ? 'met' : 'impossible'
}

function quorumsOf(groups: readonly Group[]): Quorums {
  return groups.map(({ members, needed }) =>
    quorumOf(
      members.reduce((mask, voter) => mask | (1 << voter), 0),
      needed,
    ),
  )
}

const plays = fc.integer({ min: 1, max: 8 }).chain((voters) => {
  const everybody = [...Array(voters).keys()]
  const group = fc
    .subarray(everybody, { minLength: 1 })
    .chain((members) =>
      fc.record({ members: fc.constant(members), needed: fc.integer({ min: 1, max: members.length }) }),
    )
  return fc.record({
    groups: fc.array(group, { minLength: 1, maxLength: 3 }),
    order: fc.shuffledSubarray(everybody),
    results: fc.array(fc.boolean(), { minLength: voters, maxLength: voters }),
    voters: fc.constant(voters),
  })
})

test('at every step the verdict is what all possible futures agree on, of one group or of several, and never flips back', () => {
  fc.assert(
    fc.property(plays, ({ groups, order, results, voters }) => {
      const tally = new Tally(quorumsOf(groups), voters)
      const votes: (boolean | undefined)[] = Array(voters).fill(undefined)
      let last: Verdict = bruteForce(groups, votes)
      expect(tally.verdict).toBe(last)
      for (const voter of order) {
        expect(tally.hasVoted(voter)).toBe(false)
        votes[voter] = results[voter]!
        if (results[voter]) tally.succeed(voter)
        else tally.fail(voter)
        expect(tally.hasVoted(voter)).toBe(true)
        expect(tally.hasSucceeded(voter)).toBe(results[voter])
        expect(tally.verdict).toBe(bruteForce(groups, votes))
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

test('asking whoever is wanted, one after the other, meets every quorum and asks nobody in vain', () => {
  fc.assert(
    fc.property(plays, ({ groups, voters }) => {
      const quorums = quorumsOf(groups)
      let asked = 0
      for (let voter = 0; voter < voters; voter++) {
        const bit = 1 << voter
        const lacking = groups.filter(
          ({ members, needed }) => members.filter((member) => (asked & (1 << member)) !== 0).length < needed,
        )
        const helps = lacking.some(({ members }) => members.includes(voter))
        expect(isWanted(quorums, asked, bit)).toBe(helps)
        expect(isMet(quorums, asked)).toBe(lacking.length === 0)
        if (helps) asked |= bit
        expect(isWanted(quorums, asked, bit)).toBe(false)
      }
      expect(isMet(quorums, asked)).toBe(true)
    }),
  )
})

test('voters are counted in all 32 bits', () => {
  fc.assert(
    fc.property(fc.integer(), (mask) => {
      expect(countVoters(mask)).toBe([...Array(32).keys()].filter((bit) => ((mask >>> bit) & 1) === 1).length)
    }),
  )
  for (let count = 0; count <= 32; count++) expect(countVoters(firstVoters(count))).toBe(count)
})

test('two answers of one replica are a bug, not two votes', () => {
  const tally = new Tally([quorumOf(0b111, 2)], 3)
  tally.succeed(1)
  expect(() => tally.succeed(1)).toThrow(AssertionError)
  expect(() => tally.fail(1)).toThrow(AssertionError)
  expect(tally.verdict).toBe('pending')
  expect(tally.succeeded).toBe(1)
})

test('only owners vote: a voter outside the list is a bug, and a quorum of one as well', () => {
  const tally = new Tally([quorumOf(0b111, 2)], 3)
  for (const voter of [-1, 3, 32, 35, 0.5, Number.NaN]) expect(() => tally.succeed(voter)).toThrow(AssertionError)
  expect(tally.outstanding).toBe(3)
  expect(() => new Tally([quorumOf(0b1111, 2)], 3)).toThrow(AssertionError)
})

test('a quorum that no vote could decide is a bug', () => {
  for (const needed of [0, 4, 1.5, Number.NaN]) expect(() => quorumOf(0b111, needed)).toThrow(AssertionError)
  for (const voters of [33, -1, 1.5]) expect(() => firstVoters(voters)).toThrow(AssertionError)
})

test('all 32 voters have a vote of their own', () => {
  const tally = new Tally([quorumOf(firstVoters(32), 32)], 32)
  for (let voter = 0; voter < 32; voter++) {
    expect(tally.verdict).toBe('pending')
    tally.succeed(voter)
  }
  expect(tally.verdict).toBe('met')
})

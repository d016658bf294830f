import { describe, expect, test } from 'vitest'
import { type AcceptorState, acceptorStep } from './acceptor.js'
import { compareBallots } from './ballot.js'

const low = { counter: 1, number: 2 }
const high = { counter: 2, number: 1 }

function prepare(epoch: number, ballot = low) {
  return { kind: 'prepare', epoch, ballot } as const
}

function accept(epoch: number, ballot = low, value = 'v') {
  return { kind: 'accept', epoch, ballot, value } as const
}

test('ballots are ordered by counter, then by number', () => {
  expect(compareBallots(low, high)).toBeLessThan(0)
  expect(compareBallots({ counter: 1, number: 3 }, low)).toBeGreaterThan(0)
  expect(compareBallots(low, { ...low })).toBe(0)
})

describe('the fence of epochs', () => {
  test('what is decided already is refused, whatever the ballot', () => {
    expect(acceptorStep(2, undefined, prepare(2)).reply.kind).toBe('ahead')
    expect(acceptorStep(2, undefined, accept(1, high)).reply.kind).toBe('ahead')
  })

  test('who does not know the document before has no vote', () => {
    expect(acceptorStep(2, undefined, prepare(4)).reply.kind).toBe('behind')
    expect(acceptorStep(2, undefined, accept(4)).state).toBeUndefined()
  })

  test('who holds no document that names it has no vote', () => {
    expect(acceptorStep(0, undefined, prepare(1)).reply.kind).toBe('behind')
  })

  test('a promise of the epoch before does not bind', () => {
    const old: AcceptorState<string> = { epoch: 2, promised: high, vote: { ballot: high, value: 'old' } }
    const { state, reply } = acceptorStep(2, old, prepare(3))
    expect(reply).toEqual({ kind: 'promised', epoch: 3, ballot: low, vote: undefined })
    expect(state).toEqual({ epoch: 3, promised: low, vote: undefined })
  })

  test('with an old document in the place of a newer one it has no vote', () => {
    const state: AcceptorState<string> = { epoch: 5, promised: low, vote: undefined }
    expect(acceptorStep(2, state, prepare(3, high))).toMatchObject({ state, reply: { kind: 'behind' } })
  })
})

describe('promises', () => {
  const promised: AcceptorState<string> = { epoch: 3, promised: high, vote: undefined }

  test('a lower ballot is told of the higher one', () => {
    for (const request of [prepare(3), accept(3)]) {
      const { state, reply } = acceptorStep(2, promised, request)
      expect(reply).toEqual({ kind: 'outbid', epoch: 3, ballot: low, promised: high })
      expect(state).toBe(promised)
    }
  })

  test('a vote is told to whoever prepares later', () => {
    const { state } = acceptorStep(2, undefined, accept(3, low, 'first'))
    const vote = { ballot: low, value: 'first' }
    expect(acceptorStep(2, state, prepare(3, high)).reply).toEqual({ kind: 'promised', epoch: 3, ballot: high, vote })
  })

  test('a request that comes twice needs no second write', () => {
    expect(acceptorStep(2, promised, prepare(3, high)).state).toBe(promised)
    const voted = acceptorStep(2, promised, accept(3, high)).state
    expect(acceptorStep(2, voted, accept(3, high))).toMatchObject({ state: voted, reply: { kind: 'accepted' } })
  })
})

import { limits } from '@quorumkv/internal/base'
import { expect, it } from 'vitest'
import { HeldResults, ResultBudget } from './result-budget.js'

it('sessions hold as much as one may, and all of them may, and not a byte more until something is taken or a call is over', () => {
  const budget = new ResultBudget()
  const count = limits.resultBytesMax / limits.sessionResultBytesMax
  const sessions = Array.from({ length: count + 1 }, () => new HeldResults(budget))
  const [first, ...others] = sessions
  expect([first!.fits(limits.sessionResultBytesMax), first!.fits(limits.sessionResultBytesMax + 1)]).toEqual([
    true,
    false,
  ])
  for (const session of sessions.slice(0, count)) session.hold(limits.sessionResultBytesMax)
  const last = others.at(-1)!
  expect(last.fits(1)).toBe(false)
  first!.take(10)
  expect([last.fits(10), last.fits(11), first!.taken]).toEqual([true, false, 10])
  for (const session of sessions) {
    session.release()
    // What is told late of a call that is over has been given back already.
    session.take(5)
    session.release()
  }
  expect(budget.heldBytes).toBe(0)
})

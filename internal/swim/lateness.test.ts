import { describe, expect, test } from 'vitest'
import { about, Lone, memberOf, noMeta } from './lone.test-support.js'
import { accusation, aliveRumour } from './members.js'

/** The node stands still, and its clock goes on. */
function pause(lone: Lone, forMs: number): void {
  lone.nowMs += forMs
}

describe('a node that was paused', () => {
  test('accuses nobody of the silence that it has slept through, and asks anew at once', () => {
    const lone = new Lone(3)
    lone.greet(2, 3)
    lone.until('ping', 2000)
    pause(lone, 5000)
    lone.sent.length = 0
    lone.run(50)
    expect(lone.kinds()).toEqual([])
    expect(lone.sent.map(({ message }) => message.kind)).toContain('ping')
    expect(lone.sent.map(({ message }) => message.kind)).toContain('sync')
    lone.run(900)
    expect(lone.kinds()).toEqual([])
  })

  test('knows that it is not to be trusted for a while, the more the longer it was away', () => {
    const score = (forMs: number): number => {
      const lone = new Lone(3)
      lone.answer(2000)
      pause(lone, forMs)
      lone.run(50)
      return lone.swim.healthScore
    }
    expect(score(200)).toBe(0)
    expect(score(300)).toBe(1)
    expect(score(2500)).toBe(3)
    expect(score(30_000)).toBe(7)
  })

  test.each(['a tick', 'a message'])('lets suspicions run on from where they were, noticed by %s', (noticed) => {
    const lone = new Lone(3)
    lone.greet(2, 3)
    lone.tell(3, accusation(2, 'suspect', 1, [3]))
    lone.answer(500, 2)
    pause(lone, 60_000)
    if (noticed === 'a message') lone.tell(3)
    lone.answer(3400, 2)
    expect(lone.swim.member(2)?.status).toBe('suspect')
    lone.tell(3, aliveRumour(2, 2, memberOf(2).address, noMeta))
    expect(lone.kinds()).toEqual(['suspect 2', 'alive 2'])
  })

  test('hears what has come meanwhile before it declares anybody dead, and then does', () => {
    const lone = new Lone(3)
    lone.greet(2, 3)
    lone.tell(3, accusation(2, 'suspect', 1, [3]))
    lone.run(3950)
    pause(lone, 5000)
    const fromMs = lone.nowMs
    while (lone.swim.member(2)?.status === 'suspect') lone.run(50)
    expect(lone.nowMs - fromMs).toBeGreaterThanOrEqual(2000)
    expect(lone.nowMs - fromMs).toBeLessThan(3000)
  })

  test('has nothing to say any more to those for whom it had asked', () => {
    const lone = new Lone(3)
    lone.receive(2, 'pingRequest', { seq: 7, target: 3 })
    pause(lone, 5000)
    expect(lone.until('nack', 2000)).toBeUndefined()
  })

  test('refutes what was said of it when it comes back', () => {
    const lone = new Lone(3)
    pause(lone, 30_000)
    lone.run(50)
    lone.tell(2, accusation(1, 'dead', 1, [2, 3]))
    lone.sent.length = 0
    lone.run(300)
    expect(about(1, lone.sent)[0]).toEqual(aliveRumour(1, 2, memberOf(1).address, noMeta))
  })
})

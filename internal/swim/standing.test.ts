import { describe, expect, test } from 'vitest'
import { limits, parseAddress, parseNodeId } from '../base/index.js'
import { about, Lone, memberOf, noMeta, numbersOf } from './lone.test-support.js'
import { accusation, aliveRumour } from './members.js'

const moved = parseAddress('10.9.9.9:1', 'address')

describe('members are those of the topology', () => {
  test('a node that it does not name neither asks nor tells, but answers', () => {
    const lone = new Lone(0)
    lone.members(2, 3)
    lone.run(10_000)
    expect(lone.sent).toEqual([])
    expect(lone.receive(2, 'ping', { seq: 4, target: 1 })).toMatchObject([
      { to: 'n2', message: { kind: 'ack', seq: 4 } },
    ])
    expect(lone.receive(2, 'sync')).toEqual([])
  })

  test('what is said of others is passed over, and not passed on', () => {
    const lone = new Lone(2)
    lone.answer(5000)
    lone.sent.length = 0
    lone.tell(2, aliveRumour(9, 1, memberOf(9).address, noMeta), accusation(8, 'dead', 4, []))
    lone.answer(2000)
    expect(lone.kinds()).toEqual([])
    expect([...about(8, lone.sent), ...about(9, lone.sent)]).toEqual([])
  })

  test('a stranger learns that this node is there, at its own address, and has no say', () => {
    const lone = new Lone(2)
    const rumours = [accusation(2, 'dead', 1, [])]
    const [answer] = lone.receive(9, 'ping', { seq: 3, target: 1, rumours })
    expect(answer).toMatchObject({
      to: 'n9',
      address: memberOf(9).address,
      message: { kind: 'ack', seq: 3, rumours: [] },
    })
    expect(lone.kinds()).toEqual([])
    expect(lone.receive(9, 'sync', { seq: 3 })).toEqual([])
  })

  test('a node under the number of another is a stranger', () => {
    const lone = new Lone(2)
    lone.receive(2, 'gossip', { rumours: [accusation(2, 'left', 1, [])] }, parseNodeId('n3'))
    expect(lone.kinds()).toEqual([])
  })

  test('a ping that is meant for an earlier life at this address is not answered', () => {
    const lone = new Lone(2)
    expect(lone.receive(2, 'ping', { seq: 3, target: 7 })).toEqual([])
    expect(lone.receive(9, 'ping', { seq: 3, target: 7 })).toEqual([])
  })

  test('one that was replaced is forgotten with all that was said of it, and its successor is new', () => {
    const lone = new Lone(3)
    lone.greet(2, 3)
    lone.tell(3, accusation(2, 'dead', 6, [3]))
    lone.swim.setMembers(lone.nowMs, [memberOf(1), memberOf(3), { ...memberOf(2), number: 4 }])
    expect(lone.swim.members.map(({ number, status }) => [number, status])).toEqual([
      [3, 'alive'],
      [4, 'alive'],
    ])
    lone.sent.length = 0
    lone.answer(3000)
    expect(about(2, lone.sent)).toEqual([])
    expect(lone.sent.some(({ to, message }) => to === 'n2' && message.target === 4)).toBe(true)
  })

  test('one that leaves the topology during its probe is not accused', () => {
    const lone = new Lone(2)
    lone.until('ping', 2000)
    lone.members(1)
    lone.run(5000)
    expect(lone.kinds()).toEqual([])
  })
})

describe('a member that has started anew', () => {
  test('is told what is known of its earlier run, and believed when it has overtaken that', () => {
    const lone = new Lone(2)
    lone.tell(2, aliveRumour(2, 8, memberOf(2).address, noMeta))
    const [answer] = lone.receive(2, 'ping', { seq: 1, target: 1, refutation: 1 })
    expect(answer?.message.rumours).toContainEqual(aliveRumour(2, 8, memberOf(2).address, noMeta))
  })

  test('overtakes what others know of its earlier run, without doubting itself', () => {
    const lone = new Lone(2)
    lone.tell(2, aliveRumour(1, 8, moved, noMeta))
    expect(lone.swim.refutation).toBe(9)
    lone.tell(2, accusation(1, 'left', 9, []))
    expect(lone.swim.refutation).toBe(10)
    expect(lone.swim.healthScore).toBe(0)
  })

  test('is answered and asked where it is now', () => {
    const lone = new Lone(2)
    lone.greet(2)
    const [answer] = lone.receive(2, 'ping', { seq: 1, target: 1, refutation: 2, address: moved })
    expect(answer?.address).toBe(moved)
    expect(lone.kinds()).toEqual(['updated 2'])
    expect(lone.until('ping', 3000)?.address).toBe(moved)
  })

  test('is answered where it is now also while it must learn that it has been there before', () => {
    const lone = new Lone(2)
    lone.tell(2, aliveRumour(2, 8, memberOf(2).address, noMeta))
    const [answer] = lone.receive(2, 'sync', { seq: 1, refutation: 3, address: moved, digest: [] })
    expect(answer).toMatchObject({ address: moved, message: { kind: 'syncReply' } })
    expect(answer?.message.rumours).toContainEqual(aliveRumour(2, 8, memberOf(2).address, noMeta))
    expect(lone.swim.member(2)?.address).toBe(memberOf(2).address)
    expect(lone.until('ping', 3000)?.address).toBe(memberOf(2).address)
  })

  test('an older word does not bring it back to where it was', () => {
    const lone = new Lone(2)
    lone.tell(2, aliveRumour(2, 5, moved, noMeta))
    lone.tell(2, aliveRumour(2, 4, memberOf(2).address, noMeta))
    lone.receive(2, 'gossip', { refutation: 4 })
    expect(lone.swim.member(2)?.address).toBe(moved)
  })
})

describe('what a node tells all others about itself', () => {
  const meta = (byte: number): Uint8Array => new Uint8Array([byte])

  test('spreads, at most once in a probe interval, and the last counts', () => {
    const lone = new Lone(3)
    for (let n = 0; n < 100; n++) {
      lone.swim.setMeta(meta(n))
      lone.answer(50)
    }
    expect(lone.swim.refutation).toBeLessThanOrEqual(6)
    lone.answer(1500)
    expect(about(1, lone.sent).at(-1)?.meta).toEqual(meta(99))
  })

  test('the same again is no news', () => {
    const lone = new Lone(3, { meta: meta(1) })
    lone.answer(2000)
    lone.swim.setMeta(meta(1))
    lone.answer(2000)
    expect(lone.swim.refutation).toBe(1)
  })

  test('is bounded', () => {
    const tooMuch = new Uint8Array(limits.swimMetaBytesMax + 1)
    expect(() => new Lone(2, { meta: tooMuch })).toThrow('meta')
    expect(() => new Lone(2).swim.setMeta(tooMuch)).toThrow('meta')
  })

  test('is seen by the others, and passed on', () => {
    const lone = new Lone(3)
    lone.tell(2, aliveRumour(2, 1, memberOf(2).address, meta(7)))
    expect(lone.kinds()).toEqual(['updated 2', 'alive 2'])
    expect(lone.swim.member(2)?.meta).toEqual(meta(7))
    lone.run(300)
    expect(about(2, lone.sent)).toContainEqual(aliveRumour(2, 1, memberOf(2).address, meta(7)))
  })
})

describe('a node that stops', () => {
  test('tells everybody, and then says nothing more', () => {
    const lone = new Lone(5)
    lone.tell(2, accusation(3, 'dead', 1, []))
    const sent = lone.take(lone.swim.leave(lone.nowMs))
    expect(numbersOf(sent)).toEqual([2, 4, 5])
    expect(about(1, sent)).toEqual([1, 2, 3].map(() => accusation(1, 'left', 1, [])))
    expect(lone.take(lone.swim.leave(lone.nowMs))).toEqual([])
    expect(lone.receive(2, 'ping', { seq: 1, target: 1 })).toEqual([])
    lone.sent.length = 0
    lone.run(5000)
    expect(lone.sent).toEqual([])
  })

  test('has left, in the eyes of the others, and is not suspected; it returns when it speaks again', () => {
    const lone = new Lone(3)
    lone.greet(2, 3)
    lone.tell(2, accusation(2, 'left', 1, []))
    lone.answer(20_000, 2)
    expect(lone.kinds()).toEqual(['left 2'])
    lone.tell(2, aliveRumour(2, 2, memberOf(2).address, noMeta))
    expect(lone.kinds()).toEqual(['left 2', 'returned 2'])
  })
})

test.each(['probeIntervalMs', 'probeTimeoutMs', 'suspicionMult', 'gossipIntervalMs', 'gossipFanout'])(
  '%s must be a whole number from 1',
  (name) => {
    for (const value of [0, 1.5, Number.NaN]) expect(() => new Lone(2, { [name]: value })).toThrow(name)
  },
)

test('a message that no node sends changes nothing', () => {
  const lone = new Lone(2)
  const rumours = [accusation(2, 'dead', 1, []), accusation(2, 'dead', -1, [])]
  expect(() => lone.tell(2, ...rumours)).toThrow('rumours.refutation')
  expect(lone.swim.member(2)?.status).toBe('alive')
})

import { describe, expect, test } from 'vitest'
import { about, Lone, memberOf, noMeta, numbersOf } from './lone.test-support.js'
import { accusation, aliveRumour } from './members.js'
import type { SwimMessage } from './messages.js'

describe('probing', () => {
  /** A node of two that has had to refute suspicions twice. */
  function doubtful(): Lone {
    const lone = new Lone(2)
    lone.tell(2, accusation(1, 'suspect', 1, [2]), accusation(1, 'suspect', 2, [2]))
    expect(lone.swim.healthScore).toBe(2)
    return lone
  }

  test('asks each member once before any is asked again, one in each interval', () => {
    const lone = new Lone(6)
    lone.answer(20_000)
    const asked = numbersOf(lone.sent.filter(({ message }) => message.kind === 'ping'))
    expect(asked.length).toBeGreaterThanOrEqual(19)
    for (let round = 0; round < 15; round += 5) {
      expect(asked.slice(round, round + 5).sort()).toEqual([2, 3, 4, 5, 6])
    }
    expect(lone.kinds()).toEqual([])
  })

  test('a member that does not answer directly is asked through three others, and spared when one has its answer', () => {
    const lone = new Lone(6)
    const ping = lone.until('ping', 2000)!
    expect(lone.until('pingRequest', 450)).toBeUndefined()
    lone.until('pingRequest', 100)
    const requests = lone.sent.filter(({ message }) => message.kind === 'pingRequest')
    expect(requests).toHaveLength(3)
    expect(requests.every(({ message }) => message.target === ping.message.target)).toBe(true)
    expect(numbersOf(requests)).not.toContain(ping.message.target)
    lone.receive(numbersOf(requests)[0]!, 'ack', { seq: requests[0]!.message.seq, target: ping.message.target })
    lone.run(600)
    expect(lone.kinds()).toEqual([])
    expect(lone.swim.healthScore).toBe(0)
  })

  test('an answer by somebody who was not asked counts for nothing', () => {
    const lone = new Lone(3)
    const { message } = lone.until('ping', 2000)!
    lone.receive(message.target === 2 ? 3 : 2, 'ack', { seq: message.seq, target: message.target })
    lone.run(1000)
    expect(lone.kinds()).toEqual([`suspect ${message.target}`])
  })

  test('silence of target and helpers makes a node doubt itself; helpers that say that they had no answer do not', () => {
    for (const honest of [false, true]) {
      const lone = new Lone(6)
      const { target } = lone.until('ping', 2000)!.message
      lone.until('pingRequest', 600)
      for (const { to, message } of lone.sent.filter((each) => each.message.kind === 'pingRequest')) {
        if (honest) lone.receive(Number(to.slice(1)), 'nack', { seq: message.seq, target })
        if (honest) lone.receive(Number(to.slice(1)), 'nack', { seq: message.seq, target })
      }
      lone.run(600)
      expect(lone.kinds()).toEqual([`suspect ${target}`])
      expect(lone.swim.healthScore).toBe(honest ? 0 : 3)
    }
  })

  test('a node in doubt of itself trusts itself again with every answer', () => {
    const lone = doubtful()
    lone.answer(1000)
    expect(lone.swim.healthScore).toBe(1)
    lone.answer(3000)
    expect(lone.swim.healthScore).toBe(0)
  })

  test('a node in doubt of itself waits longer', () => {
    const lone = doubtful()
    lone.until('ping', 2000)
    lone.run(2900)
    expect(lone.kinds()).toEqual([])
    lone.run(150)
    expect(lone.kinds()).toEqual(['suspect 2'])
  })

  test('helps another: asks the target, and passes on its answer, or says in time that there was none', () => {
    const lone = new Lone(3)
    const ask = (): SwimMessage => lone.receive(2, 'pingRequest', { seq: 77, target: 3 })[0]!.message
    const asked = ask()
    expect(asked).toMatchObject({ kind: 'ping', target: 3 })
    const [answer] = lone.receive(3, 'ack', { seq: asked.seq, target: 3 })
    expect(answer).toMatchObject({ to: 'n2', message: { kind: 'ack', seq: 77, target: 3 } })
    const late = ask()
    const fromMs = lone.nowMs
    expect(lone.until('nack', 1000)).toMatchObject({ to: 'n2', message: { seq: 77, target: 3 } })
    expect(lone.nowMs - fromMs).toBe(400)
    expect(lone.receive(3, 'ack', { seq: late.seq, target: 3 })).toMatchObject([{ to: 'n2', message: { kind: 'ack' } }])
    expect(lone.receive(3, 'ack', { seq: late.seq, target: 3 })).toEqual([])
  })

  test('cannot help with a node that it does not know as a member, and says so', () => {
    const lone = new Lone(2)
    expect(lone.receive(2, 'pingRequest', { seq: 5, target: 9 })).toMatchObject([{ message: { kind: 'nack', seq: 5 } }])
  })

  test('a member in doubt has its turn next, but doubts do not make a storm of probes', () => {
    const lone = new Lone(30)
    lone.answer(5000)
    lone.sent.length = 0
    for (let n = 0; n < 20; n++) {
      lone.swim.doubt(lone.nowMs, 17)
      lone.answer(50)
    }
    const asked = numbersOf(lone.sent.filter(({ message }) => message.kind === 'ping'))
    expect(asked[0]).toBe(17)
    expect(asked.length).toBeLessThanOrEqual(3)
  })
})

describe('suspicion', () => {
  test('is said to the suspected itself, with the first message and every other', () => {
    const lone = new Lone(2)
    lone.greet(2)
    lone.until('ping', 2000)
    lone.sent.length = 0
    lone.run(1050)
    expect(lone.kinds()).toEqual(['suspect 2'])
    expect(about(2, lone.sent)[0]).toEqual(accusation(2, 'suspect', 1, [1]))
    lone.sent.length = 0
    const ping = lone.until('ping', 3000)!
    expect(ping.message.rumours).toContainEqual(accusation(2, 'suspect', 1, [1]))
  })

  test('is over when the member refutes it, and not when it is merely said to be alive as before', () => {
    const lone = new Lone(3)
    lone.greet(2, 3)
    lone.tell(3, accusation(2, 'suspect', 1, [3]))
    lone.tell(3, aliveRumour(2, 1, memberOf(2).address, noMeta))
    expect(lone.swim.member(2)).toMatchObject({ status: 'suspect', accusers: [3] })
    lone.tell(3, aliveRumour(2, 2, memberOf(2).address, noMeta))
    expect(lone.kinds()).toEqual(['suspect 2', 'alive 2'])
  })

  test('runs out sooner with every accuser, and ends in death', () => {
    const deathMs = (accusers: number): number => {
      const lone = new Lone(12)
      lone.greet(12)
      lone.tell(2, accusation(12, 'suspect', 1, [2]))
      for (let by = 3; by < 2 + accusers; by++) lone.tell(by, accusation(12, 'suspect', 1, [by]))
      for (let again = 0; again < 3; again++) lone.tell(2, accusation(12, 'suspect', 1, [2]))
      while (lone.swim.member(12)?.status !== 'dead') lone.answer(50)
      return lone.nowMs
    }
    const [one, two, three, four] = [1, 2, 3, 4].map(deathMs) as [number, number, number, number]
    expect(one).toBeGreaterThan(2 * two)
    expect(two).toBeGreaterThan(2 * three)
    expect(four).toBe(three)
  })

  test('a confirmation is passed on, since others wait for it as well', () => {
    const lone = new Lone(6)
    lone.tell(2, accusation(6, 'suspect', 0, [2]))
    lone.answer(5000)
    lone.sent.length = 0
    lone.tell(3, accusation(6, 'suspect', 0, [3]))
    lone.answer(250)
    expect(about(6, lone.sent).at(0)?.accusers).toEqual([2, 3])
  })

  test('this node refutes at once, above what was said, in the answer to the very message', () => {
    const lone = new Lone(2)
    const [answer] = lone.receive(2, 'ping', { seq: 9, target: 1, rumours: [accusation(1, 'dead', 5, [])] })
    expect(answer?.message).toMatchObject({ kind: 'ack', seq: 9, refutation: 6 })
    expect(answer?.message.rumours).toContainEqual(aliveRumour(1, 6, memberOf(1).address, noMeta))
    expect(lone.swim.healthScore).toBe(1)
  })

  test('who says so in a message that wants no answer hears the refutation at once, but not with every repetition', () => {
    const lone = new Lone(2)
    const sent = lone.tell(2, accusation(1, 'dead', 5, []))
    expect(sent).toMatchObject([
      { to: 'n2', message: { kind: 'gossip', rumours: [{ status: 'alive', refutation: 6 }] } },
    ])
    expect(lone.tell(2, accusation(1, 'dead', 5, []))).toEqual([])
    lone.run(200)
    expect(lone.tell(2, accusation(1, 'dead', 5, []))).toHaveLength(1)
  })

  test('who repeats what was refuted is told, and nothing is refuted twice', () => {
    const lone = new Lone(3)
    lone.tell(2, accusation(1, 'suspect', 1, [2]))
    lone.run(10_000)
    const { healthScore } = lone.swim
    const [answer] = lone.receive(3, 'ping', { seq: 9, target: 1, rumours: [accusation(1, 'suspect', 1, [2])] })
    expect(answer?.message.rumours).toContainEqual(aliveRumour(1, 2, memberOf(1).address, noMeta))
    expect(lone.swim.refutation).toBe(2)
    expect(lone.swim.healthScore).toBe(healthScore)
  })
})

describe('death', () => {
  test('of a member that has answered just now is not believed; the member is told', () => {
    const lone = new Lone(3)
    lone.greet(2, 3)
    lone.answer(3000)
    const sent = lone.tell(3, accusation(2, 'dead', 1, [3]))
    expect(lone.kinds()).toEqual([])
    expect(sent).toMatchObject([{ to: 'n2', message: { rumours: [accusation(2, 'dead', 1, [3])] } }])
    expect(lone.tell(3, accusation(2, 'dead', 1, [3]))).toEqual([])
  })

  test('that goes round is believed of any other; in an exchange it is only a suspicion, said to the suspected', () => {
    for (const kind of ['gossip', 'syncReply'] as const) {
      const lone = new Lone(3)
      lone.greet(2, 3)
      const sent = lone.receive(3, kind, { rumours: [accusation(2, 'dead', 1, [])] })
      expect(lone.kinds()).toEqual([kind === 'gossip' ? 'dead 2' : 'suspect 2'])
      if (kind === 'syncReply') expect(numbersOf(sent)).toEqual([2])
      lone.answer(4100)
      expect(lone.swim.member(2)?.status).toBe('dead')
    }
  })

  test('is not the end: the member is asked again and again, and is back with one word of its own', () => {
    const lone = new Lone(2)
    lone.greet(2)
    lone.tell(2, accusation(2, 'dead', 1, []))
    lone.run(1000)
    lone.sent.length = 0
    lone.run(60_000)
    const asked = lone.sent.filter(({ message }) => message.kind === 'sync')
    expect(asked.length).toBeGreaterThan(6)
    expect(asked.length).toBeLessThan(25)
    expect(asked.every(({ message }) => message.rumours.some(({ status }) => status === 'dead'))).toBe(true)
    lone.receive(2, 'syncReply', { refutation: 2, rumours: [aliveRumour(2, 2, memberOf(2).address, noMeta)] })
    expect(lone.kinds()).toEqual(['dead 2', 'returned 2'])
  })
})

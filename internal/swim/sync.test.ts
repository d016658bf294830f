import { describe, expect, test } from 'vitest'
import { limits, parseAddress, parseNodeId } from '../base/index.js'
import { Lone, memberOf, noMeta, numbersOf } from './lone.test-support.js'
import { accusation, aliveRumour, MemberTable } from './members.js'
import { type DigestEntry, messageBytes, rumourBytes } from './messages.js'
import { differences, fitting, rumoursOf } from './sync.js'

const entry = (number: number, fields: Partial<DigestEntry> = {}): DigestEntry => {
  return { number, status: 'alive', refutation: 1, described: 1, ...fields }
}
const alive = (number: number, refutation = 1) => aliveRumour(number, refutation, memberOf(number).address, noMeta)

function tableOf(...states: readonly DigestEntry[]): MemberTable {
  const table = new MemberTable()
  table.set(
    0,
    states.map(({ number }) => memberOf(number)),
  )
  for (const state of states) Object.assign(table.get(state.number)!, state)
  return table
}

describe('comparing', () => {
  test('finds nothing where both know the same', () => {
    const table = tableOf(entry(2), entry(3, { status: 'dead' }))
    expect(differences(table, [entry(2), entry(3, { status: 'dead' })])).toEqual({ better: [], wanted: [], gone: [] })
  })

  test('gives what it knows better: status, description, and whom the other has not heard of', () => {
    const table = tableOf(entry(2, { refutation: 2, described: 2 }), entry(3, { status: 'dead' }), entry(4))
    const { better } = differences(table, [entry(2), entry(3)])
    expect(better).toEqual([alive(2, 2), accusation(3, 'dead', 1, []), alive(4)])
  })

  test('wants descriptions and suspicions, takes deaths as they are, and passes over whom it does not know', () => {
    const table = tableOf(entry(2), entry(3), entry(4), entry(5))
    const left = entry(4, { status: 'left' })
    const dead = entry(5, { status: 'dead', refutation: 4, described: 3 })
    const { better, wanted, gone } = differences(table, [
      entry(2, { refutation: 2, described: 2 }),
      entry(3, { status: 'suspect' }),
      left,
      dead,
      entry(9),
    ])
    expect(better).toEqual([])
    expect(wanted).toEqual([2, 3, 5])
    expect(gone).toEqual([left, dead])
  })

  test('can go both ways for one member', () => {
    const table = tableOf(entry(2, { status: 'dead', refutation: 3, described: 1 }))
    const { better, wanted } = differences(table, [entry(2, { refutation: 2, described: 2 })])
    expect(better).toEqual([accusation(2, 'dead', 3, [])])
    expect(wanted).toEqual([2])
  })

  test('tells all that it knows of those that were asked for, as much as fits', () => {
    const table = tableOf(entry(2), entry(3, { status: 'dead' }), entry(4, { refutation: 0, described: 0 }))
    const all = rumoursOf(table, [2, 3, 4, 9])
    expect(all).toEqual([alive(2), alive(3), accusation(3, 'dead', 1, [])])
    expect(fitting(all, 10_000)).toEqual(all)
    expect(fitting(all, rumourBytes(all[0]!) + rumourBytes(all[1]!))).toEqual(all.slice(0, 2))
    expect(fitting(all, rumourBytes(all[0]!) - 1)).toEqual([])
  })
})

describe('exchanges', () => {
  test('begin at the start, again and again until one is answered, and then come every half minute or so', () => {
    const lone = new Lone(4)
    const first = lone.until('sync', 100)
    expect(first?.message.digest.map(({ number }) => number)).toEqual([1, 2, 3, 4])
    lone.answer(3000)
    const again = lone.sent.filter(({ message }) => message.kind === 'sync')
    expect(again).toHaveLength(4)
    lone.greet(2, 3, 4)
    lone.receive(numbersOf(again)[3]!, 'syncReply', { seq: again[3]!.message.seq })
    lone.answer(1000)
    lone.sent.length = 0
    lone.answer(300_000)
    const count = lone.sent.filter(({ message }) => message.kind === 'sync').length
    expect(count).toBeGreaterThanOrEqual(6)
    expect(count).toBeLessThanOrEqual(20)
  })

  test('answer with what is known here, and give what is asked for', () => {
    const lone = new Lone(4)
    lone.greet(2, 3)
    const digest = [entry(1), entry(2), entry(3, { refutation: 0, described: 0 }), entry(4)]
    const [reply] = lone.receive(2, 'sync', { seq: 8, digest })
    expect(reply?.message).toMatchObject({ kind: 'syncReply', seq: 8, wanted: [4] })
    expect(reply?.message.rumours).toContainEqual(alive(3))
    const [given] = lone.receive(2, 'syncReply', { wanted: [3] })
    expect(given).toMatchObject({ to: 'n2', message: { kind: 'gossip' } })
    expect(given?.message.rumours).toContainEqual(alive(3))
  })

  test('show a node that it is held for dead, and the other that it is not', () => {
    const lone = new Lone(3)
    const [reply] = lone.receive(2, 'sync', { digest: [entry(1, { status: 'dead', refutation: 4 }), entry(2)] })
    expect(reply?.message).toMatchObject({ kind: 'syncReply', refutation: 5 })
    expect(reply?.message.rumours).toContainEqual(alive(1, 5))
  })

  test('show a node that the other lacks its description, which it then gives', () => {
    const lone = new Lone(3)
    lone.answer(10_000)
    const [reply] = lone.receive(2, 'sync', { digest: [entry(1, { described: 0, refutation: 0 }), entry(2)] })
    expect(reply?.message.rumours).toContainEqual(alive(1))
  })

  test('are soon when a message shows that something was missed', () => {
    const lone = new Lone(3)
    lone.greet(2, 3)
    lone.receive(2, 'syncReply', {})
    lone.answer(2000)
    lone.receive(3, 'gossip', { refutation: 2 })
    expect(lone.until('sync', 1100)).toBeDefined()
  })

  test('are soon when an answer was so large that there may be more', () => {
    const meta = new Uint8Array(limits.swimMetaBytesMax)
    const numbers = Array.from({ length: 40 }, (_, at) => at + 2)
    const rumours = numbers.map((number) => aliveRumour(number, 1, memberOf(number).address, meta))
    for (const [size, soon] of [
      [20, false],
      [40, true],
    ] as const) {
      const lone = new Lone(41)
      lone.answer(100)
      lone.greet(...numbers)
      lone.receive(2, 'syncReply')
      lone.run(1000)
      lone.receive(2, 'syncReply', { rumours: rumours.slice(0, size) })
      expect(lone.until('sync', 1100) !== undefined).toBe(soon)
    }
  })

  test('of the largest cluster with the longest descriptions stay within the bound, and bring all of it by and by', () => {
    const host = `${'h'.repeat(60)}.${'h'.repeat(60)}.${'h'.repeat(60)}.${'h'.repeat(60)}.example:50051`
    const address = parseAddress(host, 'address')
    const meta = new Uint8Array(limits.swimMetaBytesMax)
    const members = Array.from({ length: limits.membersMax }, (_, at) => {
      const number = at === 0 ? 1 : 2 ** 32 - 1 - at
      return { id: parseNodeId(`n${number}`), number, address }
    })
    const two = [new Lone(0, { self: members[0]! }), new Lone(0, { self: members[1]! })] as const
    for (const lone of two) lone.swim.setMembers(0, members)
    const [full, empty] = two
    const [self, other] = members as [(typeof members)[0], (typeof members)[0]]
    for (const { number, id } of members.slice(1)) {
      const refutation = number === other.number ? 1 : 2 ** 47
      full.receive(
        number,
        'gossip',
        { refutation, address, rumours: [aliveRumour(number, refutation, address, meta)] },
        id,
      )
    }
    for (let rounds = 0; rounds < 40; rounds++) {
      const sync = empty.swim.members.map(({ number, status, refutation }) => ({
        number,
        status,
        refutation,
        described: refutation,
      }))
      const header = { number: other.number, address }
      const [reply] = full.receive(other.number, 'sync', { ...header, digest: sync }, other.id)
      empty.receive(self.number, 'syncReply', { ...reply!.message }, self.id)
      empty.run(1050)
      full.run(1050)
    }
    expect(empty.swim.members.every(({ refutation, number }) => number === self.number || refutation > 0)).toBe(true)
    for (const { message } of [...full.sent, ...empty.sent]) {
      expect(messageBytes(message)).toBeLessThanOrEqual(limits.swimMessageBytesMax)
    }
  })
})

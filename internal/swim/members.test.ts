import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseAddress, parseNodeId } from '../base/index.js'
import { SimRandom } from '../env-sim/index.js'
import { MemberTable, outranks } from './members.js'
import { type MemberStatus, statuses } from './messages.js'

interface News {
  readonly status: MemberStatus
  readonly refutation: number
}

const news: fc.Arbitrary<News> = fc.record({ status: fc.constantFrom(...statuses), refutation: fc.nat(3) })
const member = (number: number, address = `10.0.0.${number}:1`) => {
  return { id: parseNodeId(`n${number}`), number, address: parseAddress(address, 'address') }
}

test('news are in a total order, so in whatever order they arrive all end with the same', () => {
  const last = (heard: readonly News[]): News => heard.reduce((known, each) => (outranks(each, known) ? each : known))
  const shuffled = fc.array(news, { minLength: 1 }).chain((all) => {
    return fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))
  })
  fc.assert(
    fc.property(shuffled, ([all, other]) => {
      expect(last(other)).toEqual(last(all))
      expect(last([...all, ...all])).toEqual(last(all))
    }),
  )
})

test('a refutation beats any word against what was before it, and a word against it beats it', () => {
  const at = (status: MemberStatus, refutation: number): News => ({ status, refutation })
  for (const status of ['suspect', 'dead', 'left'] as const) {
    expect(outranks(at('alive', 2), at(status, 1))).toBe(true)
    expect(outranks(at(status, 1), at('alive', 2))).toBe(false)
    expect(outranks(at(status, 2), at('alive', 2))).toBe(true)
    expect(outranks(at('alive', 2), at(status, 2))).toBe(false)
  }
})

test('what is known of a member outlives changes of the others, and not its own end', () => {
  const table = new MemberTable()
  table.set(0, [member(1), member(2)])
  table.get(1)!.status = 'dead'
  table.set(1, [member(1), member(3)])
  expect(table.all.map(({ number, status }) => [number, status])).toEqual([
    [1, 'dead'],
    [3, 'alive'],
  ])
  table.set(2, [member(3)])
  table.set(3, [member(1), member(3)])
  expect(table.get(1)!.status).toBe('alive')
})

test('the address of the topology counts until the member has given its own', () => {
  const table = new MemberTable()
  table.set(0, [member(1)])
  table.set(0, [member(1, '10.0.1.1:1')])
  expect(table.get(1)!.address).toBe('10.0.1.1:1')
  Object.assign(table.get(1)!, { described: 1, address: '10.0.2.1:1' })
  table.set(0, [member(1)])
  expect(table.get(1)!.address).toBe('10.0.2.1:1')
})

test('whoever is picked is picked once, fits, and anybody may be', () => {
  const table = new MemberTable()
  table.set(
    0,
    [1, 2, 3, 4, 5].map((number) => member(number)),
  )
  const random = new SimRandom(1)
  const seen = new Set<number>()
  for (let round = 0; round < 100; round++) {
    const picked = table.pick(random, 3, ({ number }) => number !== 2).map(({ number }) => number)
    expect(new Set(picked).size).toBe(3)
    for (const number of picked) seen.add(number)
  }
  expect([...seen].sort()).toEqual([1, 3, 4, 5])
  expect(table.pick(random, 9, () => true)).toHaveLength(5)
})

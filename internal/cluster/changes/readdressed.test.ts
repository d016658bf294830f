import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Address, NodeId } from '../../base/index.js'
import { type Topology, validateTopology } from '../../slots/index.js'
import { topologyOf } from '../../slots/topology.test-support.js'
import { type Moved, readdressed } from './readdressed.js'

const five = topologyOf(['n1', 'n2', 'n3', 'n4', 'n5'].map((id) => ({ id })))

/** `n1` wishes to be where `n2` is said to be: `n1>n2`; an address that nobody has is `x`. */
function wish(text: string): Moved {
  const [who, where] = text.split('>')
  const { id, incarnation } = five.members.find((member) => member.id === who)!
  const address = five.members.find((member) => member.id === where)?.address ?? (`${where}:9` as Address)
  return { id, incarnation, address }
}

function asked(first: string, ...others: string[]): Topology | undefined {
  const after = readdressed(five, wish(first), new Map(others.map(wish).map((each) => [each.id, each])))
  return after === undefined ? undefined : validateTopology(after)
}

function addresses(topology: Topology | undefined): string[] | undefined {
  return topology?.members.map(({ id, address }) => `${id}@${address.split(':')[0]}`)
}

test('an address changes by its own wish only, and to no address of one that stays', () => {
  expect(addresses(asked('n2>x'))).toEqual(['n1@n1', 'n2@x', 'n3@n3', 'n4@n4', 'n5@n5'])
  expect(asked('n2>n3')).toBeUndefined()
  expect(asked('n2>n3', 'n4>x')).toBeUndefined()
  expect(asked('n2>n2')).toBeUndefined()
  const { incarnation } = five.members[0]!
  expect(readdressed(five, { ...wish('n2>x'), incarnation })).toBeUndefined()
  expect(readdressed(five, { ...wish('n2>x'), id: 'n9' as NodeId })).toBeUndefined()
})

test('those who have changed places are changed at once, and nobody else', () => {
  expect(addresses(asked('n1>n2', 'n2>n1', 'n5>x'))).toEqual(['n1@n2', 'n2@n1', 'n3@n3', 'n4@n4', 'n5@n5'])
  expect(addresses(asked('n1>n2', 'n3>n1', 'n2>n3'))).toEqual(['n1@n2', 'n2@n3', 'n3@n1', 'n4@n4', 'n5@n5'])
  expect(addresses(asked('n1>n2', 'n2>x'))).toEqual(['n1@n2', 'n2@x', 'n3@n3', 'n4@n4', 'n5@n5'])
})

test('of two who want to be in one place none is put there, and a circle that one of them waits for is changed without it', () => {
  expect(asked('n1>n2', 'n2>n3', 'n3>n2')).toBeUndefined()
  expect(addresses(asked('n2>n3', 'n1>n2', 'n3>n2'))).toEqual(['n1@n1', 'n2@n3', 'n3@n2', 'n4@n4', 'n5@n5'])
})

test('whatever is wished, everybody has an address of their own, and whoever was moved is where it wished to be (property)', () => {
  const where = fc.constantFrom('n1', 'n2', 'n3', 'n4', 'n5', 'x', 'y')
  fc.assert(
    fc.property(fc.array(where, { minLength: 5, maxLength: 5 }), (wanted) => {
      const wishes = wanted.map((target, i) => wish(`n${i + 1}>${target}`))
      const after = readdressed(five, wishes[0]!, new Map(wishes.map((each) => [each.id, each])))
      if (after === undefined) return
      validateTopology(after)
      expect(new Set(after.members.map(({ address }) => address)).size).toBe(5)
      for (const [i, { address }] of after.members.entries()) {
        expect([five.members[i]!.address, wishes[i]!.address]).toContain(address)
      }
      expect(after.members[0]!.address).toBe(wishes[0]!.address)
    }),
  )
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Address, Incarnation, NodeId } from '../../base/index.js'
import { softwareLevels } from '../../slots/index.js'
import type { Founder } from '../links/handshake.js'
import { Formation } from './formation.js'

function founder(i: number): Founder {
  const incarnation = i.toString(16).padStart(32, '0') as Incarnation
  return {
    id: `n${i}` as NodeId,
    incarnation,
    address: `host${i}:1` as Address,
    zone: '',
    weight: 1,
    levels: softwareLevels,
    authenticates: false,
  }
}

const at = (i: number): Address => `host${i}:1` as Address

/** Nodes that exchange hellos with everyone they dial, a step at a time, in the order that `pick` says. */
function play(named: readonly (readonly number[])[], pick: (choices: number) => number, steps: number) {
  const nodes = named.map((list, i) => new Formation(founder(i), list.map(at)))
  const founded: number[] = []
  for (let step = 0; step < steps; step++) {
    const caller = pick(nodes.length)
    const addresses = nodes[caller]!.addresses
    if (addresses.length === 0) continue
    const address = addresses[pick(addresses.length)]!
    const callee = nodes.findIndex((_, i) => at(i) === address)
    const [a, b] = [nodes[caller]!, nodes[callee]!]
    const greeting = a.view()
    b.heard(founder(caller), greeting)
    a.heard(founder(callee), b.view(), address)
    for (const i of [caller, callee]) if (nodes[i]!.verdict() === 'found' && !founded.includes(i)) founded.push(i)
  }
  return { nodes, founded }
}

test('a node to which nobody was named founds alone, also when it was named to itself', () => {
  expect(new Formation(founder(1), []).verdict()).toBe('found')
  expect(new Formation(founder(1), [at(1)]).verdict()).toBe('found')
  const aliased = new Formation(founder(1), ['localhost:1' as Address])
  expect(aliased.verdict()).toBe('wait')
  aliased.isSelf('localhost:1' as Address)
  expect(aliased.verdict()).toBe('found')
})

test('nobody founds while an address that was named has not answered', () => {
  const node = new Formation(founder(0), [at(1), at(2)])
  node.heard(founder(1), { met: [founder(0), founder(1)], unmet: [] }, at(1))
  expect(node.verdict()).toBe('wait')
})

test('the same list given to all: exactly one node founds, the lowest, with all as members', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 5 }), fc.infiniteStream(fc.nat(1_000)), (count, stream) => {
      const choices = stream[Symbol.iterator]()
      const list = Array.from({ length: count }, (_, i) => i)
      const pick = (n: number): number => (choices.next().value as number) % n
      const { nodes, founded } = play(
        list.map(() => list),
        pick,
        400,
      )
      expect(founded).toEqual([0])
      expect(nodes[0]!.members().map(({ id, number }) => [id, number])).toEqual(list.map((i) => [`n${i}`, i + 1]))
    }),
    { numRuns: 100 },
  )
})

test('lists that name each other in a chain still end in one cluster', () => {
  let seed = 7
  const pick = (n: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    return (seed >>> 8) % n
  }
  // 1 names 0, 2 names 1, 3 names 2; 0 names nobody but is not started with an empty list.
  const { founded, nodes } = play([[1], [0], [1], [2]], pick, 2_000)
  expect(founded).toEqual([0])
  expect(nodes[3]!.view().met).toHaveLength(4)
})

test('a node that forgot who it was while the cluster forms is met anew', () => {
  const node = new Formation(founder(0), [at(1)])
  node.heard(founder(1), { met: [founder(0), founder(1)], unmet: [] }, at(1))
  expect(node.verdict()).toBe('found')
  const reborn = { ...founder(1), incarnation: 'f'.repeat(32) as Incarnation }
  node.heard(reborn, { met: [reborn], unmet: [at(0)] }, at(1))
  expect(node.verdict()).toBe('wait')
  node.heard(reborn, { met: [founder(0), reborn], unmet: [] }, at(1))
  expect(node.verdict()).toBe('found')
  expect(node.members()[1]!.incarnation).toBe(reborn.incarnation)
})

test('a wrong address goes when the one node to which it was named comes again without it', () => {
  const typo = 'nowhere:1' as Address
  const node = new Formation(founder(0), [at(1)])
  node.heard(founder(1), { met: [founder(0), founder(1)], unmet: [typo] }, at(1))
  expect(node.verdict()).toBe('wait')
  expect(node.missing).toEqual([typo])
  expect(node.view().unmet).toEqual([])
  node.heard(founder(1), { met: [founder(0), founder(1)], unmet: [] }, at(1))
  expect(node.verdict()).toBe('found')
})

test('whoever answers at an address takes the place of who did before', () => {
  const node = new Formation(founder(0), [at(1)])
  node.heard(founder(1), { met: [founder(0), founder(1)], unmet: [] }, at(1))
  const other = { ...founder(7), address: at(1) }
  node.heard(other, { met: [founder(0), other], unmet: [] }, at(1))
  expect(node.view().met.map(({ id }) => id)).toEqual(['n0', 'n7'])
})

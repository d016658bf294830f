import { describe, expect, test } from 'vitest'
import type { ClusterId, Epoch, Incarnation, NodeId } from '../../base/index.js'
import { parseNodeId } from '../../base/index.js'
import { atRest, type Member, type Topology } from '../../slots/index.js'
import { begun, requested } from './changes.js'
import { isGoing, objectionToRemoval } from './replaceable.js'

function memberOf(number: number, state: Member['state'] = 'serving'): Member {
  const id = parseNodeId(`n${number}`)
  const incarnation = String(number).padStart(32, '0') as Incarnation
  const fixed = { zone: '', weight: 1, since: 1 as Epoch, levels: { min: 1, max: 1 }, authenticates: false }
  return { ...fixed, id, incarnation, number, address: `${id}:1` as Member['address'], state }
}

function topologyOf(members: readonly Member[]): Topology {
  const replication = { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 }
  const fixed = { ...atRest, clusterId: 'c'.repeat(32) as ClusterId, replication, virtualNodes: 50 }
  return { ...fixed, epoch: 5 as Epoch, members, nextNumber: 20 }
}

function cluster(count: number): Topology {
  return topologyOf(Array.from({ length: count }, (_, i) => memberOf(i + 1)))
}

function objection(topology: Topology, dead: string, ...alsoDown: string[]): string | undefined {
  const member = topology.members.find(({ id }) => id === dead)!
  return objectionToRemoval(topology, member, (id) => id !== dead && !alsoDown.includes(id))
}

describe('a dead member', () => {
  test('may be removed where as many are left alive as a key has copies', () => {
    expect(objection(cluster(4), 'n2')).toBeUndefined()
    expect(objection(cluster(3), 'n2')).toMatch(/^2 members would be left alive, and every key is kept by 3/)
    expect(objection(cluster(4), 'n2', 'n3')).toMatch(/^2 members would be left alive/)
  })

  test('may not be removed where slots of it would have no read quorum to be made whole from', () => {
    expect(objection(cluster(6), 'n2', 'n3')).toMatch(/^of \d+ of its slots fewer than 2 other owners are alive/)
  })

  test('may be removed in spite of another one that shares no slot with it', () => {
    // In two zones and a third one, a slot has one owner in each: those of one zone share none.
    const zoned = cluster(6).members.map((member, i) => ({ ...member, zone: `z${i % 3}` }))
    expect(objection(topologyOf(zoned), 'n1', 'n4')).toBeUndefined()
    expect(objection(topologyOf(zoned), 'n1', 'n5')).toMatch(/^of \d+ of its slots/)
  })

  test('is not made up for by who owns nothing yet, nor by who is going', () => {
    expect(objection(topologyOf([...cluster(3).members, memberOf(4, 'joining')]), 'n2')).toMatch(/^2 members/)
    expect(objection(topologyOf([...cluster(3).members, memberOf(4, 'arrived')]), 'n2')).toBeUndefined()
    const planned = requested(cluster(4), { kind: 'decommission', id: parseNodeId('n4') })!
    expect(objection(planned, 'n2')).toMatch(/^2 members/)
  })

  test('that joins holds nothing, and may go wherever enough are alive', () => {
    expect(objection(topologyOf([...cluster(3).members, memberOf(4, 'joining')]), 'n4')).toBeUndefined()
  })
})

test('a member is going from the plan to the end', () => {
  const all = (): true => true
  const going = (topology: Topology): NodeId[] =>
    topology.members.filter((member) => isGoing(topology, member)).map(({ id }) => id)
  const calm = cluster(5)
  expect(going(calm)).toEqual([])
  const heavier = requested(calm, { kind: 'reweight', id: parseNodeId('n1'), weight: 2 })!
  expect(going(heavier)).toEqual([])
  const planned = requested(calm, { kind: 'remove', id: parseNodeId('n3') })!
  expect(going(planned)).toEqual(['n3'])
  expect(going(begun(planned, all)!)).toEqual(['n3'])
})

import { expect, test } from 'vitest'
import type { Address, ClusterId, Epoch, Incarnation, NodeId } from '../../base/index.js'
import { atRest, softwareLevels, type Topology } from '../../slots/index.js'
import { Belonging } from './belonging.js'

function topologyOf(size: number): Topology {
  const members = Array.from({ length: size }, (_, i) => ({
    id: `n${i + 1}` as NodeId,
    incarnation: String(i).repeat(32) as Incarnation,
    address: address(i + 1),
    zone: '',
    weight: 1,
    number: i + 1,
    since: 1 as Epoch,
    state: 'serving' as const,
    levels: softwareLevels,
    authenticates: false,
  }))
  const replication = { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 }
  return {
    clusterId: 'c'.repeat(32) as ClusterId,
    epoch: 1 as Epoch,
    replication,
    virtualNodes: 150,
    members,
    nextNumber: size + 1,
    ...atRest,
  }
}

function address(number: number): Address {
  return `n${number}:1` as Address
}

const foreign = { code: 'cluster', message: 'it belongs to another' }

/** How many other members must be strangers until n1 of `size` members ends; undefined: it does not. */
function strangersUntilTheEnd(size: number): number | undefined {
  const belonging = new Belonging('n1' as NodeId)
  for (let other = 2; other <= size; other++) {
    // The same one again is no second one.
    for (let time = 0; time < 3; time++) {
      const error = belonging.refused(address(other), foreign, topologyOf(size))
      if (error !== undefined) return other - 1
    }
  }
  return undefined
}

test('a member ends when a majority belongs elsewhere, of two when the other does', () => {
  expect([2, 3, 4, 5].map(strangersUntilTheEnd)).toEqual([1, 2, 3, 3])
})

test('a member that another has welcomed does not end, whoever refuses it', () => {
  const belonging = new Belonging('n1' as NodeId)
  expect(belonging.refused(address(2), foreign, topologyOf(3))).toBeUndefined()
  belonging.welcomed()
  for (const other of [2, 3]) expect(belonging.refused(address(other), foreign, topologyOf(3))).toBeUndefined()
})

test('only members count, and only another cluster', () => {
  const belonging = new Belonging('n1' as NodeId)
  belonging.refused(address(2), foreign, topologyOf(3))
  expect(belonging.refused(address(9), foreign, topologyOf(3))).toBeUndefined()
  const drifted = { code: 'clock', message: 'an hour ahead' }
  expect(belonging.refused(address(3), drifted, topologyOf(3))).toBeUndefined()
  expect(belonging.refused(address(3), foreign, topologyOf(3))).toMatchObject({
    reason: 'refused',
    message: expect.stringContaining('n2:1 and n3:1'),
  })
})

test('a node without a cluster ends with the first that will not have it, but waits where that may change', () => {
  const belonging = new Belonging('n1' as NodeId)
  for (const code of ['settings', 'clock', 'wait']) {
    expect(belonging.refused(address(2), { code, message: '' }, undefined)).toBeUndefined()
  }
  for (const code of ['protocol', 'id', 'cluster', 'settings-in-force', 'not-a-member', 'incarnation']) {
    expect(belonging.refused(address(2), { code, message: 'no' }, undefined)).toMatchObject({
      reason: 'refused',
      message: 'refused by the node at n2:1: no',
    })
  }
})

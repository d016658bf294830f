import { expect, test } from 'vitest'
import type { Address, ClusterId, Epoch, Incarnation, NodeId } from '../../base/index.js'
import { atRest, softwareLevels, type Topology } from '../../slots/index.js'
import { differingSettings } from './differing-settings.js'
import { helloOf, judgeHello, type LocalNode } from './handshake.js'

const nothingMet = { met: [], unmet: [] }

function node(id: string, digit: string): LocalNode {
  return {
    id: id as NodeId,
    incarnation: digit.repeat(32) as Incarnation,
    address: `${id}:1` as Address,
    zone: '',
    weight: 1,
    levels: softwareLevels,
    authenticates: false,
    life: `life-of-${id}`,
    replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    virtualNodes: 150,
  }
}

function cluster(digit: string, ...members: LocalNode[]): Topology {
  return {
    clusterId: digit.repeat(32) as ClusterId,
    epoch: 1 as Epoch,
    replication: members[0]!.replication,
    virtualNodes: 150,
    members: members.map(({ id, incarnation, address, zone, weight, levels, authenticates }, i) => {
      return {
        id,
        incarnation,
        address,
        zone,
        weight,
        levels,
        authenticates,
        number: i + 1,
        since: 1 as Epoch,
        state: 'serving' as const,
      }
    }),
    nextNumber: members.length + 1,
    ...atRest,
  }
}

const a = node('a', 'a')
const b = node('b', 'b')

test('a hello from a stranger is welcome while the cluster forms, with what it has met', () => {
  const verdict = judgeHello(a, undefined, helloOf(b, undefined, { met: [b], unmet: ['c:1' as Address] }))
  expect(verdict).toMatchObject({ kind: 'welcome', remote: { id: 'b', address: 'b:1' } })
  expect(verdict.kind === 'welcome' && verdict.view.unmet).toEqual(['c:1'])
})

test('a node recognises itself, and a copy of its data directory is refused', () => {
  expect(judgeHello(a, undefined, helloOf(a, undefined, nothingMet)).kind).toBe('self')
  const copy = { ...a, life: 'another life' }
  expect(judgeHello(a, undefined, helloOf(copy, undefined, nothingMet))).toMatchObject({ kind: 'refused', code: 'id' })
})

test('a member is welcome; a former member, another cluster and a former life are refused by name', () => {
  const ours = cluster('1', a, b)
  expect(judgeHello(a, ours, helloOf(b, ours, nothingMet)).kind).toBe('welcome')
  expect(judgeHello(a, ours, helloOf(b, undefined, nothingMet)).kind).toBe('welcome')
  const cases = [
    ['not-a-member', helloOf(node('c', 'c'), ours, nothingMet)],
    ['cluster', helloOf(b, cluster('2', a, b), nothingMet)],
    ['incarnation', helloOf({ ...b, incarnation: 'd'.repeat(32) as Incarnation }, ours, nothingMet)],
  ] as const
  for (const [code, hello] of cases) expect(judgeHello(a, ours, hello)).toMatchObject({ kind: 'refused', code })
})

test('a former member is told when it was removed, while that is remembered', () => {
  const former = {
    id: 'c' as NodeId,
    incarnation: 'c'.repeat(32) as Incarnation,
    epoch: 7 as Epoch,
    by: 'remove' as const,
  }
  const hello = helloOf(node('c', 'c'), cluster('1', a, b), nothingMet)
  const remembered = judgeHello(a, { ...cluster('1', a, b), removed: [former] }, hello)
  expect(remembered).toMatchObject({ message: expect.stringMatching(/^c .* was removed at epoch 7 of cluster 1111/) })
  expect(judgeHello(a, cluster('1', a, b), hello)).toMatchObject({ message: expect.stringMatching(/is no member/) })
})

test('a stranger without a cluster may join, with the settings of the cluster only', () => {
  const ours = cluster('1', a, b)
  const stranger = node('c', 'c')
  const joins = judgeHello(a, ours, helloOf(stranger, undefined, nothingMet))
  expect(joins).toMatchObject({ kind: 'joining', remote: { id: 'c', address: 'c:1' } })
  const other = helloOf({ ...stranger, virtualNodes: 10 }, undefined, nothingMet)
  expect(judgeHello(a, ours, other)).toMatchObject({
    kind: 'refused',
    code: 'settings-in-force',
    message: expect.stringMatching(/^--virtual-nodes is 10 at c and 150 at cluster 1111\w+$/),
  })
})

test('a member with an empty data directory may come back', () => {
  const ours = cluster('1', a, b)
  const wiped = { ...b, incarnation: 'd'.repeat(32) as Incarnation }
  expect(judgeHello(a, ours, helloOf(wiped, undefined, nothingMet))).toMatchObject({
    kind: 'returning',
    remote: { id: 'b', incarnation: wiped.incarnation },
  })
})

test('forming nodes with different replication settings do not meet; a running cluster goes by its topology', () => {
  const other = { ...b, replication: { replicationFactor: 5, readQuorum: 3, writeQuorum: 3 } }
  const verdict = judgeHello(a, undefined, helloOf(other, undefined, nothingMet))
  expect(verdict).toMatchObject({ kind: 'refused', code: 'settings' })
  const ours = cluster('1', a, b)
  expect(judgeHello(a, ours, helloOf(other, ours, nothingMet)).kind).toBe('welcome')
})

test('founders with and without authentication form no cluster, and either may be started anew', () => {
  const demanding = { ...a, authenticates: true }
  for (const [local, other] of [
    [demanding, b],
    [b, demanding],
  ] as const) {
    expect(judgeHello(local, undefined, helloOf(other, undefined, nothingMet))).toMatchObject({
      kind: 'refused',
      code: 'settings',
      message: 'a has an --auth-file and b has none: all founders of a cluster have one, or none has',
    })
  }
})

test('a cluster that demands authentication talks to no node that lets in anybody; while some members do, it does', () => {
  const demanding = { ...a, authenticates: true }
  const all = { ...cluster('1', demanding, { ...b, authenticates: true }), featureLevel: 2 }
  const hello = helloOf(b, undefined, nothingMet)
  for (const from of [hello, { ...hello, clusterId: all.clusterId }, helloOf(node('c', 'c'), undefined, nothingMet)]) {
    expect(judgeHello(demanding, all, from)).toMatchObject({ kind: 'refused', code: 'settings-in-force' })
  }
  const some = { ...cluster('1', demanding, b), featureLevel: 2 }
  expect(judgeHello(demanding, some, helloOf(b, some, nothingMet)).kind).toBe('welcome')
  expect(judgeHello(demanding, some, helloOf(node('c', 'c'), undefined, nothingMet)).kind).toBe('joining')
})

test.each([
  ['another feature level', { levelMin: 3, levelMax: 4 }],
  ['no feature level', { levelMin: 0, levelMax: 0 }],
  ['an id with a path in it', { nodeId: '../x' }],
  ['an incarnation that is none', { incarnation: 'xyz' }],
  ['an address without a port', { address: 'somewhere' }],
])('a hello with %s is refused', (_, change) => {
  const hello = { ...helloOf(b, undefined, nothingMet), ...change }
  expect(judgeHello(a, undefined, hello)).toMatchObject({ kind: 'refused', code: 'protocol' })
})

test('settings that differ from those of the founding are named, with what is in force', () => {
  const ours = cluster('1', a, b)
  expect(differingSettings(a, ours)).toEqual([])
  const changed = { ...a, weight: 9, virtualNodes: 10 }
  expect(differingSettings(changed, ours)).toEqual([
    { setting: 'virtualNodes', given: 10, inForce: 150 },
    { setting: 'weight', given: 9, inForce: 1 },
  ])
})

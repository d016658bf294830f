import { expect, test } from 'vitest'
import { type Incarnation, KvError, type NodeId } from '../base/index.js'
import {
  effectiveQuorums,
  type Handover,
  type Member,
  parseReplicationSettings,
  type RemovedMember,
  type RingShare,
  type Topology,
  validateTopology,
} from './index.js'
import { topologyOf } from './topology.test-support.js'

function fieldRefused(act: () => unknown): string | undefined {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(KvError)
    expect((error as KvError).code).toBe('invalid-argument')
    return (error as KvError).field
  }
  return undefined
}

const settings = (replicationFactor: number, readQuorum: number, writeQuorum: number) => {
  return { replicationFactor, readQuorum, writeQuorum }
}

test('quorums that meet are taken, all others are refused by name', () => {
  for (let n = 1; n <= 7; n++) {
    for (let r = 1; r <= n; r++) {
      for (let w = 1; w <= n; w++) {
        const refused = fieldRefused(() => parseReplicationSettings(settings(n, r, w)))
        expect(refused === undefined).toBe(r + w > n && 2 * w > n)
        if (refused !== undefined) expect(refused).toBe(2 * w <= n ? 'writeQuorum' : 'readQuorum')
      }
    }
  }
  expect(parseReplicationSettings(settings(3, 2, 2))).toEqual(settings(3, 2, 2))
})

test('settings out of range are refused by name', () => {
  for (const n of [0, 8, 2.5, Number.NaN, -1]) {
    expect(fieldRefused(() => parseReplicationSettings(settings(n, 1, 1)))).toBe('replicationFactor')
  }
  for (const q of [0, 4, 1.5, Number.NaN]) {
    expect(fieldRefused(() => parseReplicationSettings(settings(3, q, 2)))).toBe('readQuorum')
    expect(fieldRefused(() => parseReplicationSettings(settings(3, 2, q)))).toBe('writeQuorum')
  }
})

test('with fewer members than copies, quorums still meet each other', () => {
  for (let n = 1; n <= 7; n++) {
    for (let r = 1; r <= n; r++) {
      for (let w = 1; w <= n; w++) {
        if (r + w <= n || 2 * w <= n) continue
        for (let members = 1; members <= 9; members++) {
          const owners = Math.min(n, members)
          const { readQuorum, writeQuorum } = effectiveQuorums(settings(n, r, w), members)
          expect(readQuorum + writeQuorum).toBeGreaterThan(owners)
          expect(2 * writeQuorum).toBeGreaterThan(owners)
          expect(Math.max(readQuorum, writeQuorum)).toBeLessThanOrEqual(owners)
        }
      }
    }
  }
  expect(effectiveQuorums(settings(3, 2, 2), 1)).toEqual({ readQuorum: 1, writeQuorum: 1 })
  expect(effectiveQuorums(settings(3, 2, 2), 5)).toEqual({ readQuorum: 2, writeQuorum: 2 })
})

const good = topologyOf([{ id: 'a', zone: 'eu-1.b_2' }, { id: 'b' }, { id: 'c', weight: 1000 }])

function withMember(index: number, change: Partial<Member>): Topology {
  return { ...good, members: good.members.map((member, i) => (i === index ? { ...member, ...change } : member)) }
}

test('a sound topology is returned as it is', () => {
  expect(validateTopology(good)).toBe(good)
  expect(validateTopology(changing)).toBe(changing)
})

const id = (name: string): NodeId => name as NodeId
const ring: RingShare[] = [
  { id: id('b'), weight: 1 },
  { id: id('c'), weight: 2 },
]
const handover: Handover = { step: 'both', since: 1 as Topology['epoch'], ring, changes: [] }
const former: RemovedMember = {
  id: id('x'),
  incarnation: 'd'.repeat(32) as Incarnation,
  epoch: 1 as Topology['epoch'],
  by: 'remove',
}

/** `a` leaves and `b` joins. */
const changing: Topology = {
  ...good,
  members: good.members.map((member, i) => ({ ...member, state: (['leaving', 'joining', 'serving'] as const)[i]! })),
  handover,
  planned: [{ kind: 'reweight', id: id('c'), weight: 3 }],
  removed: [former],
}

function unsoundChanges(): [string, Topology][] {
  const change = (altered: Partial<Handover>): Topology => ({ ...changing, handover: { ...handover, ...altered } })
  const joining = good.members.map((member): Member => ({ ...member, state: 'joining' }))
  return [
    ['members.state', { ...good, members: joining }],
    ['members.state', { ...good, members: good.members.map((member): Member => ({ ...member, state: 'arrived' })) }],
    ['members.state', withMember(0, { state: 'leaving' })],
    ['members.state', { ...changing, handover: undefined }],
    ['members.state', change({ ring: ring.slice(0, 1) })],
    ['members.state', change({ ring: [{ id: id('a'), weight: 1 }, ...ring] })],
    ['members.state', { ...changing, members: [{ ...changing.members[0]!, state: 'left' }, ...joining.slice(1)] }],
    ['handover.since', change({ since: 2 as Topology['epoch'] })],
    ['handover.ring.length', change({ ring: [...ring, ...ring] })],
    ['handover.ring', change({ ring: [...ring].reverse() })],
    ['handover.ring', change({ ring: [...ring, { id: id('d'), weight: 1 }] })],
    ['handover.ring.weight', change({ ring: [ring[0]!, { ...ring[1]!, weight: 0 }] })],
    ['handover.changes.weight', change({ changes: [{ kind: 'reweight', id: id('c'), weight: 0 }] })],
    ['planned.length', { ...changing, planned: Array.from({ length: 65 }, () => changing.planned[0]!) }],
    ['planned.by', { ...changing, planned: [{ kind: 'replace', id: id('a'), by: id('a') }] }],
    ['removed.length', { ...changing, removed: Array.from({ length: 257 }, () => former) }],
    ['removed.epoch', { ...changing, removed: [{ ...former, epoch: 2 as Topology['epoch'] }] }],
    ['removed.incarnation', { ...changing, removed: [{ ...former, incarnation: good.members[2]!.incarnation }] }],
  ]
}

test('each unsound part of a topology is refused by name', () => {
  const [a, b, c] = good.members as [Member, Member, Member]
  const unsound: [string, Topology][] = [
    ['epoch', { ...good, epoch: 0 as Topology['epoch'] }],
    ['writeQuorum', { ...good, replication: settings(3, 3, 1) }],
    ['virtualNodes', { ...good, virtualNodes: 0 }],
    ['virtualNodes', { ...good, virtualNodes: 1001 }],
    ['members.length', { ...good, members: [] }],
    ['members', { ...good, members: [b, a, c] }],
    ['members', { ...good, members: [a, b, { ...c, id: b.id }] }],
    ['members.number', withMember(0, { number: 0 })],
    ['members.number', withMember(0, { number: 2 ** 32 })],
    ['members.number', withMember(2, { number: b.number })],
    ['members.incarnation', withMember(2, { incarnation: a.incarnation })],
    ['members.number', withMember(2, { number: good.nextNumber })],
    ['nextNumber', { ...good, nextNumber: 2 ** 32 }],
    ['members.since', withMember(0, { since: 0 as Topology['epoch'] })],
    ['members.since', withMember(0, { since: 2 as Topology['epoch'] })],
    ['members.weight', withMember(1, { weight: 0 })],
    ['members.weight', withMember(1, { weight: 1001 })],
    ['members.weight', withMember(1, { weight: 1.5 })],
    ['members.zone', withMember(1, { zone: 'a b' })],
    ['members.zone', withMember(1, { zone: 'z'.repeat(64) })],
  ]
  unsound.push(...unsoundChanges())
  for (const [field, topology] of unsound) expect(fieldRefused(() => validateTopology(topology))).toBe(field)
  const many = Array.from({ length: 257 }, (_, i) => ({ id: `n${i}` }))
  expect(fieldRefused(() => validateTopology(topologyOf(many)))).toBe('members.length')
})

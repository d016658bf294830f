import { type MemberState, type PlannedKind, Topology as TopologyMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { expect, test } from 'vitest'
import type { Epoch, Incarnation, NodeId } from '../../base/index.js'
import type { PlannedChange, Topology } from '../../slots/index.js'
import { topologyOf } from '../../slots/topology.test-support.js'
import { decodeTopology, encodeTopology, topologyToMessage } from './topology-codec.js'

const id = (name: string): NodeId => name as NodeId
const changes: PlannedChange[] = [
  { kind: 'decommission', id: id('n1') },
  { kind: 'remove', id: id('n1') },
  { kind: 'reweight', id: id('n2'), weight: 7 },
  { kind: 'replace', id: id('n1'), by: id('n4') },
]

const sketches = [
  { id: 'n1', state: 'leaving' as const, zone: 'z' },
  { id: 'n2', weight: 3 },
  { id: 'n3', state: 'left' as const },
  { id: 'n4', state: 'joining' as const },
  { id: 'n5', state: 'arrived' as const },
]

function changing(step: 'both' | 'switch'): Topology {
  const ring = [
    { id: id('n2'), weight: 3 },
    { id: id('n4'), weight: 2 },
    { id: id('n5'), weight: 1 },
  ]
  const former = { id: id('n0'), incarnation: 'e'.repeat(32) as Incarnation, epoch: 3 as Epoch }
  return {
    ...topologyOf(sketches),
    epoch: 5 as Epoch,
    handover: { step, since: 4 as Epoch, ring, changes },
    planned: changes,
    removed: [
      { ...former, by: 'remove' },
      { ...former, by: 'decommission' },
      { ...former, by: 'replace' },
    ],
  }
}

test('a topology comes back as it was, at rest and while it changes', () => {
  for (const topology of [topologyOf(sketches.slice(1)), changing('both'), changing('switch')]) {
    expect(decodeTopology(encodeTopology(topology))).toEqual(topology)
  }
})

test('what a later version may have written is refused by name, and not guessed', () => {
  const message = topologyToMessage(changing('both'))
  const unknown: [string, Partial<TopologyMessage>][] = [
    ['members.state', { members: message.members.map((member) => ({ ...member, state: 9 as MemberState })) }],
    ['handover.step', { handover: { ...message.handover!, step: 0 } }],
    ['planned.kind', { planned: [{ ...message.planned[0]!, kind: 9 as PlannedKind }] }],
    ['planned.by', { planned: [{ ...message.planned[3]!, by: 'NO ID' }] }],
    ['removed.by', { removed: [{ ...message.removed[0]!, by: 3 }] }],
  ]
  for (const [field, change] of unknown) {
    const bytes = TopologyMessage.encode({ ...message, ...change }).finish()
    expect(() => decodeTopology(bytes)).toThrowError(expect.objectContaining({ field }))
  }
})

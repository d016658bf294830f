import { expect, test } from 'vitest'
import { type Epoch, NodeEvents } from '../../base/index.js'
import type { Topology } from '../../slots/index.js'
import { topologyOf } from '../../slots/topology.test-support.js'
import { tellOfChange } from './topology-events.js'

function told(newer: Topology, before: Topology): string[] {
  const events = new NodeEvents(() => 0)
  tellOfChange(events, newer, before)
  return events.after(0).map(({ kind, subject }) => `${kind} ${subject}`.trim())
}

const two = topologyOf([{ id: 'a' }, { id: 'b' }])
const later = (topology: Topology, change: Partial<Topology>): Topology => {
  return { ...topology, epoch: (topology.epoch + 1) as Epoch, ...change }
}

test('who comes and who goes is told, by the number of its life', () => {
  const three = topologyOf([{ id: 'a' }, { id: 'b' }, { id: 'c' }])
  expect(told(later(three, {}), two)).toEqual(['epoch', 'joined c'])
  expect(told(later(two, {}), three)).toEqual(['epoch', 'left c'])
  const reborn = two.members.map((member) => (member.id === 'b' ? { ...member, number: 9 } : member))
  expect(told(later(two, { members: reborn }), two)).toEqual(['epoch', 'joined b', 'left b'])
})

test('each step of a handover is told once', () => {
  const handover = { since: 2 as Epoch, step: 'both', ring: [], changes: [] } as unknown as Topology['handover']
  const begun = later(two, { handover })
  const other = later(begun, {})
  const switched = later(other, { handover: { ...handover!, step: 'switch' } })
  expect(told(begun, two)).toEqual(['epoch', 'handover'])
  expect(told(other, begun)).toEqual(['epoch'])
  expect(told(switched, other)).toEqual(['epoch', 'handover'])
  expect(told(later(switched, { handover: undefined }), switched)).toEqual(['epoch', 'handover'])
})

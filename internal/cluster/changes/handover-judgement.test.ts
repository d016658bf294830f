import { expect, test } from 'vitest'
import type { Epoch, Incarnation, NodeId } from '../../base/index.js'
import { incomingSlots, slotTables, softwareLevels, type Topology } from '../../slots/index.js'
import { topologyOf } from '../../slots/topology.test-support.js'
import { begun, joined, requested, returned, switched } from './changes.js'
import { HandoverJudgement, type HandoverReport } from './handover-judgement.js'

const founder = {
  id: 'n4' as NodeId,
  incarnation: 'f'.repeat(32) as Incarnation,
  address: 'n4:1' as never,
  zone: '',
  weight: 1,
  levels: softwareLevels,
  authenticates: false,
}

/** n4 joins n1, n2 and n3. */
function both(readQuorum = 2): Topology {
  const three = topologyOf(['n1', 'n2', 'n3'].map((id) => ({ id })))
  const replication = { replicationFactor: 3, readQuorum, writeQuorum: 2 }
  return begun(joined({ ...three, replication }, founder)!, () => true)!
}

function report(topology: Topology, name: string, change: Partial<HandoverReport> = {}): HandoverReport {
  const member = topology.members.findIndex(({ id }) => id === name)
  const slots = incomingSlots(topology, slotTables(topology), member).length
  const { id, incarnation } = topology.members[member]!
  const { since } = topology.handover!
  const figures = { bytes: 0, remainingBytes: undefined, remainingMs: undefined }
  return { id, incarnation, since, slots, done: slots, ...figures, switched: false, obstacle: '', ...change }
}

function reports(...given: HandoverReport[]): Map<NodeId, HandoverReport> {
  return new Map(given.map((each) => [each.id, each]))
}

test('nobody is read from the next owners before all that come to them are there', () => {
  const topology = both()
  const judgement = new HandoverJudgement(topology)
  const whole = report(topology, 'n4')
  expect(whole.slots).toBeGreaterThan(1000)
  expect(judgement.lacking(reports())).toEqual(['n4'])
  expect(judgement.lacking(reports({ ...whole, done: whole.slots - 1 }))).toEqual(['n4'])
  expect(judgement.lacking(reports({ ...whole, slots: 0, done: 0 }))).toEqual(['n4'])
  expect(judgement.lacking(reports(whole))).toEqual([])
})

test('a report of another handover, or of a former incarnation, says nothing', () => {
  const topology = both()
  const whole = report(topology, 'n4')
  const another = (topology.handover!.since + 1) as Epoch
  expect(new HandoverJudgement(topology).lacking(reports({ ...whole, since: another }))).toEqual(['n4'])
  const after = returned(topology, { ...founder, incarnation: 'e'.repeat(32) as Incarnation }, founder.incarnation)!
  expect(new HandoverJudgement(after).lacking(reports(whole))).toEqual(['n4'])
  expect(new HandoverJudgement(after).lacking(reports(report(after, 'n4')))).toEqual([])
})

test.each([
  [2, 2],
  [3, 1],
  [1, 3],
])('with reads of %i, it ends when %i former owners of every moved slot have switched', (readQuorum, needed) => {
  const topology = switched(both(readQuorum), both(readQuorum).epoch)!
  const judgement = new HandoverJudgement(topology)
  const said = ['n1', 'n2', 'n3'].map((name) => report(topology, name, { switched: true }))
  for (let n = 0; n <= 3; n++) {
    const waitsFor = judgement.unswitched(reports(...said.slice(0, n), report(topology, 'n4', { switched: true })))
    expect(waitsFor).toEqual(n >= needed ? [] : ['n1', 'n2', 'n3'].slice(n))
  }
})

test('who goes is one of the former owners, and need not be among those who have switched', () => {
  const four = topologyOf(['n1', 'n2', 'n3', 'n4'].map((id) => ({ id })))
  const leaving = begun(requested(four, { kind: 'decommission', id: 'n4' as NodeId })!, () => true)!
  const topology = switched(leaving, leaving.epoch)!
  const judgement = new HandoverJudgement(topology)
  const said = ['n1', 'n2', 'n3'].map((name) => report(topology, name, { switched: true }))
  expect(judgement.unswitched(reports(...said))).toEqual([])
  // Of the slots of n4 and two others, one of those has not: only one of three is left that counts.
  expect(judgement.unswitched(reports(...said.slice(0, 2)))).toEqual(['n3', 'n4'])
})

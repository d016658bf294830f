import { describe, expect, it } from 'vitest'
import { applyDelta, deltaOf } from './delta.js'
import { healthOf } from './health.js'
import type { ClusterView, EventView } from './view.js'
import { clusterOf, nodeOf } from './view.test-support.js'

function viewOf(numbers: readonly number[], more: Partial<ClusterView> = {}): ClusterView {
  const observed = clusterOf(numbers.map((number) => nodeOf(number)))
  return { ...observed, health: healthOf(observed), ...more }
}

const event = (id: number): EventView => ({ id, atMs: id, kind: 'alive', subject: 'n1', text: 't', seenBy: ['n1'] })

describe('deltas', () => {
  it('of two views that say the same hold the time only', () => {
    expect(deltaOf(viewOf([1, 2]), viewOf([1, 2], { atMs: 7 }))).toEqual({ atMs: 7 })
  })

  it('lead from one view to the next', () => {
    const before = viewOf([1, 2, 3], { events: [event(1), event(2)] })
    const after = viewOf([1, 3, 4], { atMs: 8, events: [before.events[0]!, { ...event(2), text: 'new' }, event(3)] })
    const delta = deltaOf(before, after)
    expect(delta.nodes).toMatchObject({ n2: null, n4: { member: { number: 4 } } })
    expect(delta.events?.map(({ id }) => id)).toEqual([2, 3])
    expect(applyDelta(before, JSON.parse(JSON.stringify(delta)))).toEqual(after)
  })

  it('hold only the parts of a member that have changed, and leave the others the same objects', () => {
    const before = viewOf([1, 2])
    const n2 = { ...before.nodes['n2']!, telling: { ok: false, obstacle: 'refused' } }
    const after = { ...before, nodes: { ...before.nodes, n2 } }
    const delta = deltaOf(before, after)
    expect(delta).toEqual({ atMs: before.atMs, nodes: { n2: { telling: n2.telling } } })
    const applied = applyDelta(before, delta)
    expect(applied.nodes['n1']).toBe(before.nodes['n1'])
    expect(applied.nodes['n2']!.process).toBe(before.nodes['n2']!.process)
    expect(applied.ring).toBe(before.ring)
  })

  it('tell that a handover has ended', () => {
    const handover = { since: 1, step: 'both' as const, purpose: '', waitsFor: [], reports: [] }
    const delta = deltaOf(viewOf([1], { handover }), viewOf([1]))
    expect(applyDelta(viewOf([1], { handover }), JSON.parse(JSON.stringify(delta))).handover).toBeNull()
  })
})

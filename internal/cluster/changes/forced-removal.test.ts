import { expect, test } from 'vitest'
import type { NodeId } from '../../base/index.js'
import type { Topology } from '../../slots/index.js'
import { topologyOf } from '../../slots/topology.test-support.js'
import { forcedRemoval, upheavalOf } from './forced-removal.js'
import { farewell } from './objections.js'

const five = topologyOf(['n1', 'n2', 'n3', 'n4', 'n5'].map((id) => ({ id })))

function forcedWithout(gone: readonly string[], random: number): Topology {
  const ids = gone as readonly NodeId[]
  return forcedRemoval(five, { ids, epoch: five.epoch }, (id) => !gone.includes(id), random).topology
}

test('the same removal that two survivors have forced at once is followed by both: the higher epoch wins', () => {
  const [low, high] = [forcedWithout(['n3', 'n4', 'n5'], 0.1), forcedWithout(['n3', 'n4', 'n5'], 0.9)]
  expect(upheavalOf(five, low, 'n1' as NodeId)!.incoming.length).toBeGreaterThan(0)
  expect(upheavalOf(low, high, 'n1' as NodeId)).toBeUndefined()
  expect(upheavalOf(high, low, 'n1' as NodeId)).toBeUndefined()
})

test('another removal from the same epoch, or one after which more has happened, cannot be followed', () => {
  const [low, other] = [forcedWithout(['n3', 'n4', 'n5'], 0.1), forcedWithout(['n2', 'n4', 'n5'], 0.9)]
  const later = { ...low, epoch: (low.epoch + 1) as Topology['epoch'] }
  const high = forcedWithout(['n3', 'n4', 'n5'], 0.9)
  for (const [before, after] of [
    [low, other],
    [later, high],
  ] as const) {
    expect(() => upheavalOf(before, after, 'n1' as NodeId)).toThrowError(/cannot tell what its copies are worth/)
  }
})

test('who was removed by force is not told that nothing of it is needed', () => {
  const after = forcedWithout(['n3', 'n4', 'n5'], 0)
  expect(farewell(after.removed[0]!, after)).toMatch(/by force: what only the removed .* Keep its data directory/)
  expect(farewell({ ...after.removed[0]!, epoch: five.epoch }, after)).toMatch(
    /Nothing in its data directory is needed/,
  )
})

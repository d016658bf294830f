import { expect, test } from 'vitest'
import { FakeCluster } from '../session/fake-server.test-support.js'
import { hashOf, TopologyView } from './topology.js'

const response = async (): Promise<ReturnType<FakeCluster['topology']>> => {
  const cluster = await FakeCluster.start(3)
  cluster.stop()
  return cluster.topology()
}

test('the owners of every slot are those of the table, in order', async () => {
  const view = TopologyView.from(await response(), 'n')!
  for (let slot = 0; slot < 4096; slot++) {
    expect(view.owners(slot).map(({ number }) => number - 1)).toEqual([slot % 3, (slot + 1) % 3, (slot + 2) % 3])
  }
})

test('the slot follows from the number of slots', async () => {
  const full = await response()
  const key = new TextEncoder().encode('user:1')
  expect(TopologyView.from(full, 'n')!.slotOf(hashOf(key))).toBe(hashOf(key) >>> 20)
  const few = { ...full, slots: 2, owners: full.owners.subarray(0, 12) }
  expect(TopologyView.from(few, 'n')!.slotOf(hashOf(key))).toBe(hashOf(key) >>> 31)
})

test('a node without a topology has none to give', async () => {
  expect(TopologyView.from({ ...(await response()), epoch: 0n }, 'n')).toBeUndefined()
  expect(TopologyView.from({ ...(await response()), members: [] }, 'n')).toBeUndefined()
})

test.each([
  ['slots that are no power of two', { slots: 4095 }],
  ['no slots', { slots: 0 }],
  ['more slots than can be', { slots: 2 ** 20 }],
  ['no owners', { ownersPerSlot: 0 }],
  ['more owners than members', { ownersPerSlot: 4 }],
  ['a table that is too short', { owners: Buffer.alloc(4096 * 6 - 1) }],
  ['an owner that is no member', { owners: Buffer.alloc(4096 * 6, 3) }],
])('%s are refused as what cannot be right', async (_what, change) => {
  const full = await response()
  expect(() => TopologyView.from({ ...full, ...change }, 'node')).toThrow(expect.objectContaining({ code: 'internal' }))
})

test('a member without a proper address is refused', async () => {
  const full = await response()
  const members = full.members.map((member) => ({ ...member, address: 'nowhere' }))
  expect(() => TopologyView.from({ ...full, members }, 'node')).toThrow(/nowhere/)
})

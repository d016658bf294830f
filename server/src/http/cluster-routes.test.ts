import { describe, expect, it } from 'vitest'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import { startServices } from '../calls/services.test-support.js'
import { answer, testApp } from './app.test-support.js'

const emptyStore: NonNullable<FakeNode['store']> = {
  entries: 0,
  tombstones: 0,
  dataBytes: 0,
  tableBytes: 0,
  logBytes: 0,
  logSegments: 1,
  logAppendedBytes: 0,
  lastSequence: 0,
  snapshotSequence: 0,
  readOnly: false,
  lostSlots: 0,
  rottenFiles: 0,
  scrubbedBytes: 0,
}

/** A fake node with one other member, at `address`. */
function nodeWith(address: string): FakeNode {
  const node = new FakeNode()
  const topology = fakeTopology(7)
  const [own] = topology.members
  const other = { ...own!, id: 'other', number: 2, address } as typeof own & object
  node.topology = { ...topology, members: [own!, other], nextNumber: 3 }
  node.useTables()
  return node
}

interface ToldCluster {
  readonly epoch: number
  readonly nodeId: string
  readonly members: readonly { readonly id: string; readonly slots: number; readonly figures: object | null }[]
  readonly slots: readonly (readonly string[])[]
}

async function told(node: FakeNode): Promise<ToldCluster> {
  return (await (await testApp(node).app.request('/cluster')).json()) as ToldCluster
}

describe('the cluster', () => {
  it('is told with the owners of every slot, and figures of those who tell them', async () => {
    const holder = new FakeNode()
    holder.store = { ...emptyStore, entries: 41, tombstones: 2, readOnly: true }
    await using other = await startServices(holder)
    const node = nodeWith(other.address)
    const { epoch, nodeId, members, slots } = await told(node)
    expect([epoch, nodeId, slots.length]).toEqual([7, 'fake', 4096])
    expect(new Set(slots.map((owners) => owners.toSorted().join()))).toEqual(new Set(['fake,other']))
    expect(members).toMatchObject([
      { id: 'fake', slots: 4096, liveness: 'alive', figures: null },
      { id: 'other', slots: 4096, liveness: 'alive', figures: { entries: 41, tombstones: 2, readOnly: true } },
    ])
  })

  it('is told without the figures of a member that does not answer', async () => {
    const { members } = await told(nodeWith('127.0.0.1:1'))
    expect(members.map(({ id, figures }) => [id, figures])).toEqual([
      ['fake', null],
      ['other', null],
    ])
  })

  it('is not known to a node that does not belong to one yet', async () => {
    for (const path of ['/cluster', '/routing_table', '/partition/k']) {
      const response = await testApp().app.request(path)
      expect([response.status, (await answer(response)).code]).toEqual([503, 'unavailable'])
    }
  })
})

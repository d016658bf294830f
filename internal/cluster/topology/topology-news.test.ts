import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { expect, test } from 'vitest'
import type { ClusterId, Epoch } from '../../base/index.js'
import type { PeerLink } from '../../replication/index.js'
import { atRest, type Topology } from '../../slots/index.js'
import { TopologyNews } from './topology-news.js'

const replication = { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 }
const fixed = {
  ...atRest,
  clusterId: 'c'.repeat(32) as ClusterId,
  replication,
  virtualNodes: 50,
  members: [],
  nextNumber: 1,
}

test('who is behind is handed a topology once on each link, and again where it asks for it', () => {
  const told: number[] = []
  const addControl = ({ topology }: Partial<PeerMessage>) => void told.push(Number(topology!.epoch))
  const link = { outbox: () => ({ addControl }) } as unknown as PeerLink
  const news = new TopologyNews()
  const current: Topology = { ...fixed, epoch: 5 as Epoch }
  const hear = (epoch: number, topologyWanted = false): void => {
    news.heard({ epoch, topologyWanted } as PeerMessage, current, link)
  }
  hear(4)
  hear(4)
  expect(told).toEqual([5])
  hear(4, true)
  expect(told).toEqual([5, 5])
  hear(5, true)
  hear(6, true)
  expect(told).toEqual([5, 5])
})

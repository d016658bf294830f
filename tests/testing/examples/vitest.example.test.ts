// With vitest (or jest: only the import differs).
import type { KvClient } from '@quorumkv/client'
import { type Cluster, startCluster } from '@quorumkv/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'

let cluster: Cluster
let client: KvClient

beforeAll(async () => {
  cluster = await startCluster({ nodes: 3 })
  client = cluster.client()
})

afterAll(() => cluster.close())

test('the program is told when there is no quorum, and goes on when there is one again', async () => {
  cluster.partition([[0], [1], [2]])
  await expect(client.put('order:1', 'paid', { timeoutMs: 300 })).rejects.toMatchObject({ name: 'KvError' })
  cluster.heal()
  await cluster.ready()
  await client.put('order:1', 'paid')
  expect(await client.get('order:1')).toBe('paid')
})

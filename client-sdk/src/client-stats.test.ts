import { expect, test } from 'vitest'
import type { NodeStats } from './index.js'
import { errorResult } from './session/fake-server.test-support.js'
import { rejection, until } from './session/sockets.test-support.js'
import { client, cluster, startThreeNodes } from './three-nodes.test-support.js'

startThreeNodes()

const nodeAt = (address: string): NodeStats => client.stats().nodes.find((node) => node.address === address)!

test('a client that has done nothing says so', () => {
  expect(client.stats()).toMatchObject({
    operations: 0,
    failed: 0,
    retries: 0,
    pending: 0,
    pendingBytes: 0,
    queued: 0,
    epoch: 0,
  })
  expect(client.stats().retryTokens).toBe(1000)
  expect(nodeAt(cluster.endpoints[0]!)).toEqual({
    address: cluster.endpoints[0],
    id: undefined,
    state: 'idle',
    inFlight: 0,
    queued: 0,
    sent: 0,
    failed: 0,
    latencyMs: undefined,
  })
})

test('what was sent to each node, what failed there and how long it took is told', async () => {
  await client.ready()
  const [first] = cluster.nodes
  const key = cluster.keyOf(first!)
  await client.put(key, 'v')
  expect(nodeAt(first!.address)).toMatchObject({ id: 'node-1', state: 'up', sent: 1, failed: 0, inFlight: 0 })
  const { latencyMs } = nodeAt(first!.address)
  expect(latencyMs).toBeGreaterThan(0)
  expect(latencyMs).toBeLessThan(1000)
  first!.fault = () => errorResult('OVERLOADED', 'NOT_APPLIED')
  await client.put(key, 'w')
  expect(nodeAt(first!.address)).toMatchObject({ sent: 2, failed: 1 })
  expect(client.stats()).toMatchObject({ operations: 2, failed: 0, retries: 1 })
  expect(client.stats().retryTokens).toBeLessThanOrEqual(1000)
})

test('attempts that are lost with their connection count as failed', async () => {
  await client.ready()
  const [first] = cluster.nodes
  const key = cluster.keyOf(first!)
  await client.put(key, 'v')
  first!.fault = () => 'break'
  await client.get(key)
  expect(nodeAt(first!.address)).toMatchObject({ sent: 2, failed: 1, state: 'down' })
})

test('what waits is told apart from what is under way', async () => {
  await client.ready()
  await client.put('k', 'v')
  for (const node of cluster.nodes) node.fault = () => 'silence'
  const reads = Array.from({ length: 5 }, (_, i) => rejection(client.get(`k${i}`, { timeoutMs: 400 })))
  expect(client.stats()).toMatchObject({ pending: 5, queued: 5 })
  await until(() => client.stats().queued === 0, 'all are sent')
  expect(client.stats().pending).toBe(5)
  expect(client.stats().pendingBytes).toBeGreaterThan(10)
  await Promise.all(reads)
  expect(client.stats()).toMatchObject({ pending: 0, pendingBytes: 0, queued: 0, failed: 5 })
})

test('an operation that was never answered does not stop the timing of others', async () => {
  await client.ready()
  const [first] = cluster.nodes
  const key = cluster.keyOf(first!)
  first!.fault = () => 'silence'
  await rejection(client.get(key, { timeoutMs: 50 }))
  expect(nodeAt(first!.address).latencyMs).toBeUndefined()
  first!.fault = () => undefined
  await client.get(key)
  expect(nodeAt(first!.address).latencyMs).toBeGreaterThan(0)
})

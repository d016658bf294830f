import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { KvClient } from '../index.js'
import { errorResult, FakeCluster } from '../session/fake-server.test-support.js'
import { rejection, until } from '../session/sockets.test-support.js'
import { client, cluster, startThreeNodes } from '../three-nodes.test-support.js'

startThreeNodes()

test('an operation goes to the first owner of its slot', async () => {
  await client.ready()
  const keys = Array.from({ length: 60 }, (_, i) => `key-${i}`)
  await Promise.all(keys.map((key) => client.put(key, 'v')))
  for (const node of cluster.nodes) {
    expect(node.operations.length).toBeGreaterThan(0)
    for (const { request } of node.operations) expect(cluster.ownerOf(String(request!.value.key))).toBe(node)
  }
})

test('one endpoint is enough: the other members are learned from it', async () => {
  const single = new KvClient([cluster.endpoints[0]!])
  await single.put(cluster.keyOf(cluster.nodes[1]!), 'before the topology is known')
  await single.ready()
  await single.put(cluster.keyOf(cluster.nodes[2]!), 'straight to its owner')
  expect(cluster.nodes[2]!.operations).toHaveLength(1)
  await single.close()
})

test('a member is reached under the address that the map gives for it', async () => {
  const [first, second, third] = cluster.nodes
  const mapped = new KvClient({ endpoints: [first!.address], addressMap: { [second!.address]: third!.address } })
  await mapped.ready()
  await mapped.put(cluster.keyOf(second!), 'v')
  expect(third!.operations).toHaveLength(1)
  await mapped.close()
})

test('the map of addresses may be a function, and one that fails is told and harms nothing', async () => {
  const [first, second, third] = cluster.nodes
  let failing = true
  const asked: string[] = []
  const addressMap = (address: string): string => {
    asked.push(address)
    if (failing) throw new Error('no such container')
    return address === second!.address ? third!.address : address
  }
  const mapped = new KvClient({ endpoints: [first!.address], addressMap })
  await mapped.put('k', 'by the endpoint alone')
  const error = await rejection(mapped.topology({ timeoutMs: 1000 }))
  expect(error.message).toContain('no such container')
  failing = false
  await mapped.ready()
  expect(new Set(asked)).toEqual(new Set(cluster.endpoints))
  const before = third!.operations.length
  await mapped.put(cluster.keyOf(second!), 'v')
  expect(third!.operations.length).toBe(before + 1)
  await mapped.close()
  const odd = new KvClient({ endpoints: [first!.address], addressMap: () => 'nowhere' })
  expect((await rejection(odd.topology({ timeoutMs: 1000 }))).message).toContain('addressMap: must be host:port')
  await odd.close()
})

test('reads at level one go to an owner in the own zone, and everything else to the first owner', async () => {
  cluster.zones = ['a', 'b', 'b']
  const near = new KvClient({ endpoints: cluster.endpoints, zone: 'b' })
  await near.ready()
  const [first, second, third] = cluster.nodes
  const key = cluster.keyOf(first!)
  await near.put(key, 'v', { consistency: 'one' })
  await near.get(key)
  expect(first!.operations).toHaveLength(2)
  await near.get(key, { consistency: 'one' })
  expect(second!.operations).toHaveLength(1)
  // Where the nearest one does not answer, the next one there does, and then any.
  second!.fault = () => 'break'
  await near.get(key, { consistency: 'one' })
  expect(third!.operations).toHaveLength(1)
  third!.fault = () => 'break'
  await near.get(key, { consistency: 'one' })
  expect(first!.operations).toHaveLength(3)
  await near.close()
})

test('a zone in which no member is changes nothing', async () => {
  const far = new KvClient({ endpoints: cluster.endpoints, zone: 'z', consistency: 'one' })
  await far.ready()
  await far.get(cluster.keyOf(cluster.nodes[1]!))
  expect(cluster.nodes[1]!.operations).toHaveLength(1)
  await far.close()
})

test('a node that comes back is used again', async () => {
  await client.ready()
  const node = cluster.nodes[0]!
  const key = cluster.keyOf(node)
  await client.put(key, '1')
  node.kill()
  await client.put(key, '2')
  await node.listen()
  const stateOf = (): string => client.stats().nodes.find(({ address }) => address === node.address)!.state
  await until(() => stateOf() === 'up', 'the node is connected again')
  const before = node.operations.length
  await client.put(key, '3')
  expect(node.operations.length).toBe(before + 1)
})

test('an owner without a quorum is left for another one', async () => {
  await client.ready()
  const node = cluster.nodes[0]!
  node.fault = () => errorResult('UNAVAILABLE', 'NOT_APPLIED')
  const key = cluster.keyOf(node)
  await client.put(key, 'v')
  expect(node.operations).toHaveLength(1)
  expect(cluster.ownerOf(key, 1).operations).toHaveLength(1)
})

test('a node without sessions is passed over', async () => {
  cluster.nodes[0]!.refuseSessions = { code: status.UNIMPLEMENTED, details: 'no such method' }
  await client.ready()
  await client.put(cluster.keyOf(cluster.nodes[0]!), 'v', { returnPrevious: true })
})

test('a higher epoch in an answer makes the client ask for the topology, once', async () => {
  await client.ready()
  await client.put('a', '1')
  const before = cluster.nodes.reduce((sum, { topologyCalls }) => sum + topologyCalls, 0)
  cluster.epoch = 7
  await Promise.all(Array.from({ length: 50 }, (_, i) => client.get(`k${i}`)))
  await until(() => client.stats().epoch === 7, 'the new topology is known')
  expect(cluster.nodes.reduce((sum, { topologyCalls }) => sum + topologyCalls, 0) - before).toBe(1)
})

test('an epoch that no node can show is not asked for in a tight loop', async () => {
  await client.ready()
  const before = cluster.nodes.reduce((sum, { topologyCalls }) => sum + topologyCalls, 0)
  const topology = cluster.topology.bind(cluster)
  cluster.topology = () => ({ ...topology(), epoch: 1n })
  cluster.epoch = 9
  const endAt = performance.now() + 600
  while (performance.now() < endAt) await client.get('k')
  const rounds = (cluster.nodes.reduce((sum, { topologyCalls }) => sum + topologyCalls, 0) - before) / 3
  expect(rounds).toBeGreaterThanOrEqual(1)
  expect(rounds).toBeLessThanOrEqual(4)
})

test('requests follow a topology that moves a slot', async () => {
  await client.ready()
  const key = cluster.keyOf(cluster.nodes[0]!)
  await client.put(key, '1')
  const ownerIndex = cluster.ownerIndex.bind(cluster)
  cluster.ownerIndex = (slot, rank) => ownerIndex(slot, rank + 1)
  cluster.epoch = 2
  for (const node of cluster.nodes) node.announce()
  await until(() => client.stats().epoch === 2, 'the new topology is known')
  await client.put(key, '2')
  expect(cluster.nodes[1]!.operations).toHaveLength(1)
})

test('a node of another cluster does not lead the client astray', async () => {
  await client.ready()
  const stranger = await FakeCluster.start(1)
  stranger.clusterId = 'd'.repeat(32)
  stranger.epoch = 99
  const both = new KvClient({ endpoints: [cluster.endpoints[0]!] })
  await both.ready()
  cluster.nodes[0]!.cluster.topology = () => stranger.topology()
  const error = await rejection(both.topology({ timeoutMs: 1000 }))
  expect(error.message).toContain('belongs to cluster dddd')
  expect(both.stats().epoch).toBe(1)
  await both.close()
  stranger.stop()
})

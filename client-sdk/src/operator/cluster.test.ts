import { status } from '@grpc/grpc-js'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { KvClient } from '../index.js'
import { limits } from '../limits.js'
import { resolveOptions } from '../options.js'
import { Dispatcher } from '../session/dispatcher.js'
import { FakeCluster } from '../session/fake-server.test-support.js'
import { rejection, startMuteServer, until } from '../session/sockets.test-support.js'

let cluster: FakeCluster
let client: KvClient

beforeEach(async () => {
  cluster = await FakeCluster.start(2)
  client = new KvClient({ endpoints: cluster.endpoints })
})

afterEach(async () => {
  vi.useRealTimers()
  await client.close()
  cluster.stop()
})

test('a snapshot is taken by the node that was named, and by one only', async () => {
  const [, second] = cluster.nodes
  expect(await client.snapshot(second!.address)).toEqual({
    nodeId: 'node-2',
    sequence: 7,
    records: 3,
    bytes: 4096,
    durationMs: 12,
  })
  expect(cluster.nodes.map(({ snapshotCalls }) => snapshotCalls)).toEqual([0, 1])
})

test('a snapshot by any node is taken by one that can be reached', async () => {
  cluster.nodes[0]!.kill()
  expect((await client.snapshot()).nodeId).toBe('node-2')
  cluster.nodes[1]!.kill()
  expect(await rejection(client.snapshot(undefined, { timeoutMs: 1_000 }))).toMatchObject({ code: 'unavailable' })
})

test('a snapshot that fails is not tried again elsewhere, and says what was wrong', async () => {
  for (const node of cluster.nodes) {
    node.snapshotFault = { code: status.FAILED_PRECONDITION, details: 'the disk has no room for a snapshot' }
  }
  const error = await rejection(client.snapshot())
  expect(error).toMatchObject({ code: 'read-only', retryable: false })
  expect(error.message).toContain('no room')
  expect(cluster.nodes.map(({ snapshotCalls }) => snapshotCalls).sort()).toEqual([0, 1])
})

test('a snapshot ends with its time, its signal, or a bad endpoint', async () => {
  for (const node of cluster.nodes) node.hung = true
  expect((await rejection(client.snapshot(undefined, { timeoutMs: 50 }))).code).toBe('timeout')
  const signal = AbortSignal.timeout(20)
  expect((await rejection(client.snapshot(cluster.endpoints[0], { signal }))).code).toBe('cancelled')
  expect(await rejection(client.snapshot('nowhere'))).toMatchObject({ code: 'invalid-argument', field: 'endpoint' })
})

async function allOf<T>(steps: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const step of steps) all.push(step)
  return all
}

test('a repair is begun once at the node that was named, and followed to its end', async () => {
  const [first, second] = cluster.nodes
  const steps = await allOf(client.repair(second!.address, { slot: 5, node: 'node-1' }))
  expect(second!.repairs).toEqual([
    { repairId: 0n, slot: 5, node: 'node-1' },
    { repairId: 77n, slot: undefined, node: '' },
    { repairId: 77n, slot: undefined, node: '' },
  ])
  expect(first!.repairs).toEqual([])
  expect(steps.map(({ done, membersDone }) => [done, membersDone])).toEqual([
    [false, 1],
    [false, 1],
    [true, 2],
  ])
  expect(steps[2]).toEqual({
    ...{ nodeId: 'node-2', done: true, members: 2, membersDone: 2, bytes: 6 },
    ...{ slotsDiffering: 1, slotsRepaired: 2, slotsSkipped: 3, recordsPulled: 4, recordsPushed: 5 },
    obstacles: [{ nodeId: 'node-9', reason: 'on purpose' }],
  })
})

test('a repair is followed through faults that pass, and not begun twice', async () => {
  const [node] = cluster.nodes
  const steps: boolean[] = []
  for await (const { done } of client.repair(node!.address)) {
    steps.push(done)
    if (steps.length === 1) {
      const passing = { code: status.UNAVAILABLE, details: 'on purpose' }
      node!.repairFaults.push(passing, passing)
    }
  }
  expect(steps).toEqual([false, false, true])
  expect(node!.repairs.filter(({ repairId }) => repairId === 0n)).toHaveLength(1)
})

test('a repair fails with what does not pass, its time, its signal, or bad arguments', async () => {
  const [node] = cluster.nodes
  const { address } = node!
  node!.repairFaults.push({ code: status.RESOURCE_EXHAUSTED, details: 'too many wait' })
  expect((await rejection(allOf(client.repair(address)))).code).toBe('overloaded')
  const forgotten = async (): Promise<void> => {
    for await (const _ of client.repair(address)) {
      node!.repairFaults.push({ code: status.INVALID_ARGUMENT, details: 'repair_id: forgotten' })
    }
  }
  expect((await rejection(forgotten())).code).toBe('invalid-argument')
  const signal = AbortSignal.timeout(limits.repairPollMs / 2)
  expect((await rejection(allOf(client.repair(address, { signal })))).code).toBe('cancelled')
  node!.hung = true
  expect((await rejection(allOf(client.repair(address, { timeoutMs: 50 })))).code).toBe('timeout')
  const wrong = [
    [{ slot: -1 }, 'slot'],
    [{ slot: 1.5 }, 'slot'],
    [{ node: '' }, 'node'],
  ] as const
  for (const [options, field] of wrong) {
    expect(await rejection(allOf(client.repair(address, options)))).toMatchObject({ code: 'invalid-argument', field })
  }
})

test('how a node compares with the others is in its status', async () => {
  expect((await client.status()).convergence).toEqual({
    peers: [{ nodeId: 'node-9', comparedMsAgo: 8, differingSlots: 2, obstacle: 'on purpose' }],
    recordsPulled: 3,
    recordsPushed: 4,
  })
})

test('what a node keeps for others is in its status', async () => {
  const { hints } = await client.status()
  expect(hints).toEqual([{ nodeId: 'node-9', hints: 5, bytes: 600, oldestMsAgo: 7, dropped: 8 }])
})

test('a connection is kept while a call on it runs, however long nothing else uses it', async () => {
  await client.close()
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  const [first, second] = cluster.nodes
  second!.hung = true
  const dispatcher = new Dispatcher(resolveOptions([first!.address]))
  try {
    const session = dispatcher.nodes.session(second!.address)
    const method = (await import('@quorumkv/proto/kv/v1/cluster')).ClusterService.snapshot
    const call = session.unary(method, {}, 600_000)
    const settled = vi.fn()
    call.then(settled, settled)
    await until(() => second!.snapshotCalls === 1, 'the node has the call')
    vi.advanceTimersByTime(limits.idleConnectionMs + 2 * limits.sweepIntervalMs)
    expect(session.kind).toBe('up')
    expect([...dispatcher.nodes.all()]).toContain(session)
    expect(settled).not.toHaveBeenCalled()
  } finally {
    dispatcher.close()
  }
})

test.each([
  ['put', () => client.put('k', 'v')],
  ['get', () => client.get('k')],
  ['scan', () => client.scan()[Symbol.asyncIterator]().next()],
])('%s fails at once where all endpoints refuse it, if that was asked for', async (_what, call) => {
  const endpoints = [...cluster.endpoints, 'localhost:1']
  cluster.stop()
  await client.close()
  client = new KvClient({ endpoints, failWhenRefused: true, timeoutMs: 60_000 })
  const startedAt = performance.now()
  const error = await rejection(call())
  expect(error).toMatchObject({ code: 'unavailable', outcome: _what === 'put' ? 'not-applied' : undefined })
  expect(error.message).toMatch(/ECONNREFUSED/)
  expect(performance.now() - startedAt).toBeLessThan(5_000)
})

test('where one endpoint serves, others that refuse are no reason to fail', async () => {
  await client.close()
  client = new KvClient({ endpoints: ['127.0.0.1:1', 'localhost:1', ...cluster.endpoints], failWhenRefused: true })
  for (let i = 0; i < 20; i++) await client.put(`key-${i}`, 'v')
})

test('an endpoint that is silent, or slow to answer, is waited for', async () => {
  await client.close()
  const mute = await startMuteServer()
  try {
    const endpoints = [mute.address, '127.0.0.1:1']
    client = new KvClient({ endpoints, failWhenRefused: true, connectTimeoutMs: 20 })
    expect((await rejection(client.get('k', { timeoutMs: 300 }))).code).toBe('timeout')
  } finally {
    mute.stop()
  }
})

test('once a cluster was reached, its nodes are waited for', async () => {
  await client.close()
  client = new KvClient({ endpoints: cluster.endpoints, failWhenRefused: true })
  await client.ready()
  cluster.stop()
  expect((await rejection(client.get('k', { timeoutMs: 500 }))).code).toBe('timeout')
})

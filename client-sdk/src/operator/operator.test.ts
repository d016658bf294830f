import { Metadata, status } from '@grpc/grpc-js'
import { HandoverStep, MemberState } from '@quorumkv/proto/kv/v1/cluster'
import { expect, test } from 'vitest'
import { KvError } from '../index.js'
import { until } from '../session/sockets.test-support.js'
import { client, cluster, startThreeNodes } from '../three-nodes.test-support.js'

startThreeNodes()

function requests(): [string, unknown][] {
  return cluster.nodes.flatMap(({ operator }) => operator.requests)
}

test('each change says what it is to do, and comes back with its plan', async () => {
  const { operator } = client
  const plan = await operator.decommission('node-1', { dryRun: true })
  expect(plan).toEqual({
    ...{ epoch: 8, begins: 'queued', slots: 1, copies: 2, moves: [{ from: 'node-1', to: undefined, slots: 1 }] },
    ...{ bytes: 3, durationMs: undefined, turnedAway: ['node-9'], spareNow: 1, spareMeanwhile: 0, spareAfterwards: -1 },
    calledOff: [{ kind: 'reweight', id: 'node-2', weight: 4, by: undefined }],
  })
  await operator.remove('node-2')
  await operator.replace('node-2', 'node-4')
  await operator.reweight('node-2', 5)
  await operator.cancel()
  await operator.cancel('node-3', { epoch: 5 })
  expect(await operator.raiseLevel()).toEqual({ before: 1, after: 2 })
  expect(new Set(requests())).toEqual(
    new Set([
      ['decommission', { id: 'node-1', dryRun: true }],
      ['remove', { id: 'node-2', dryRun: false }],
      ['replace', { id: 'node-2', by: 'node-4', dryRun: false }],
      ['reweight', { id: 'node-2', weight: 5, dryRun: false }],
      ['cancelHandover', { id: '', dryRun: true, epoch: 0n }],
      ['cancelHandover', { id: '', dryRun: false, epoch: 8n }],
      ['cancelHandover', { id: 'node-3', dryRun: false, epoch: 5n }],
      ['raiseLevel', { dryRun: false }],
    ]),
  )
  await expect(operator.reweight('node-2', 0)).rejects.toMatchObject({ code: 'invalid-argument', field: 'weight' })
  await expect(operator.remove('')).rejects.toMatchObject({ code: 'invalid-argument', field: 'id' })
})

test('a node that cannot is left for the next; a change that makes no sense is not asked of another', async () => {
  await client.ready()
  for (const { operator } of cluster.nodes) operator.faults.push({ code: status.UNAVAILABLE, details: 'no vote' })
  cluster.nodes[1]!.operator.faults.pop()
  expect((await client.operator.remove('node-3')).slots).toBe(1)
  expect(requests().length).toBeLessThanOrEqual(3)
  for (const { operator } of cluster.nodes) operator.faults[0] = { code: status.INVALID_ARGUMENT, details: 'no' }
  const before = requests().length
  await expect(client.operator.remove('node-3')).rejects.toMatchObject({ code: 'invalid-argument' })
  expect(requests().length).toBe(before + 1)
  for (const { operator } of cluster.nodes) operator.faults[0] = { code: status.UNAVAILABLE, details: 'no majority' }
  const error = await client.operator.remove('node-3').catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(KvError)
  expect(error).toMatchObject({ code: 'unavailable', message: expect.stringContaining('no majority') })
})

test('what is called off is what was there at first, whichever node is asked in the end', async () => {
  await client.ready()
  const unavailable = { code: status.UNAVAILABLE, details: 'it has died, and may have done it' }
  const operators = cluster.nodes.map(({ operator }) => operator)
  // Whoever is asked to do it once it is known what is there dies.
  for (const operator of operators) {
    operator.after = () => {
      for (const { faults } of operators) faults.splice(0, 1, ...(requests().length === 1 ? [unavailable] : []))
    }
  }
  await client.operator.cancel()
  expect(requests().map(([, request]) => request)).toEqual(
    expect.arrayContaining([
      { id: '', dryRun: true, epoch: 0n },
      { id: '', dryRun: false, epoch: 8n },
      { id: '', dryRun: false, epoch: 8n },
    ]),
  )
  expect(requests()).toHaveLength(3)
  await expect(client.operator.cancel('node-3', { epoch: 0 })).rejects.toMatchObject({ field: 'epoch' })
})

test('a removal by force is asked of one node, and of no other', async () => {
  const { address, operator } = cluster.nodes[1]!
  expect(await client.operator.forceRemove(address, ['node-2', 'node-3'], 7)).toEqual({
    ...{ nodeId: 'node-1', epoch: 9, emptySlots: [4], doubtfulSlots: 2, remaining: ['node-1'] },
  })
  expect(requests()).toEqual([['forceRemove', { ids: ['node-2', 'node-3'], epoch: 7n, dryRun: false }]])
  operator.faults.push({ code: status.UNAVAILABLE, details: 'no' })
  await expect(client.operator.forceRemove(address, ['node-3'], 7)).rejects.toMatchObject({ code: 'unavailable' })
  expect(requests()).toHaveLength(2)
})

test('what a node answers is told, and not that others could not be reached', async () => {
  await client.ready()
  const [node, ...others] = cluster.nodes
  for (const other of others) other.kill()
  for (let i = 0; i < 4; i++) {
    node!.operator.faults.push({ code: status.UNAVAILABLE, details: '1 of 3 replicas have slot 7, 2 are needed' })
    const asked = client.operator.backupSlots({ slot: 0, after: new Uint8Array() })
    await expect(asked).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('2 are needed') })
  }
})

test('of nodes that all say when to come again, the soonest is told; what is no time says nothing', async () => {
  await client.ready()
  const refuse = (...told: string[]): void => {
    for (const [i, { operator }] of cluster.nodes.entries()) {
      const metadata = new Metadata()
      if (told[i] !== '') metadata.set('grpc-retry-pushback-ms', told[i]!)
      operator.faults.push({ code: status.RESOURCE_EXHAUSTED, details: 'too early', metadata })
    }
  }
  const asked = (): Promise<unknown> => client.operator.backupSlots({ slot: 0, after: new Uint8Array() })
  for (const told of [
    ['900', '300', '600'],
    ['300', '', '600'],
    ['', '900', '300'],
  ]) {
    refuse(...told)
    await expect(asked()).rejects.toMatchObject({ code: 'overloaded', retryAfterMs: 300 })
  }
  refuse('-1', 'soon', '1e9')
  await expect(asked()).rejects.toMatchObject({ code: 'overloaded', retryAfterMs: undefined })
})

test('whether a node may go down, its drain and its rate are asked of the right one', async () => {
  expect(await client.operator.safeToStop('node-2')).toEqual({ safe: false, reason: 'on purpose' })
  const { address, operator } = cluster.nodes[2]!
  expect(await client.operator.drain(address)).toBe(5)
  expect(await client.operator.streamRate(address)).toBe(99)
  expect(await client.operator.streamRate(address, 1_000)).toBe(1_000)
  expect(operator.requests.filter(([method]) => method !== 'safeToStop').map(([method]) => method)).toEqual([
    'drain',
    'streamRate',
    'streamRate',
  ])
})

test('once a node says that it drains, operations go to the others, and reads of its status still come from it', async () => {
  await client.ready()
  const [node] = cluster.nodes
  const key = cluster.keyOf(node!)
  await client.put(key, 'to it')
  expect(node!.operations).toHaveLength(1)
  node!.draining = true
  node!.announce()
  const stateOf = (): string => client.stats().nodes.find(({ address }) => address === node!.address)!.state
  await until(() => stateOf() === 'down', 'the node is left alone')
  await client.put(key, 'to another')
  expect(node!.operations).toHaveLength(1)
  expect((await client.status(node!.address)).draining).toBe(true)
  // It was started again.
  node!.kill()
  node!.draining = false
  await node!.listen()
  await until(() => stateOf() === 'up', 'the node is connected again')
  await client.put(key, 'to it again')
  expect(node!.operations).toHaveLength(2)
})

test('a topology in which a handover runs is told with both sides, states and progress', async () => {
  expect((await client.topology()).handover).toBeUndefined()
  expect((await client.topology()).otherOwners(5)).toEqual([])
  cluster.handover = {
    ...{ since: 6n, step: HandoverStep.SWITCH, joining: ['node-3'], waitsFor: ['node-1'] },
    changes: [{ kind: 'replace', id: 'node-1', weight: 0, by: 'node-3' }],
    reports: [
      { nodeId: 'node-3', slots: 4, done: 2, bytes: 8n, remainingBytes: undefined, remainingMs: 9n, obstacle: '' },
    ],
  }
  cluster.planned = [{ kind: 'something new', id: 'node-2', weight: 0, by: '' }]
  const states = [MemberState.LEAVING, MemberState.SERVING, MemberState.JOINING]
  cluster.states = states
  const topology = await client.topology()
  expect(topology.members.map(({ state }) => state)).toEqual(['leaving', 'serving', 'joining'])
  expect(topology.handover).toEqual({
    ...{ since: 6, step: 'switch', joining: ['node-3'], waitsFor: ['node-1'] },
    changes: [{ kind: 'replace', id: 'node-1', weight: undefined, by: 'node-3' }],
    reports: [
      { nodeId: 'node-3', slots: 4, done: 2, bytes: 8, remainingBytes: undefined, remainingMs: 9, obstacle: '' },
    ],
  })
  expect(topology.planned[0]!.kind).toBe('unknown')
  expect(topology.otherOwners(5)).toHaveLength(3)
  const seen = await client.status()
  expect([seen.handover, seen.planned]).toEqual([topology.handover, topology.planned])
})

test('what a node measures is asked of that one, and what this client does not know is left out', async () => {
  const { address, operator } = cluster.nodes[1]!
  const silent = { count: 0, p50Us: 0, p99Us: 0, p999Us: 0, maxUs: 0 }
  expect(await client.operator.figures(address)).toEqual({
    ...{ nodeId: 'node-1', uptimeMs: 5_000, ready: true, quorumFailures: 2 },
    operations: [
      {
        ...{ kind: 'get', role: 'coordinator', count: 9, errors: 2 },
        latency: { count: 7, p50Us: 100, p99Us: 200, p999Us: 300, maxUs: 400 },
      },
      { kind: 'put', role: 'replica', count: 4, errors: 0, latency: silent },
    ],
  })
  expect(operator.requests).toEqual([['figures', { eventsAfter: 2n ** 64n - 1n }]])
})

test('figures that cannot be are an error, and none that a sum is made of', async () => {
  const { address, operator } = cluster.nodes[1]!
  const made = { kind: 'get', role: 'coordinator', errorsByCode: [], latency: undefined }
  const latency = { count: 2n ** 60n, p50Us: 1, p99Us: 1, p999Us: 1, maxUs: 1 }
  for (const figures of [
    { uptimeMs: 2n ** 64n - 1n },
    { quorumFailures: 2n ** 53n },
    { operations: [{ ...made, count: 2n ** 63n, errors: 0n }] },
    { operations: [{ ...made, count: 1n, errors: 2n }] },
    { operations: [{ ...made, count: 1n, errors: 0n, latency }] },
  ]) {
    operator.figures = figures
    await expect(client.operator.figures(address)).rejects.toMatchObject({ name: 'KvError', code: 'internal' })
  }
  operator.faults.push({ code: status.UNIMPLEMENTED, details: 'an older node' })
  const older = { name: 'KvError', message: expect.stringContaining('is of an older release that cannot do this') }
  await expect(client.operator.figures(address)).rejects.toMatchObject(older)
})

test('pages of backups and records to be restored travel as they are', async () => {
  const { operator } = client
  const knownDigests = new Uint8Array(8).fill(7)
  expect(await operator.backupSlots({ slot: 5, after: Buffer.from('a'), knownDigests })).toEqual({
    slots: [
      { slot: 5, unchanged: true, records: Buffer.alloc(0), count: 0, more: false, floorMs: 9 },
      { slot: 6, unchanged: false, records: Buffer.from('r'), count: 1, more: true, floorMs: 0 },
    ],
    next: { slot: 6, after: Buffer.from('k') },
    hlc: 2n ** 63n + 1n,
    clusterId: 'c'.repeat(32),
  })
  expect(await operator.restoreSlots(Buffer.from('rr'), 2, { highestHlc: 77n, clusterId: 'c' })).toEqual({
    ...{ stored: 3, superseded: 2, deleted: 1 },
  })
  expect(requests()).toEqual(
    expect.arrayContaining([
      ['backupSlots', { slot: 5, after: Buffer.from('a'), knownDigests: Buffer.alloc(8, 7) }],
      ['restoreSlots', { records: Buffer.from('rr'), count: 2, highestHlc: 77n, clusterId: 'c' }],
    ]),
  )
  const refused = async (attempt: Promise<unknown>, field: string): Promise<void> => {
    await expect(attempt).rejects.toMatchObject({ code: 'invalid-argument', field })
  }
  await refused(operator.backupSlots({ slot: -1, after: knownDigests }), 'slot')
  await refused(operator.backupSlots({ slot: 0, after: 'text' as never }), 'after')
  await refused(operator.backupSlots({ slot: 0, after: knownDigests, knownDigests: 'x' as never }), 'knownDigests')
  await refused(operator.restoreSlots('text' as never, 1), 'records')
  await refused(operator.restoreSlots(knownDigests, 1_025), 'count')
  await refused(operator.restoreSlots(knownDigests, 1, { highestHlc: -1n }), 'highestHlc')
  await refused(operator.restoreSlots(knownDigests, 1, { clusterId: '' }), 'clusterId')
})

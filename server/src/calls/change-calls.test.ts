import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { type Epoch, KvError, type NodeId, type Slot } from '@quorumkv/internal/base'
import type { ForcedPlan, ForcedRemoval, Members, PlanWithEstimate, WantedChange } from '@quorumkv/internal/cluster'
import {
  ChangePlan_Begins as Begins,
  type ChangeResponse,
  type DrainResponse,
  HandoverStep,
  MemberState,
  type SafeToStopResponse,
  type StatusResponse,
  type StreamRateResponse,
  type TopologyResponse,
} from '@quorumkv/proto/kv/v1/cluster'
import type { SessionResponse } from '@quorumkv/proto/kv/v1/kv'
import { expect, test } from 'vitest'
import { FakeNode, fakeTopology } from './fake-node.test-support.js'
import { eventually, reply, startServices } from './services.test-support.js'

const plan: PlanWithEstimate = {
  epoch: 3 as Epoch,
  begins: 'at-once',
  movement: { slots: 5, copies: 6, share: 0.1, moves: [{ from: undefined, to: 'n4' as NodeId, slots: 6 }] },
  calledOff: [{ kind: 'replace', id: 'n2' as NodeId, by: 'n9' as NodeId }],
  turnedAway: ['n8' as NodeId],
  spareNow: 1,
  spareMeanwhile: 0,
  spareAfterwards: -2,
  bytes: 1_000,
  durationMs: undefined,
}

class FakeMembers implements Members {
  readonly planned: WantedChange[] = []
  readonly requested: WantedChange[] = []
  readonly forced: [ForcedRemoval, boolean][] = []
  answer: PlanWithEstimate = plan
  failure: KvError | undefined
  triedForMs: number | undefined
  draining = false
  operations = 7

  async request(change: WantedChange, timeoutMs?: number): Promise<void> {
    this.requested.push(change)
    this.triedForMs = timeoutMs
    if (this.failure !== undefined) throw this.failure
  }

  async plan(change: WantedChange): Promise<PlanWithEstimate> {
    this.planned.push(change)
    return this.answer
  }

  async changeAccess(): Promise<void> {
    throw new Error('nobody asks for it here')
  }

  async force(removal: ForcedRemoval, dryRun: boolean): Promise<ForcedPlan> {
    this.forced.push([removal, dryRun])
    return { topology: fakeTopology(99), empty: [5 as Slot], doubtful: [6 as Slot, 7 as Slot] }
  }

  async safeToStop(id: NodeId): Promise<{ safe: boolean; reason: string }> {
    return { safe: false, reason: `${id} is needed` }
  }

  drain(): void {
    this.draining = true
  }
}

function nodeWith(members: FakeMembers | undefined): FakeNode {
  const node = new FakeNode()
  node.topology = fakeTopology(3)
  node.members = members
  return node
}

test('a change is tried for less time than its caller waits, so that it is told why it does not come', async () => {
  const members = new FakeMembers()
  await using services = await startServices(nodeWith(members))
  const options = { deadline: Date.now() + 3_000 }
  await reply((done) => services.cluster.remove({ id: 'n2', dryRun: false }, new Metadata(), options, done))
  expect(members.triedForMs).toBeLessThan(3_000)
  expect(members.triedForMs).toBeGreaterThan(0)
})

test('a dry run tells the plan and changes nothing; without it the change is asked for', async () => {
  const members = new FakeMembers()
  await using services = await startServices(nodeWith(members))
  const { cluster } = services
  const dry = await reply<ChangeResponse>((done) => cluster.decommission({ id: 'n2', dryRun: true }, done))
  expect(dry).toEqual({
    epoch: 3n,
    plan: {
      ...{ begins: Begins.AT_ONCE, slots: 5, copies: 6, moves: [{ from: '', to: 'n4', slots: 6 }] },
      ...{ bytes: 1_000n, durationMs: undefined, spareNow: 1, spareMeanwhile: 0, spareAfterwards: -2 },
      calledOff: [{ kind: 'replace', id: 'n2', weight: 0, by: 'n9' }],
      turnedAway: ['n8'],
    },
  })
  expect(members.requested).toEqual([])
  await reply((done) => cluster.remove({ id: 'n2', dryRun: false }, done))
  await reply((done) => cluster.replace({ id: 'n2', by: 'n9', dryRun: false }, done))
  await reply((done) => cluster.reweight({ id: 'n2', weight: 3, dryRun: false }, done))
  await reply((done) => cluster.cancelHandover({ id: '', dryRun: true, epoch: 0n }, done))
  await reply((done) => cluster.cancelHandover({ id: '', dryRun: false, epoch: 4n }, done))
  await reply((done) => cluster.cancelHandover({ id: 'n2', dryRun: false, epoch: 5n }, done))
  expect(members.requested).toEqual([
    { kind: 'remove', id: 'n2' },
    { kind: 'replace', id: 'n2', by: 'n9' },
    { kind: 'reweight', id: 'n2', weight: 3 },
    { kind: 'cancel', id: undefined, epoch: 4 },
    { kind: 'cancel', id: 'n2', epoch: 5 },
  ])
  members.answer = { ...plan, begins: 'not', movement: undefined }
  await reply((done) => cluster.decommission({ id: 'n2', dryRun: false }, done))
  expect(members.requested).toHaveLength(5)
})

test('what makes no sense is refused with the field, and a node without a cluster says that it has none', async () => {
  const members = new FakeMembers()
  await using services = await startServices(nodeWith(members))
  const { cluster } = services
  const failure = (call: Promise<unknown>): Promise<unknown> => call.catch((error: ServiceError) => error)
  for (const [call, field] of [
    [reply((done) => cluster.decommission({ id: '', dryRun: false }, done)), 'id'],
    [reply((done) => cluster.remove({ id: 'N 1', dryRun: false }, done)), 'id'],
    [reply((done) => cluster.replace({ id: 'n1', by: '', dryRun: false }, done)), 'by'],
    [reply((done) => cluster.reweight({ id: 'n1', weight: 0, dryRun: false }, done)), 'weight'],
    [reply((done) => cluster.safeToStop({ id: '' }, done)), 'id'],
    [reply((done) => cluster.cancelHandover({ id: '', dryRun: false, epoch: 0n }, done)), 'epoch'],
    [reply((done) => cluster.cancelHandover({ id: '', dryRun: false, epoch: 2n ** 60n }, done)), 'epoch'],
  ] as const) {
    expect(await failure(call)).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringContaining(field),
    })
  }
  expect(members.requested).toEqual([])
  members.failure = new KvError('unavailable', 'no majority')
  const change = reply((done) => cluster.remove({ id: 'n1', dryRun: false }, done))
  expect(await failure(change)).toMatchObject({ code: status.UNAVAILABLE, details: 'no majority' })
  await using lonely = await startServices(nodeWith(undefined))
  const drained = reply((done) => lonely.cluster.drain({}, done))
  expect(await failure(drained)).toMatchObject({ code: status.UNAVAILABLE })
})

test('a removal by force is passed on with the epoch, and tells what begins empty', async () => {
  const members = new FakeMembers()
  await using services = await startServices(nodeWith(members))
  const ask = (ids: string[]) => reply((done) => services.cluster.forceRemove({ ids, epoch: 3n, dryRun: true }, done))
  expect(await ask(['n2', 'n3'])).toEqual({
    ...{ nodeId: 'fake', epoch: 3n, emptySlots: [5], doubtfulSlots: 2, remaining: ['fake'] },
  })
  expect(members.forced).toEqual([[{ ids: ['n2', 'n3'], epoch: 3 }, true]])
  await expect(ask([])).rejects.toMatchObject({ code: status.INVALID_ARGUMENT })
})

test('the feature level is raised as far as all members go, and a dry run says how far', async () => {
  const members = new FakeMembers()
  const node = nodeWith(members)
  const [member] = node.topology!.members
  node.topology = { ...node.topology!, members: [{ ...member!, levels: { min: 1, max: 3 } }] }
  await using services = await startServices(node)
  const raise = (dryRun: boolean) => reply((done) => services.cluster.raiseLevel({ dryRun }, done))
  expect(await raise(true)).toEqual({ before: 1, after: 3 })
  expect(members.requested).toEqual([])
  expect(await raise(false)).toEqual({ before: 1, after: 1 })
  expect(members.requested).toEqual([{ kind: 'raise-level' }])
})

test('safe to stop comes with the reason why not', async () => {
  await using services = await startServices(nodeWith(new FakeMembers()))
  const verdict = await reply<SafeToStopResponse>((done) => services.cluster.safeToStop({ id: 'n1' }, done))
  expect(verdict).toEqual({ safe: false, reason: 'n1 is needed' })
})

test('a node that is drained tells every client, those that come later too, and how much still runs', async () => {
  const members = new FakeMembers()
  await using services = await startServices(nodeWith(members))
  const told: SessionResponse[][] = [[], []]
  const open = (at: number) => {
    const stream = services.kv.session()
    stream.on('data', (response: SessionResponse) => told[at]!.push(response))
    stream.on('error', () => undefined)
    return stream
  }
  const streams = [open(0)]
  streams[0]!.write({ observedHlc: 0n, operations: [], cancelled: [] })
  const health = (): Promise<{ draining: boolean }> =>
    reply<StatusResponse>((done) => services.cluster.status({}, done))
  expect((await health()).draining).toBe(false)
  const answer = await reply<DrainResponse>((done) => services.cluster.drain({}, done))
  expect(answer).toEqual({ nodeId: 'fake', operations: 7 })
  await eventually('the first client is told', () => told[0]!.length > 0)
  streams.push(open(1))
  await eventually('the second client is told', () => told[1]!.length > 0)
  expect(told.map(([first]) => [first!.draining, first!.results])).toEqual([
    [true, []],
    [true, []],
  ])
  expect(await health()).toMatchObject({ draining: true, operations: 7 })
  for (const stream of streams) stream.cancel()
})

test('the rate of streaming is told, and set where one is given', async () => {
  const node = nodeWith(new FakeMembers())
  const handovers = { streamBytesPerSecond: 100, cancel: async () => undefined }
  node.handovers = handovers
  await using services = await startServices(node)
  const { cluster } = services
  const ask = (bytesPerSecond: bigint | undefined): Promise<StreamRateResponse> =>
    reply((done) => cluster.streamRate({ bytesPerSecond }, done))
  expect(await ask(undefined)).toEqual({ nodeId: 'fake', bytesPerSecond: 100n })
  expect((await ask(5_000n)).bytesPerSecond).toBe(5_000n)
  expect(handovers.streamBytesPerSecond).toBe(5_000)
  await expect(ask(0n)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT })
})

test('the topology and the status carry the states of members, the handover and what waits', async () => {
  const node = nodeWith(new FakeMembers())
  const [member] = node.topology!.members
  const joiner = { ...member!, id: 'joiner' as NodeId, number: 2, state: 'joining' as const }
  const ring = [
    { id: member!.id, weight: 1 },
    { id: joiner.id, weight: 1 },
  ]
  const change = { kind: 'reweight', id: member!.id, weight: 2 } as const
  node.topology = {
    ...node.topology!,
    members: [member!, joiner],
    handover: { step: 'both', since: 3 as Epoch, ring, changes: [change] },
    planned: [{ kind: 'decommission', id: joiner.id }],
  }
  node.useTables()
  node.handover = {
    ...{ since: 3 as Epoch, step: 'both', waitsFor: [joiner.id] },
    reports: [
      {
        ...{ id: joiner.id, incarnation: joiner.incarnation, since: 3 as Epoch, slots: 9, done: 4, bytes: 1.4 },
        ...{ remainingBytes: 2.6, remainingMs: undefined, switched: false, obstacle: 'fake is away' },
      },
    ],
  }
  await using services = await startServices(node)
  const topology = await reply<TopologyResponse>((done) => services.cluster.topology({}, done))
  expect(topology).toMatchObject({
    members: [{ state: MemberState.SERVING }, { state: MemberState.JOINING }],
    ownersPerSlot: 1,
    otherOwnersPerSlot: 2,
    planned: [{ kind: 'decommission', id: 'joiner' }],
    handover: {
      ...{ since: 3n, step: HandoverStep.BOTH, joining: ['joiner'], waitsFor: ['joiner'] },
      changes: [{ kind: 'reweight', weight: 2 }],
      reports: [{ nodeId: 'joiner', slots: 9, done: 4, bytes: 1n, remainingBytes: 3n, obstacle: 'fake is away' }],
    },
  })
  expect(topology.otherOwners).toHaveLength(4096 * 2 * 2)
  const { handover, planned } = await reply<StatusResponse>((done) => services.cluster.status({}, done))
  expect([handover, planned]).toEqual([topology.handover, topology.planned])
})

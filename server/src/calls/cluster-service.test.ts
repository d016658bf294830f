import { type ServiceError, status } from '@grpc/grpc-js'
import { invalidArgument, type NodeId, type Slot } from '@quorumkv/internal/base'
import type { RepairProgress, RepairRequest } from '@quorumkv/internal/replication'
import { slotCount, slotTable } from '@quorumkv/internal/slots'
import {
  Liveness,
  type RepairResponse,
  type SnapshotResponse,
  type StatusResponse,
  type TopologyResponse,
  type RepairRequest as WireRepairRequest,
} from '@quorumkv/proto/kv/v1/cluster'
import { describe, expect, it, vi } from 'vitest'
import { FakeNode, fakeTopology } from './fake-node.test-support.js'
import { reply, startServices, type TestServices, testClock } from './services.test-support.js'

const getStatus = ({ cluster }: TestServices): Promise<StatusResponse> => reply((done) => cluster.status({}, done))
const getTopology = ({ cluster }: TestServices): Promise<TopologyResponse> =>
  reply((done) => cluster.topology({}, done))
const snapshot = ({ cluster }: TestServices): Promise<SnapshotResponse> => reply((done) => cluster.snapshot({}, done))

const repair = ({ cluster }: TestServices, request: Partial<WireRepairRequest>): Promise<RepairResponse> =>
  reply((done) => cluster.repair({ repairId: 0n, node: '', ...request }, done))

describe('cluster service', () => {
  it('a node that still forms says so, and has no topology to give', async () => {
    const node = new FakeNode()
    node.phase = 'forming'
    await using services = await startServices(node)
    expect(await getStatus(services)).toMatchObject({ nodeId: 'fake', clusterId: '', forming: true, members: [] })
    const error = await getTopology(services).catch((reason: ServiceError) => reason)
    expect(error).toMatchObject({ code: status.UNAVAILABLE })
  })

  it('members come with what the answering node thinks of them', async () => {
    const node = new FakeNode()
    node.topology = fakeTopology(3)
    await using services = await startServices(node)
    expect(await getStatus(services)).toMatchObject({
      clusterId: 'c'.repeat(32),
      epoch: 3n,
      uptimeMs: 1234n,
      serverVersion: '0.1.0',
      replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
      members: [{ id: 'fake', number: 1, address: '127.0.0.1:1', zone: 'z', weight: 1, liveness: Liveness.ALIVE }],
    })
  })

  it('a node that has lost slots says how many, and why they stay so', async () => {
    const node = new FakeNode()
    node.store = {
      entries: 1,
      tombstones: 2,
      dataBytes: 30,
      tableBytes: 3,
      logBytes: 4,
      logSegments: 5,
      logAppendedBytes: 9,
      lastSequence: 6,
      snapshotSequence: 7,
      readOnly: false,
      lostSlots: 8,
      rottenFiles: 0,
      scrubbedBytes: 0,
    }
    node.refillObstacle = 'n2 does not answer'
    node.floors = { lowestMs: 1_700_000_000_000, raised: 3, obstacle: 'n2 is away' }
    await using services = await startServices(node)
    const { storage } = await getStatus(services)
    expect(storage).toMatchObject({ entries: 1n, lostSlots: 8, refillObstacle: 'n2 does not answer' })
    expect(storage).toMatchObject({ tombstones: 2n, floorMs: 1_700_000_000_000n, floorObstacle: 'n2 is away' })
  })

  it('a snapshot is told with whose it is and how long it took', async () => {
    const node = new FakeNode()
    await using services = await startServices(node)
    let nowMs = 0
    vi.spyOn(testClock, 'monotonicMs').mockImplementation(() => nowMs)
    node.snapshotInfo = async () => {
      nowMs += 1_500.4
      return { sequence: 7, records: 3, bytes: 4096 }
    }
    const taken = await snapshot(services)
    vi.restoreAllMocks()
    expect(taken).toEqual({ nodeId: 'fake', sequence: 7n, records: 3n, bytes: 4096n, durationMs: 1500n })
  })

  it('a snapshot that finds no room fails with the status of that', async () => {
    await using services = await startServices()
    const error = await snapshot(services).catch((reason: ServiceError) => reason)
    expect(error).toMatchObject({ code: status.FAILED_PRECONDITION, details: 'no room for a snapshot' })
    expect(services.bugs).toEqual([])
  })

  it('how the node compares with the others is in its status', async () => {
    const node = new FakeNode()
    const peer = { node: 'n2' as NodeId, comparedMsAgo: 1_500.7, differingSlots: 3, obstacle: 'n2 does not answer' }
    node.convergence = {
      peers: [peer, { ...peer, node: 'n3' as NodeId, comparedMsAgo: undefined }],
      recordsPulled: 4,
      recordsPushed: 5,
    }
    await using services = await startServices(node)
    const { convergence } = await getStatus(services)
    expect(convergence).toEqual({
      peers: [
        { nodeId: 'n2', comparedMsAgo: 1500n, differingSlots: 3, obstacle: 'n2 does not answer' },
        { nodeId: 'n3', comparedMsAgo: undefined, differingSlots: 3, obstacle: 'n2 does not answer' },
      ],
      recordsPulled: 4n,
      recordsPushed: 5n,
    })
  })

  it('what the node keeps for members that have missed writes is in its status', async () => {
    const node = new FakeNode()
    node.hints = [{ node: 'n2' as NodeId, hints: 3, bytes: 400, oldestMsAgo: 1_500.7, dropped: 5 }]
    await using services = await startServices(node)
    const { hints } = await getStatus(services)
    expect(hints).toEqual([{ nodeId: 'n2', hints: 3n, bytes: 400n, oldestMsAgo: 1500n, dropped: 5n }])
  })

  it('a repair is begun once, and told about as often as somebody asks', async () => {
    const node = new FakeNode()
    const begun: RepairRequest[] = []
    const progress = (id: number, done: boolean): RepairProgress => ({
      ...{
        id,
        done,
        members: 2,
        membersDone: 1,
        differing: 9,
        repaired: 8,
        skipped: 7,
        pulled: 6,
        pushed: 5,
        bytes: 4,
      },
      obstacles: [{ node: 'n2' as NodeId, reason: 'it cannot be reached' }],
    })
    node.repairs = {
      repair: (request) => progress(41 + begun.push(request), false),
      repairProgress: (id) => {
        if (id === 42) return progress(id, true)
        throw invalidArgument('repair_id', 'nobody knows it')
      },
    }
    await using services = await startServices(node)
    const first = await repair(services, { slot: 0, node: 'n2' })
    expect(first).toEqual({
      ...{ nodeId: 'fake', repairId: 42n, done: false, members: 2, membersDone: 1 },
      ...{ slotsDiffering: 9n, slotsRepaired: 8n, slotsSkipped: 7n, recordsPulled: 6n, recordsPushed: 5n, bytes: 4n },
      obstacles: [{ nodeId: 'n2', reason: 'it cannot be reached' }],
    })
    expect(await repair(services, { repairId: 42n })).toEqual({ ...first, done: true })
    await repair(services, {})
    expect(begun).toEqual([
      { slot: 0, node: 'n2' },
      { slot: undefined, node: undefined },
    ])
    for (const [request, field] of [
      [{ slot: slotCount }, 'slot'],
      [{ repairId: 7n }, 'repair_id'],
    ] as const) {
      const error = await repair(services, request).catch((reason: ServiceError) => reason)
      expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining(field) })
    }
    node.repairs = undefined
    const error = await repair(services, {}).catch((reason: ServiceError) => reason)
    expect(error).toMatchObject({ code: status.UNAVAILABLE })
  })

  it('the table of owners is that of the topology, also after a change', async () => {
    const node = new FakeNode()
    await using services = await startServices(node)
    for (const members of [1, 3]) {
      const [first] = fakeTopology(1).members
      const topology = {
        ...fakeTopology(members),
        members: Array.from({ length: members }, (_, i) => ({
          ...first!,
          id: `n${i}` as typeof node.id,
          number: i + 1,
        })),
      }
      node.topology = topology
      node.slotTable = slotTable(topology)
      const { slots, ownersPerSlot, owners, epoch } = await getTopology(services)
      expect([slots, ownersPerSlot, epoch]).toEqual([slotCount, members, BigInt(members)])
      expect(owners.length).toBe(slots * ownersPerSlot * 2)
      for (const slot of [0, 1, 2047, 4095]) {
        const row = Array.from({ length: members }, (_, i) => owners.readUInt16LE((slot * ownersPerSlot + i) * 2))
        expect(row).toEqual([...node.slotTable.owners(slot as Slot)])
      }
    }
  })
})

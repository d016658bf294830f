import { KvError, type Slot } from '@quorumkv/internal/base'
import type { Node, NodeStatus } from '@quorumkv/internal/cluster'
import type { Clock } from '@quorumkv/internal/env'
import { hlcToBigint } from '@quorumkv/internal/hlc'
import { type SlotTable, slotCount, type Topology } from '@quorumkv/internal/slots'
import type { StoreStatistics } from '@quorumkv/internal/store'
import {
  type ClusterServer,
  type HintStatus,
  Liveness,
  type Member,
  MemberState,
  type SnapshotResponse,
  type StatusResponse,
  type StorageStatus,
  type TopologyResponse,
} from '@quorumkv/proto/kv/v1/cluster'
import { packageVersion } from './package-version.js'
import { answerRepair, toConvergence } from './repair-call.js'
import type { ServiceContext } from './service-context.js'
import { answerUnary } from './unary.js'

function toMembers(node: Node, topology: Topology | undefined): Member[] {
  return (topology?.members ?? []).map((member) => ({
    id: member.id,
    number: member.number,
    address: member.address,
    zone: member.zone,
    weight: member.weight,
    incarnation: member.incarnation,
    state: MemberState.SERVING,
    liveness: node.liveness(member) === 'alive' ? Liveness.ALIVE : Liveness.DOWN,
  }))
}

function toStorage(store: StoreStatistics, refillObstacle: string, floors: NodeStatus['floors']): StorageStatus {
  return {
    entries: BigInt(store.entries),
    tombstones: BigInt(store.tombstones),
    tableBytes: BigInt(store.tableBytes),
    logBytes: BigInt(store.logBytes),
    logSegments: store.logSegments,
    lastSequence: BigInt(store.lastSequence),
    snapshotSequence: BigInt(store.snapshotSequence),
    readOnly: store.readOnly,
    lostSlots: store.lostSlots,
    refillObstacle,
    floorMs: BigInt(floors?.lowestMs ?? 0),
    floorObstacle: floors?.obstacle ?? '',
  }
}

function toHints({ node, hints, bytes, oldestMsAgo, dropped }: NodeStatus['hints'][number]): HintStatus {
  return {
    nodeId: node,
    hints: BigInt(hints),
    bytes: BigInt(bytes),
    oldestMsAgo: BigInt(Math.floor(oldestMsAgo)),
    dropped: BigInt(dropped),
  }
}

function toStatusResponse(node: Node): StatusResponse {
  const { id, clusterId, phase, topology, store, refillObstacle, convergence, hints, floors, uptimeMs } = node.status()
  return {
    nodeId: id,
    clusterId: clusterId ?? '',
    epoch: BigInt(topology?.epoch ?? 0),
    members: toMembers(node, topology),
    replication: topology?.replication,
    serverVersion: packageVersion,
    uptimeMs: BigInt(Math.floor(uptimeMs)),
    storage: store === undefined ? undefined : toStorage(store, refillObstacle, floors),
    hlc: hlcToBigint(node.clockReading()),
    forming: phase === 'forming',
    convergence: convergence === undefined ? undefined : toConvergence(convergence),
    hints: hints.map(toHints),
  }
}

async function toSnapshotResponse(node: Node, clock: Clock): Promise<SnapshotResponse> {
  const startedMs = clock.monotonicMs()
  const { sequence, records, bytes } = await node.snapshot()
  return {
    nodeId: node.id,
    sequence: BigInt(sequence),
    records: BigInt(records),
    bytes: BigInt(bytes),
    durationMs: BigInt(Math.round(clock.monotonicMs() - startedMs)),
  }
}

/** Slot by slot, the owners as 16-bit indexes into the members. */
function encodeOwners(table: SlotTable): Buffer {
  const bytes = Buffer.allocUnsafe(slotCount * table.ownersPerSlot * 2)
  let at = 0
  for (let slot = 0; slot < slotCount; slot++) {
    for (const owner of table.owners(slot as Slot)) at = bytes.writeUInt16LE(owner, at)
  }
  return bytes
}

/** The service kv.v1.Cluster over a node. */
export function clusterService(context: ServiceContext): ClusterServer {
  // Every client asks for the table after every change: it is encoded once for each.
  let encodedTable: SlotTable | undefined
  let encodedOwners: Buffer = Buffer.alloc(0)

  const toTopologyResponse = (node: Node): TopologyResponse => {
    const { topology, slotTable: table } = node
    if (topology === undefined || table === undefined) {
      throw new KvError('unavailable', 'this node does not belong to a cluster yet')
    }
    if (encodedTable !== table) {
      encodedTable = table
      encodedOwners = encodeOwners(table)
    }
    return {
      clusterId: topology.clusterId,
      epoch: BigInt(topology.epoch),
      replication: topology.replication,
      members: toMembers(node, topology),
      slots: slotCount,
      ownersPerSlot: table.ownersPerSlot,
      owners: encodedOwners,
    }
  }

  return {
    status: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (_request, { node }) => toStatusResponse(node)),
    topology: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (_request, { node }) => toTopologyResponse(node)),
    snapshot: (call, callback) =>
      answerUnary(call, callback, context, 'read', (_request, { node }) => toSnapshotResponse(node, context.clock)),
    repair: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (request, { node }) => answerRepair(request, node)),
  }
}

import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import { KvError } from '@quorumkv/internal/base'
import type { Node, NodeStatus, WantedChange } from '@quorumkv/internal/cluster'
import type { Clock } from '@quorumkv/internal/env'
import { hlcToBigint } from '@quorumkv/internal/hlc'
import { parseWeight, type SlotTable, slotCount, slotTables, type Topology } from '@quorumkv/internal/slots'
import type {
  ChangeResponse,
  ClusterServer,
  HintStatus,
  SnapshotResponse,
  StatusResponse,
  TopologyResponse,
} from '@quorumkv/proto/kv/v1/cluster'
import { answerAuthCreate, answerAuthList, answerAuthRevoke } from '../access/auth-calls.js'
import { answerFigures } from '../figures/figures-call.js'
import { answerLocate } from '../figures/locate-call.js'
import { packageVersion } from '../package-version.js'
import { BackupCalls } from './backup-calls.js'
import {
  answerCancel,
  answerChange,
  answerDrain,
  answerForceRemove,
  answerRaiseLevel,
  answerSafeToStop,
  answerStreamRate,
  memberId,
  type TimeLeft,
} from './change-calls.js'
import { answerRepair, toConvergence } from './repair-call.js'
import type { ServiceContext } from './service-context.js'
import { toStorage } from './storage-message.js'
import { encodeOwners, toHandover, toMembers, toPlanned } from './topology-messages.js'
import { answerUnary, type UnaryScope } from './unary.js'

function toHints({ node, hints, bytes, oldestMsAgo, dropped }: NodeStatus['hints'][number]): HintStatus {
  return {
    nodeId: node,
    hints: BigInt(hints),
    bytes: BigInt(bytes),
    oldestMsAgo: BigInt(Math.floor(oldestMsAgo)),
    dropped: BigInt(dropped),
  }
}

function toStatusResponse(node: Node, certificates: ServiceContext['certificates']): StatusResponse {
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
    handover: toHandover(node),
    planned: (topology?.planned ?? []).map(toPlanned),
    draining: node.members?.draining ?? false,
    operations: node.members?.operations ?? 0,
    featureLevel: topology?.featureLevel ?? 0,
    certificates: (certificates?.facts ?? []).map(({ kind, subject, fromMs, toMs }) => {
      return { kind, subject, validFromMs: BigInt(fromMs), expiresAtMs: BigInt(toMs) }
    }),
    certificateProblem: certificates?.problem ?? '',
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

/** Every client asks for the tables after every change: they are encoded once for each. */
class EncodedOwners {
  #topology: Topology | undefined
  #current: Buffer = Buffer.alloc(0)
  #other: Buffer = Buffer.alloc(0)
  #otherPerSlot = 0

  of(topology: Topology, table: SlotTable): { current: Buffer; other: Buffer; otherPerSlot: number } {
    if (this.#topology !== topology) {
      this.#topology = topology
      const { current, next } = slotTables(topology)
      const other = next === undefined || topology.handover?.step === 'both' ? next : current
      this.#current = encodeOwners(table)
      this.#other = other === undefined ? Buffer.alloc(0) : encodeOwners(other)
      this.#otherPerSlot = other?.ownersPerSlot ?? 0
    }
    return { current: this.#current, other: this.#other, otherPerSlot: this.#otherPerSlot }
  }
}

function toTopologyResponse(node: Node, encoded: EncodedOwners): TopologyResponse {
  const { topology, slotTable: table } = node
  if (topology === undefined || table === undefined) {
    throw new KvError('unavailable', 'this node does not belong to a cluster yet')
  }
  const { current, other, otherPerSlot } = encoded.of(topology, table)
  return {
    clusterId: topology.clusterId,
    epoch: BigInt(topology.epoch),
    replication: topology.replication,
    members: toMembers(node, topology),
    slots: slotCount,
    ownersPerSlot: table.ownersPerSlot,
    owners: current,
    handover: toHandover(node),
    otherOwners: other,
    otherOwnersPerSlot: otherPerSlot,
    planned: topology.planned.map(toPlanned),
  }
}

interface WantedOf {
  readonly change: WantedChange
  readonly dryRun: boolean
}

type Wanted<Request> = (request: Request) => WantedOf
type ChangeCall<Request> = ServerUnaryCall<Request, ChangeResponse>
type ChangeCallback = sendUnaryData<ChangeResponse>

/** The service kv.v1.Cluster over a node. */
export function clusterService(context: ServiceContext): ClusterServer {
  const { access } = context
  const owners = new EncodedOwners()
  const backups = new BackupCalls(context.clock)
  const timeLeft =
    ({ deadlineMs }: UnaryScope): TimeLeft =>
    () =>
      deadlineMs - context.clock.monotonicMs()
  const changed = <Request>(call: ChangeCall<Request>, callback: ChangeCallback, wanted: Wanted<Request>): void =>
    answerUnary(call, callback, context, 'read', async (request, scope) => {
      const { change, dryRun } = wanted(request)
      return await answerChange(scope.node, change, dryRun, timeLeft(scope))
    })
  return {
    decommission: (call, callback) =>
      changed(call, callback, ({ id, dryRun }) => ({
        change: { kind: 'decommission', id: memberId('id', id) },
        dryRun,
      })),
    remove: (call, callback) =>
      changed(call, callback, ({ id, dryRun }) => ({ change: { kind: 'remove', id: memberId('id', id) }, dryRun })),
    forceRemove: (call, callback) =>
      answerUnary(call, callback, context, 'read', (request, { node }) => answerForceRemove(node, request)),
    replace: (call, callback) =>
      changed(call, callback, ({ id, by, dryRun }) => {
        return { change: { kind: 'replace', id: memberId('id', id), by: memberId('by', by) }, dryRun }
      }),
    reweight: (call, callback) =>
      changed(call, callback, ({ id, weight, dryRun }) => {
        return { change: { kind: 'reweight', id: memberId('id', id), weight: parseWeight(weight) }, dryRun }
      }),
    cancelHandover: (call, callback) =>
      answerUnary(call, callback, context, 'read', (request, scope) =>
        answerCancel(scope.node, request, timeLeft(scope)),
      ),
    raiseLevel: (call, callback) =>
      answerUnary(call, callback, context, 'read', ({ dryRun }, scope) =>
        answerRaiseLevel(scope.node, dryRun, timeLeft(scope)),
      ),
    safeToStop: (call, callback) =>
      answerUnary(call, callback, context, 'read', ({ id }, { node }) => answerSafeToStop(node, id)),
    drain: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (_request, { node }) => answerDrain(node, context.draining)),
    streamRate: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (request, { node }) => answerStreamRate(node, request)),
    authList: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (_request, { node }) => answerAuthList(node, access)),
    authCreate: (call, callback) =>
      answerUnary(call, callback, context, 'read', (request, scope) =>
        answerAuthCreate(scope.node, access, request, context.clock.wallMs(), timeLeft(scope)),
      ),
    authRevoke: (call, callback) =>
      answerUnary(call, callback, context, 'read', (request, scope) =>
        answerAuthRevoke(scope.node, access, request, timeLeft(scope)),
      ),
    backupSlots: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (request, scope) => backups.backup(request, scope)),
    restoreSlots: (call, callback) =>
      answerUnary(call, callback, context, 'write', async (request, scope) => backups.restore(request, scope)),
    status: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (_request, { node }) =>
        toStatusResponse(node, context.certificates),
      ),
    figures: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (request, { node }) => answerFigures(node, request, context)),
    locate: (call, callback) => answerUnary(call, callback, context, 'read', answerLocate),
    topology: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (_request, { node }) => toTopologyResponse(node, owners)),
    snapshot: (call, callback) =>
      answerUnary(call, callback, context, 'read', (_request, { node }) => toSnapshotResponse(node, context.clock)),
    repair: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (request, { node }) => answerRepair(request, node)),
  }
}

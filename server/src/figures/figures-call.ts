import {
  type Instruments,
  type LatencySummary,
  type OperationInstrument,
  type OperationKind,
  type OperationRole,
  operationKinds,
} from '@quorumkv/internal/base'
import type { Node, NodeStatus } from '@quorumkv/internal/cluster'
import { hlcToBigint } from '@quorumkv/internal/hlc'
import type {
  FiguresRequest,
  FiguresResponse,
  Latency,
  MemberView,
  NodeEvent,
  OperationFigures,
  ProcessFigures,
  StorageFigures,
} from '@quorumkv/proto/kv/v1/cluster'
import type { CallCounts, ServiceContext } from '../calls/service-context.js'
import { toStorage } from '../calls/storage-message.js'
import { toHandover, toLiveness } from '../calls/topology-messages.js'
import type { Traffic } from '../links/link-traffic.js'
import { packageVersion } from '../package-version.js'
import type { ProcessReading } from './process-meter.js'

function toLatency({ count, p50Us, p99Us, p999Us, maxUs }: LatencySummary): Latency {
  return { count: BigInt(count), p50Us, p99Us, p999Us, maxUs }
}

function toOperation(
  kind: OperationKind,
  role: OperationRole,
  instrument: OperationInstrument,
  nowMs: number,
): OperationFigures {
  return {
    kind,
    role,
    count: BigInt(instrument.count),
    errors: BigInt(instrument.errors),
    errorsByCode: [...instrument.errorsByCode].map(([code, count]) => ({ code, count: BigInt(count) })),
    latency: toLatency(instrument.latency.summary(nowMs)),
  }
}

function toOperations({ coordinated, served }: Instruments, nowMs: number): OperationFigures[] {
  return [
    ...operationKinds.map((kind) => toOperation(kind, 'coordinator', coordinated[kind], nowMs)),
    ...operationKinds.map((kind) => toOperation(kind, 'replica', served[kind], nowMs)),
  ]
}

function toProcess(reading: ProcessReading, { streams, sessions }: CallCounts, traffic: Traffic): ProcessFigures {
  const channels = Object.values(traffic)
  return {
    rssBytes: BigInt(reading.rssBytes),
    heapUsedBytes: BigInt(reading.heapUsedBytes),
    heapTotalBytes: BigInt(reading.heapTotalBytes),
    externalBytes: BigInt(reading.externalBytes),
    cpu: reading.cpu,
    eventLoopDelay: toLatency(reading.eventLoopDelay),
    gcMs: reading.gcMs,
    connections: channels.reduce((total, { links }) => total + links, 0),
    streams,
    sessions,
  }
}

function toStorageFigures(status: NodeStatus, instruments: Instruments, nowMs: number): StorageFigures | undefined {
  const { store, refillObstacle, floors } = status
  if (store === undefined) return undefined
  const { snapshotTakenMs } = instruments
  return {
    status: toStorage(store, refillObstacle, floors),
    fdatasyncs: BigInt(instruments.fdatasyncs),
    fdatasync: toLatency(instruments.fdatasync.summary(nowMs)),
    dataBytes: BigInt(store.dataBytes),
    snapshotAgeMs: snapshotTakenMs === undefined ? undefined : BigInt(Math.floor(nowMs - snapshotTakenMs)),
    snapshotRunning: instruments.snapshotRunning,
    snapshotMs: BigInt(Math.round(instruments.snapshotMs)),
    snapshotBytes: BigInt(instruments.snapshotBytes),
  }
}

function toMemberViews(node: Node, { topology }: NodeStatus): MemberView[] {
  const others = (topology?.members ?? []).filter(({ id }) => id !== node.id)
  return others.map((member) => {
    const { suspicions, rttUs } = node.instruments.member(member.id)
    const { id, incarnation } = member
    const linked = node.linked(id)
    return { id, ...toLiveness(node.liveness(member)), incarnation, rttUs, suspicions: BigInt(suspicions), linked }
  })
}

function toEvents({ events }: Instruments, after: bigint): NodeEvent[] {
  return events.after(Number(after)).map(({ number, atMs, kind, subject, text }) => {
    return { number: BigInt(number), atMs: BigInt(atMs), kind, subject, text }
  })
}

/** Unix milliseconds; 0: nothing is encrypted. */
function soonestExpiry(certificates: ServiceContext['certificates']): number {
  return certificates === undefined ? 0 : Math.min(...certificates.facts.map(({ toMs }) => toMs))
}

/** What the node measures of itself. */
export function answerFigures(
  node: Node,
  { eventsAfter }: FiguresRequest,
  { clock, meter, traffic, calls, certificates }: ServiceContext,
): FiguresResponse {
  const { instruments } = node
  const status = node.status()
  const nowMs = clock.monotonicMs()
  const { hints, convergence } = status
  const sum = (counts: readonly number[]): number => counts.reduce((total, each) => total + each, 0)
  return {
    nodeId: node.id,
    atMs: BigInt(clock.wallMs()),
    uptimeMs: BigInt(Math.floor(status.uptimeMs)),
    hlc: hlcToBigint(node.clockReading()),
    clockOffsetMs: BigInt(status.clockOffsetMs),
    serverVersion: packageVersion,
    incarnation: status.incarnation,
    draining: node.members?.draining ?? false,
    ready: status.phase === 'serving',
    operations: toOperations(instruments, nowMs),
    quorumFailures: BigInt(sum(Object.values(instruments.quorumFailures).flatMap((levels) => Object.values(levels)))),
    readRepairs: BigInt(instruments.readRepairs),
    hintsWritten: BigInt(instruments.hintsWritten),
    hintsReplayed: BigInt(instruments.hintsReplayed),
    hintsDropped: BigInt(instruments.hintsDropped),
    hintsWaiting: BigInt(sum(hints.map((each) => each.hints))),
    hintBytes: BigInt(sum(hints.map(({ bytes }) => bytes))),
    differingSlots: sum((convergence?.peers ?? []).map(({ differingSlots }) => differingSlots)),
    recordsPulled: BigInt(convergence?.recordsPulled ?? 0),
    recordsPushed: BigInt(convergence?.recordsPushed ?? 0),
    process: toProcess(meter.read(), calls(), traffic),
    storage: toStorageFigures(status, instruments, nowMs),
    handover: toHandover(node),
    members: toMemberViews(node, status),
    events: toEvents(instruments, eventsAfter),
    certificateExpiresAtMs: BigInt(soonestExpiry(certificates)),
    certificateProblem: certificates?.problem ?? '',
  }
}

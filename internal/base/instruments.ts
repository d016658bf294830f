import type { ErrorCode } from './errors.js'
import type { NodeId } from './ids.js'
import { LatencyHistogram } from './latency-histogram.js'
import { NodeEvents } from './node-events.js'
import type { TraceWatch } from './operation-traces.js'
import type { SlowWatch } from './slow-operations.js'

export const operationKinds = ['get', 'put', 'delete', 'scan'] as const
export type OperationKind = (typeof operationKinds)[number]

/** `coordinator`: the node ran them for clients; `replica`: it answered its part of them to another node. */
export const operationRoles = ['coordinator', 'replica'] as const
export type OperationRole = (typeof operationRoles)[number]

/** How many operations of a kind ended, and how. Plain fields: they are counted on the path of every operation. */
export class OperationInstrument {
  /** That ended, those that failed included. */
  count = 0
  errors = 0
  /** As many entries as there are codes. */
  readonly errorsByCode: Map<ErrorCode, number> = new Map()
  /** Of those that did not fail: what fails at once would make a node that is down look fast. */
  readonly latency: LatencyHistogram = new LatencyHistogram()

  /** `times` operations that began together have ended well now, in monotonic milliseconds. */
  succeeded(startedMs: number, nowMs: number, times: number = 1): void {
    this.count += times
    this.latency.record(startedMs, nowMs, times)
  }

  failed(code: ErrorCode, times: number = 1): void {
    this.count += times
    this.errors += times
    this.errorsByCode.set(code, (this.errorsByCode.get(code) ?? 0) + times)
  }
}

/** How many owners take part in an operation: see `Consistency` of internal/replication. */
export type QuorumLevel = 'one' | 'quorum' | 'all'

function noFailures(): Record<QuorumLevel, number> {
  return { one: 0, quorum: 0, all: 0 }
}

type OperationInstruments = Readonly<Record<OperationKind, OperationInstrument>>

function operationInstruments(): OperationInstruments {
  const made = (): OperationInstrument => new OperationInstrument()
  return { get: made(), put: made(), delete: made(), scan: made() }
}

/** What is counted of another member. */
export interface MemberInstruments {
  /** How often it has been suspected. */
  suspicions: number
  /** Of the last ping on the link to it that was answered, in microseconds; undefined: none was yet. */
  rttUs: number | undefined
}

/**
 * What a node measures of itself, one object for each node: its parts are handed down to where things happen, and read by
 * whoever shows them (`Cluster.Figures`, /metrics). Counts are doubles and only grow, from the start of the process.
 * Nothing here decides anything.
 */
export class Instruments {
  readonly coordinated: OperationInstruments = operationInstruments()
  readonly served: OperationInstruments = operationInstruments()
  /** By kind and level, those that failed because too few owners answered in time, or could have. */
  readonly quorumFailures: Readonly<Record<OperationKind, Record<QuorumLevel, number>>> = {
    ...{ get: noFailures(), put: noFailures(), delete: noFailures(), scan: noFailures() },
  }
  /** Records that a read has sent to owners which lacked them. */
  readRepairs = 0
  hintsWritten = 0
  hintsReplayed = 0
  hintsDropped = 0
  /** Syncs of the log. */
  readonly fdatasync: LatencyHistogram = new LatencyHistogram()
  fdatasyncs = 0
  snapshots = 0
  snapshotsFailed = 0
  snapshotRunning = false
  /** Of the newest that was taken. */
  snapshotMs = 0
  snapshotBytes = 0
  /** Monotonic milliseconds; undefined: none was taken since the start. */
  snapshotTakenMs: number | undefined = undefined
  /** Messages of failure detection. */
  gossipSent = 0
  gossipReceived = 0
  readonly events: NodeEvents
  /** Undefined: nobody wants to know. */
  readonly slow: SlowWatch | undefined
  /** Undefined: operations are followed by nobody, ever. */
  readonly traces: TraceWatch | undefined
  readonly #members = new Map<NodeId, MemberInstruments>()

  /** `wallMs`: the clock that dates events. */
  constructor(wallMs: () => number, slow?: SlowWatch, traces?: TraceWatch) {
    this.slow = slow
    this.traces = traces
    this.events = new NodeEvents(wallMs)
  }

  /** What is counted of a member. */
  member(id: NodeId): MemberInstruments {
    let member = this.#members.get(id)
    if (member === undefined) {
      member = { suspicions: 0, rttUs: undefined }
      this.#members.set(id, member)
    }
    return member
  }

  /** Who the others are: of everybody else nothing is kept. */
  keepMembers(ids: ReadonlySet<NodeId>): void {
    for (const id of this.#members.keys()) if (!ids.has(id)) this.#members.delete(id)
  }
}

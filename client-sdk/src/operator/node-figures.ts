import type {
  FiguresResponse,
  Latency as WireLatency,
  OperationFigures as WireOperations,
} from '@quorumkv/proto/kv/v1/cluster'
import { KvError } from '../errors.js'

/** What a node has measured of itself. */
export interface NodeFigures {
  /** Whose they are. */
  readonly nodeId: string
  /** Since its process started: everything is counted from then on. */
  readonly uptimeMs: number
  /** It serves. */
  readonly ready: boolean
  /** Operations for which too few owners answered in time, or could have. */
  readonly quorumFailures: number
  /** By kind and role. Of those that this client does not know, nothing is told. */
  readonly operations: readonly OperationFigures[]
}

/** Operations of one kind in one role. */
export interface OperationFigures {
  readonly kind: 'get' | 'put' | 'delete' | 'scan'
  /** `coordinator`: the node ran them for clients; `replica`: it answered its part of them to another node. */
  readonly role: 'coordinator' | 'replica'
  /** That ended, those that failed included. */
  readonly count: number
  /** That failed. */
  readonly errors: number
  /** Of those that did not fail. */
  readonly latency: LatencyFigures
}

/** How long something took over the last ten to twenty seconds, in microseconds; percentiles are up to 5 % too high. */
export interface LatencyFigures {
  /** How many there were in that time; 0: the others say nothing. */
  readonly count: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
  readonly maxUs: number
}

const kinds: ReadonlySet<string> = new Set(['get', 'put', 'delete', 'scan'])
const roles: ReadonlySet<string> = new Set(['coordinator', 'replica'])

/** Throws `internal` where a node tells what cannot be. */
export function figuresOf({ nodeId, uptimeMs, ready, quorumFailures, operations }: FiguresResponse): NodeFigures {
  const count = (what: string, value: bigint): number => {
    const number = Number(value)
    if (Number.isSafeInteger(number)) return number
    throw new KvError('internal', `${nodeId || 'a node'} tells ${what} that cannot be: ${value}`)
  }
  const known = operations.filter(({ kind, role }) => kinds.has(kind) && roles.has(role))
  const told = known.map(({ kind, role, count: all, errors, latency }: WireOperations): OperationFigures => {
    const figures = { count: count('a count of operations', all), errors: count('a count of errors', errors) }
    if (figures.errors > figures.count) {
      throw new KvError('internal', `${nodeId || 'a node'} tells more errors than operations: ${errors} of ${all}`)
    }
    const what = { kind: kind as OperationFigures['kind'], role: role as OperationFigures['role'] }
    return { ...what, ...figures, latency: latencyOf(latency, count) }
  })
  return {
    nodeId,
    uptimeMs: count('an uptime', uptimeMs),
    ready,
    quorumFailures: count('a count of failures', quorumFailures),
    operations: told,
  }
}

function latencyOf(latency: WireLatency | undefined, count: (what: string, value: bigint) => number): LatencyFigures {
  if (latency === undefined) return { count: 0, p50Us: 0, p99Us: 0, p999Us: 0, maxUs: 0 }
  const { p50Us, p99Us, p999Us, maxUs } = latency
  return { count: count('a count of latencies', latency.count), p50Us, p99Us, p999Us, maxUs }
}

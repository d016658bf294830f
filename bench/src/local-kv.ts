import {
  type BenchSession,
  type DistributionName,
  fileSystemOf,
  KvTarget,
  localUsage,
  type PhaseReport,
  parseWorkload,
} from '@quorumkv/cli/bench'
import { type Consistency, KvClient } from '@quorumkv/client'
import { type ClusterOptions, startCluster } from './cluster.js'
import { limits } from './limits.js'
import type { ServerGroup } from './server-group.js'

/** A store under load on this machine, and its servers, which are stopped with `group.stop()`. */
export interface LocalTarget<Target> {
  readonly group: ServerGroup
  readonly target: Target
}

/** Operations at a time, and the size of each one's value. */
export interface InFlight {
  readonly inFlight: number
  readonly valueBytes: number
}

/** What the client accepts by default, and what it counts for an operation over its value, at most. */
const clientBytesMin = 67_108_864
const operationBytes = 1024

/** What the operations in flight of one client may hold, in bytes: what they do, and as much again to spare. */
function clientBytesMax(room: InFlight | undefined): number {
  if (room === undefined) return clientBytesMin
  return Math.max(clientBytesMin, 2 * room.inFlight * (room.valueBytes + operationBytes))
}

/** How a cluster is asked. */
export interface KvTargetSettings {
  readonly consistency: Consistency
  /** What one client will have in flight: it gets room for that, where its default is too little. */
  readonly room?: InFlight
  /** Operations that one client accepts at a time. Default: the client's. */
  readonly maxInFlight?: number
  /** How long one operation may take. Default: `limits.operationMs`, so that a stall is measured, and not given up. */
  readonly timeoutMs?: number
}

/** A cluster on this machine as a store under load. `settings`: what else a report should tell of it. */
export function kvTargetOf(
  group: ServerGroup,
  { consistency, timeoutMs = limits.operationMs, maxInFlight, room }: KvTargetSettings,
  settings: Readonly<Record<string, string>>,
): KvTarget {
  const maxInFlightBytes = clientBytesMax(room)
  return new KvTarget({
    connect: () => new KvClient({ endpoints: group.endpoints, maxInFlight, maxInFlightBytes }),
    ...{ consistency, timeoutMs, settings },
    serverUsage: () => localUsage(group.processes),
    failed: group.failed,
  })
}

/** Starts a cluster as a store under load. Rejects as startCluster does. */
export async function startLocalKv(options: ClusterOptions & KvTargetSettings): Promise<LocalTarget<KvTarget>> {
  const fileSystem = await fileSystemOf(options.parentDirectory)
  const group = await startCluster(options)
  return { group, target: kvTargetOf(group, options, { fsync: options.fsync, 'file system': fileSystem }) }
}

/**
 * Loads the keys of a session. Rejects with the reason of `signal`, and where a key was not written: it would be read as
 * an error of what is measured afterwards.
 */
export async function loadAll(session: BenchSession, keys: number, signal: AbortSignal): Promise<void> {
  const { operations, errors } = await session.load()
  signal.throwIfAborted()
  if (operations === keys) return
  throw new Error(`only ${operations} of ${keys} keys could be written: ${errors.examples[0] ?? 'the time was over'}`)
}

/** One workload in a closed loop. */
export interface ClosedLoop {
  /** As those of kv bench. */
  readonly workload: string
  /** Default: the workload's. */
  readonly distribution?: DistributionName
  /** Operations at a time, of each client. */
  readonly inFlight: number
  /** Before the measurement, and of it. */
  readonly warmUpSeconds: number
  readonly seconds: number
}

/**
 * Measures a workload in a session whose keys are there. Rejects with the reason of `signal`, and where no operation
 * succeeded, after `what` was measured: there is nothing to tell of it.
 */
export async function measureClosed(
  session: BenchSession,
  { workload, distribution, inFlight, warmUpSeconds, seconds }: ClosedLoop,
  what: string,
  signal: AbortSignal,
): Promise<PhaseReport> {
  const report = await session.measure({
    workload: parseWorkload(workload, 'workload'),
    ...{ distribution, inFlight, loop: { kind: 'closed' } },
    ...{ warmUpMs: warmUpSeconds * 1000, durationMs: seconds * 1000 },
  })
  signal.throwIfAborted()
  if (report.operations > 0) return report
  throw new Error(`nothing was done in ${what}: ${report.errors.examples[0] ?? 'no operation ended'}`)
}

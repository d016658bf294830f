import { type BenchSession, fileSystemOf, KvTarget, localUsage } from '@quorumkv/cli/bench'
import { type Consistency, KvClient } from '@quorumkv/client'
import { type ClusterOptions, startCluster } from './cluster.js'
import { limits } from './limits.js'
import type { ServerGroup } from './server-group.js'

/** A store under load on this machine, and its servers, which are stopped with `group.stop()`. */
export interface LocalTarget<Target> {
  readonly group: ServerGroup
  readonly target: Target
}

/** How a cluster is asked. */
export interface KvTargetSettings {
  readonly consistency: Consistency
  /** What the operations in flight of one client may hold, in bytes. Default: the client's. */
  readonly maxInFlightBytes?: number
  /** Operations that one client accepts at a time. Default: the client's. */
  readonly maxInFlight?: number
  /** How long one operation may take. Default: `limits.operationMs`, so that a stall is measured, and not given up. */
  readonly timeoutMs?: number
}

/** A cluster on this machine as a store under load. `settings`: what else a report should tell of it. */
export function kvTargetOf(
  group: ServerGroup,
  { consistency, timeoutMs = limits.operationMs, maxInFlight, maxInFlightBytes }: KvTargetSettings,
  settings: Readonly<Record<string, string>>,
): KvTarget {
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

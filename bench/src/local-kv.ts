import { KvTarget, localUsage } from '@quorumkv/cli/bench'
import { type Consistency, KvClient } from '@quorumkv/client'
import { type ClusterOptions, startCluster } from './cluster.js'
import type { ServerGroup } from './server-group.js'

/** A store under load on this machine, and its servers, which are stopped with `group.stop()`. */
export interface LocalTarget<Target> {
  readonly group: ServerGroup
  readonly target: Target
}

export interface LocalKvOptions extends ClusterOptions {
  readonly consistency: Consistency
  /** What the operations in flight of one client may hold, in bytes. Default: the client's. */
  readonly maxInFlightBytes?: number
  readonly timeoutMs?: number
}

/** Starts a QuorumKV cluster as a store under load. Rejects as startCluster does. */
export async function startLocalKv(options: LocalKvOptions): Promise<LocalTarget<KvTarget>> {
  const { consistency, maxInFlightBytes, timeoutMs, fsync } = options
  const group = await startCluster(options)
  const target = new KvTarget({
    connect: () =>
      new KvClient({ endpoints: group.endpoints, ...(maxInFlightBytes !== undefined && { maxInFlightBytes }) }),
    consistency,
    timeoutMs,
    settings: { fsync },
    serverUsage: () => localUsage(group.processes),
    failed: group.failed,
  })
  return { group, target }
}

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { limits } from '../limits.js'
import { freePorts, ServerGroup } from '../server-group.js'
import { ServerError, type ServerSpec } from '../server-process.js'
import { peerPrograms } from './packages.js'
import { connectRedis } from './redis-client.js'

/** When Redis flushes its append-only file: the values of its `appendfsync`. */
export type AppendFsync = 'always' | 'everysec'

export interface RedisSettings {
  readonly appendFsync: AppendFsync
  /** Replicas of the one primary. */
  readonly replicas: number
  /** Where the servers' directories are made, below one of their own. */
  readonly parentDirectory: string
  /** Gives the start up. */
  readonly signal: AbortSignal
}

function serverSpec(id: string, port: number, directory: string, flags: readonly string[]): ServerSpec {
  const address = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory]
  // No snapshots beside the append-only file, and a replica that is sent its first copy at once.
  const fixed = ['--daemonize', 'no', '--save', '', '--appendonly', 'yes', '--repl-diskless-sync-delay', '0']
  return {
    id,
    address: `127.0.0.1:${port}`,
    command: peerPrograms.redis.command,
    args: [...address, ...fixed, ...flags],
    readyText: 'Ready to accept connections',
  }
}

/** How many replicas follow, from what `INFO replication` tells of a primary. */
export function onlineReplicas(info: string): number {
  return info.match(/^slave\d+:.*\bstate=online\b/gm)?.length ?? 0
}

async function replicasFollow(primary: string, replicas: number, signal: AbortSignal): Promise<void> {
  const client = await connectRedis(primary, false)
  try {
    const deadline = performance.now() + limits.nodeReadyMs
    while (onlineReplicas(await client.info('replication')) < replicas) {
      if (performance.now() > deadline) {
        throw new ServerError(`the ${replicas} replicas of Redis did not follow within ${limits.nodeReadyMs / 1000} s`)
      }
      await delay(limits.peerPollMs, undefined, { signal })
    }
  } finally {
    client.disconnect()
  }
}

/**
 * Starts a Redis primary on this machine with an append-only file, and its replicas with the same settings. The first
 * endpoint is the primary's. Resolves when all serve and the replicas follow; when it rejects, everything has been
 * stopped and removed.
 */
export async function startRedis(settings: RedisSettings): Promise<ServerGroup> {
  const { appendFsync, replicas, parentDirectory, signal } = settings
  const ports = await freePorts(replicas + 1)
  return ServerGroup.start(parentDirectory, async (group) => {
    for (const [i, port] of ports.entries()) {
      const id = i === 0 ? 'primary' : `replica ${i}`
      const directory = join(group.directory, String(port))
      await mkdir(directory)
      const role = i === 0 ? [] : ['--replicaof', '127.0.0.1', String(ports[0])]
      group.add(serverSpec(id, port, directory, ['--appendfsync', appendFsync, ...role]))
    }
    await group.ready(signal)
    if (replicas > 0) await replicasFollow(group.endpoints[0]!, replicas, signal)
  })
}

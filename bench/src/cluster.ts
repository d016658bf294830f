import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts, ServerGroup } from './server-group.js'
import { environmentWithout, type ServerSpec } from './server-process.js'

/** When a write counts as durable: the values of kv-server's --fsync. */
export type Fsync = 'always' | 'interval' | 'never'

export interface ClusterOptions {
  readonly nodes: number
  readonly fsync: Fsync
  /** Where the nodes' data directories are made, below one of their own. */
  readonly parentDirectory: string
  /** Gives the start up. */
  readonly signal: AbortSignal
  /** Further flags of kv-server, for every node. */
  readonly flags?: readonly string[]
}

/** Replicas of each key, as far as there are nodes. */
const replicationFactorMax = 3

const program = fileURLToPath(new URL('../../server/bin/kv-server.js', import.meta.url))

function nodeSpec(id: string, address: string, flags: readonly string[]): ServerSpec {
  const fixed = ['--id', id, '--addr', address, '--log-format', 'json', '--log-level', 'info']
  return {
    id,
    address,
    command: process.execPath,
    args: [program, ...fixed, ...flags],
    env: environmentWithout('KV_'),
    readyText: '"msg":"ready"',
  }
}

/**
 * Starts a cluster of kv-server processes on this machine, with data directories of their own. Resolves when all nodes
 * serve; when it rejects, everything has been stopped and removed.
 */
export async function startCluster(options: ClusterOptions): Promise<ServerGroup> {
  const { nodes, fsync, parentDirectory, signal } = options
  const addresses = (await freePorts(nodes)).map((port) => `127.0.0.1:${port}`)
  const replicas = String(Math.min(nodes, replicationFactorMax))
  const flags = ['--fsync', fsync, '--replication-factor', replicas, ...(options.flags ?? [])]
  if (nodes > 1) flags.push('--peers', addresses.join(','))
  return ServerGroup.start(parentDirectory, async (group) => {
    for (const [i, address] of addresses.entries()) {
      const id = `n${i + 1}`
      group.add(nodeSpec(id, address, [...flags, '--data-dir', join(group.directory, id)]))
    }
    await group.ready(signal)
  })
}

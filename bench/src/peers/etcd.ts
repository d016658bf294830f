import { join } from 'node:path'
import { freePorts, ServerGroup } from '../server-group.js'
import { environmentWithout, type ServerSpec } from '../server-process.js'
import { peerPrograms } from './packages.js'

export interface EtcdSettings {
  readonly nodes: number
  /** Where the nodes' data directories are made, below one of their own. */
  readonly parentDirectory: string
  /** Gives the start up. */
  readonly signal: AbortSignal
}

interface EtcdNode {
  readonly name: string
  readonly clientUrl: string
  readonly peerUrl: string
}

/** One node for each pair of ports: clients', peers'. */
function nodesOn(ports: readonly number[]): EtcdNode[] {
  return Array.from({ length: ports.length / 2 }, (_, i) => ({
    name: `etcd${i + 1}`,
    clientUrl: `http://127.0.0.1:${ports[2 * i]}`,
    peerUrl: `http://127.0.0.1:${ports[2 * i + 1]}`,
  }))
}

function nodeSpec({ name, clientUrl, peerUrl }: EtcdNode, everyone: string, directory: string): ServerSpec {
  return {
    id: name,
    address: new URL(clientUrl).host,
    command: peerPrograms.etcd.command,
    args: [
      ...['--name', name, '--data-dir', directory, '--logger', 'zap'],
      ...['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl],
      ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
      ...['--initial-cluster', everyone, '--initial-cluster-state', 'new'],
    ],
    env: environmentWithout('ETCD_'),
    // It says so once it has a leader.
    readyText: 'serving client traffic',
  }
}

/**
 * Starts a cluster of etcd on this machine with its default settings, under which every write is flushed by a majority
 * before it is acknowledged. Resolves when all nodes serve; when it rejects, everything has been stopped and removed.
 */
export async function startEtcd({ nodes: count, parentDirectory, signal }: EtcdSettings): Promise<ServerGroup> {
  const nodes = nodesOn(await freePorts(2 * count))
  const everyone = nodes.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',')
  return ServerGroup.start(parentDirectory, async (group) => {
    for (const node of nodes) group.add(nodeSpec(node, everyone, join(group.directory, node.name)))
    await group.ready(signal)
  })
}

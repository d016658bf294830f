import { setTimeout } from 'node:timers/promises'
import { type Address, Instruments, type NodeId } from '@quorumkv/internal/base'
import { type Node, startCoreNode } from '@quorumkv/internal/cluster'
import { type Disk, silentLog } from '@quorumkv/internal/env'
import { NodeClock, NodeDisk, NodeRandom } from '@quorumkv/internal/env-node'
import type { FsyncPolicy } from '@quorumkv/internal/store'
import { limits } from '../limits.js'
import { MemoryDisk } from './memory-disk.js'
import { MemoryNetwork } from './memory-network.js'

export interface NodesOptions {
  readonly nodes: number
  /** Below it each node has a directory; undefined: they keep their files in memory. */
  readonly directory: string | undefined
  readonly fsync: FsyncPolicy
}

function majority(nodes: number): number {
  return Math.floor(nodes / 2) + 1
}

/** Whole nodes in this process, each with a copy of everything, as kv-server starts them but without gRPC. */
export async function startNodes({ nodes, directory, fsync }: NodesOptions): Promise<Node[]> {
  const network = new MemoryNetwork()
  const names = Array.from({ length: nodes }, (_, i) => `n${i + 1}`)
  const started = names.map((name) => {
    const disk: Disk = directory === undefined ? new MemoryDisk() : new NodeDisk(`${directory}/${name}`)
    return startCoreNode({
      instruments: new Instruments(() => Date.now()),
      clock: new NodeClock(),
      random: new NodeRandom(),
      disk,
      network,
      log: silentLog,
      id: name as NodeId,
      listenAddress: `${name}:1` as Address,
      advertiseAddress: undefined,
      peers: names
        .filter((other) => other !== name)
        .map((other) => ({ id: undefined, address: `${other}:1` as Address })),
      replication: { replicationFactor: nodes, readQuorum: majority(nodes), writeQuorum: majority(nodes) },
      virtualNodes: 150,
      zone: '',
      weight: 1,
      maxClockDriftMs: 500,
      probeIntervalMs: 1_000,
      probeTimeoutMs: 500,
      suspicionMult: 4,
      gossipIntervalMs: 200,
      gossipFanout: 3,
      replaceAfterMs: 0,
      fsync,
      fsyncIntervalMs: 100,
      snapshotIntervalMs: 0,
      snapshotWalBytes: 0,
      streamBytesPerSecond: 50_000_000,
      onFatal: (error) => {
        throw error
      },
    })
  })
  const running = await Promise.all(started)
  await Promise.all(running.map((node) => node.ready()))
  const untilMs = performance.now() + limits.nodeReadyMs
  while (!running.every((node) => running.every(({ id }) => node.linked(id)))) {
    if (performance.now() > untilMs) throw new Error('the nodes did not find each other')
    await setTimeout(limits.peerPollMs)
  }
  return running
}

import type { Address } from '@quorumkv/internal/base'
import type { PeerName } from '@quorumkv/internal/cluster'
import type { Clock, Disk, Network } from '@quorumkv/internal/env'
import { NodeClock, NodeDisk } from '@quorumkv/internal/env-node'
import type { NodeConfig } from './config/config.js'
import { openDataDirectory } from './data/data-directory.js'

/** A disk that is one node's alone. */
export interface OpenDisk {
  readonly disk: Disk
  /** Lets others have it. Idempotent. */
  close(): void
}

/** What a node runs on: the seams of `internal/`, as far as they may be others than the machine's own. */
export interface Machine {
  readonly clock: Clock
  /** Rejects with FatalError where the disk cannot be had. */
  openDisk(): Promise<OpenDisk>
  /** The way to other nodes; `sockets` is that over gRPC. */
  network(sockets: Network): Network
  /** Whether clients get through to it. */
  reachable(): boolean
  /** Whom to form a cluster with; asked once the node listens and is known to be reached at `own`. */
  peers(own: Address): Promise<readonly PeerName[]>
}

/** The machine that this process runs on. */
export function thisMachine(config: NodeConfig): Machine {
  return {
    clock: new NodeClock(),
    openDisk: async () => {
      const directory = await openDataDirectory(config.dataDir)
      return { disk: new NodeDisk(directory.path), close: () => directory.close() }
    },
    network: (sockets) => sockets,
    reachable: () => true,
    peers: async () => config.peers,
  }
}

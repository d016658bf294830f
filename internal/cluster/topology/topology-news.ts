import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import type { Epoch } from '../../base/index.js'
import type { PeerLink } from '../../replication/index.js'
import type { Topology } from '../../slots/index.js'
import { topologyToMessage } from './topology-codec.js'

/** Hands the topology over to peers that are behind it. */
export class TopologyNews {
  /** The epoch that each peer was handed over, so that it gets a newer topology once. */
  readonly #handedOver = new WeakMap<PeerLink, Epoch>()

  /** A topology that has just come into force here, to everybody who is linked. */
  spread(topology: Topology, links: Iterable<PeerLink>): void {
    const message = topologyToMessage(topology)
    for (const link of links) {
      this.#handedOver.set(link, topology.epoch)
      link.sendNow({ topology: message })
    }
  }

  /** What a message shows of its sender's topology: where that is older, `current` goes back, once unless it is asked for. */
  heard(message: PeerMessage, current: Topology | undefined, link: PeerLink): void {
    if (current === undefined || message.epoch >= current.epoch) return
    if (this.#handedOver.get(link) === current.epoch && !message.topologyWanted) return
    this.#handedOver.set(link, current.epoch)
    link.outbox(0).addControl({ topology: topologyToMessage(current) })
  }
}

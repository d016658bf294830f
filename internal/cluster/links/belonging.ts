import type { Refusal } from '@quorumkv/proto/kv/peer/v1/messages'
import { type Address, FatalError, type NodeId } from '../../base/index.js'
import type { Topology } from '../../slots/index.js'

/**
 * Whether a member is where its data directory belongs. Somebody who starts a node with the directory of another
 * cluster is to be told by its end; but one node that is wrong must not bring down those that are right. So a member
 * gives up only where no other member has welcomed it since it started, and a majority of its cluster (all others,
 * where that is fewer) belong to another one: it could not have served at quorum anyway.
 */
export class Belonging {
  readonly #self: NodeId
  /** Who answers as a node of another cluster where a member should be, and what it said. */
  readonly #strangers = new Map<Address, string>()
  #welcomed = false

  constructor(self: NodeId) {
    this.#self = self
  }

  /** Another member talks to this one: from now on whoever refuses is the stranger. */
  welcomed(): void {
    this.#welcomed = true
    this.#strangers.clear()
  }

  /** The node at `address` will not talk to this one. Returns the error with which it must end, or undefined. */
  refused(address: Address, { code, message }: Refusal, topology: Topology | undefined): FatalError | undefined {
    if (topology === undefined) {
      // These may be other once it asks again; in every other case it cannot become a member here.
      if (code === 'settings' || code === 'clock' || code === 'wait') return undefined
      return new FatalError('refused', `refused by the node at ${address}: ${message}`)
    }
    const others = topology.members.filter(({ id }) => id !== this.#self).map((member) => member.address)
    if (this.#welcomed || code !== 'cluster' || !others.includes(address)) return undefined
    this.#strangers.set(address, message)
    const strangers = others.filter((other) => this.#strangers.has(other))
    if (strangers.length < Math.min(others.length, Math.floor(topology.members.length / 2) + 1)) return undefined
    return new FatalError(
      'refused',
      `the data directory belongs to cluster ${topology.clusterId}, but where its members should be, at ` +
        `${strangers.join(' and ')}, are nodes of another cluster; the last said: ${message}`,
    )
  }
}

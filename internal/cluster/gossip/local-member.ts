import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import type { Address, Incarnation, NodeId } from '../../base/index.js'
import type { PeerLink } from '../../replication/index.js'
import type { Conduct, Topology } from '../../slots/index.js'
import { preparation } from '../changes/forced-removal.js'
import type { HandoverDriver } from '../changes/handover-driver.js'
import { openHandovers } from '../changes/handovers.js'
import { Replacement } from '../changes/replacement.js'
import type { Peers } from '../links/peers.js'
import type { Liveness, NodeOptions } from '../node-face.js'
import { Operator } from '../operator.js'
import { Serving } from '../serving.js'
import { tellOfChange } from '../topology/topology-events.js'
import { FailureDetector } from './failure-detector.js'
import { Membership } from './membership.js'

/** The node whose membership it is. */
export interface MemberHost {
  readonly self: { readonly id: NodeId; readonly incarnation: Incarnation; readonly life: string }
  readonly conduct: Conduct
  readonly peers: Pick<Peers, 'follow' | 'gossip' | 'hasten' | 'stream'>
  readonly stopping: boolean
  /** Where it is reached; asked once it listens. */
  readonly address: Address
  /** Takes charge of work in the background. */
  guard(work: Promise<void>): void
}

interface Parts {
  readonly membership: Membership
  readonly handovers: HandoverDriver
  readonly operator: Operator
  readonly replacement: Replacement
}

/**
 * What a node has from the moment on which it belongs to a cluster, put together: its copy, its vote, its part in handovers,
 * and its eyes for who can be reached.
 */
export class LocalMember {
  readonly serving: Serving
  readonly #options: NodeOptions
  readonly #host: MemberHost
  #parts: Parts | undefined
  #detector: FailureDetector | undefined

  /** `topology` is on disk and names this node. Throws FatalErrors and DiskErrors. */
  static async open(options: NodeOptions, host: MemberHost, topology: Topology): Promise<LocalMember> {
    const { id, life } = host.self
    const serving = await Serving.open(options, { id, life }, topology, (on) => host.peers.stream(on))
    const member = new LocalMember(options, host, serving)
    await member.#open(topology)
    return member
  }

  private constructor(options: NodeOptions, host: MemberHost, serving: Serving) {
    this.#options = options
    this.#host = host
    this.serving = serving
  }

  async #open(topology: Topology): Promise<void> {
    const { clock, random, disk, log, probeIntervalMs, probeTimeoutMs } = this.#options
    const { self, conduct } = this.#host
    const send = (to: NodeId, part: Partial<PeerMessage>): void => this.serving.remote(to)?.tell(part)
    const guard = (work: Promise<void>): void => this.#host.guard(work)
    const silenceMs = 2 * (probeIntervalMs + probeTimeoutMs)
    const adopted = (newer: Topology, before: Topology): void => this.#adopted(newer, before)
    const linked = (id: NodeId, otherThan: string): boolean => {
      const remote = this.serving.remote(id)
      return remote?.up === true && remote.life !== otherThan
    }
    const prepare = preparation(this.serving.store, self.id, log)
    const links = { silenceMs, linked, send, guard }
    const options = { ...links, clock, random, disk, log, self, conduct, prepare, adopted }
    const membership = await Membership.open(options, topology)
    const { register } = membership
    const handovers = openHandovers(this.#options, this.serving, { self, register, send, guard })
    const given = { clock, log, random, self: self.id, register, send }
    const operator = new Operator({ ...given, serving: this.serving, handovers })
    const replacement = new Replacement({
      ...given,
      replaceAfterMs: this.#options.replaceAfterMs,
      absentMs: (number) => this.#detector?.absentMs(number) ?? 0,
      isAlive: (number) => this.liveness(number)?.status === 'alive',
      linked: (id) => linked(id, ''),
    })
    this.#parts = { membership, handovers, operator, replacement }
  }

  get membership(): Membership {
    return this.#parts!.membership
  }

  get handovers(): HandoverDriver {
    return this.#parts!.handovers
  }

  get operator(): Operator {
    return this.#parts!.operator
  }

  /** The work that goes on by itself. Resolves after `stop`. */
  async run(): Promise<void> {
    await Promise.all([this.serving.run(), this.handovers.run(), this.membership.run(), this.#parts?.replacement.run()])
  }

  /** Begins to find out who can be reached, and to be found. The node listens. Idempotent. */
  detect(): void {
    const { peers, self, address } = this.#host
    this.#detector ??= new FailureDetector(
      {
        ...this.#options,
        self: { id: self.id, address },
        links: peers.gossip,
        reached: (id) => this.#reached(id),
        changed: () => this.#doubt(),
      },
      this.serving.topology,
    )
    this.#detector.start()
  }

  /** What this node believes about another member, by the number of its life. */
  liveness(number: number): Liveness | undefined {
    return this.#detector?.liveness(number)
  }

  /** What a message says about the cluster; `from` answers on the link to it. Returns why the link must end, or undefined. */
  received(from: NodeId | undefined, message: PeerMessage, link: PeerLink): string | undefined {
    return (
      this.#parts?.replacement.received(from, message, link) ??
      this.operator.received(from, message, link) ??
      this.handovers.received(message) ??
      this.membership.received(from, message, link)
    )
  }

  gossiped(from: NodeId, message: PeerMessage, link: PeerLink): string | undefined {
    return this.#detector?.received(from, message, link)
  }

  /** The link to a member broke. */
  lost(id: NodeId): void {
    this.#detector?.doubt(id)
  }

  /** Tells the others, and begins nothing any more. What runs ends soon. Idempotent. */
  stop(): void {
    this.#detector?.stop()
    this.membership.stop()
    this.operator.stop()
    this.#parts?.replacement.stop()
    this.handovers.stop()
  }

  #adopted(newer: Topology, before: Topology): void {
    const { address, guard, peers, self, stopping } = this.#host
    this.serving.adopt(newer)
    tellOfChange(this.#options.instruments.events, newer, before)
    this.handovers.adopted(newer)
    this.#detector?.follow(newer)
    if (!stopping) peers.follow(newer, before)
    // Whoever runs with this directory somewhere else has had it changed.
    const named = newer.members.find(({ id }) => id === self.id)
    if (named?.address !== address) guard(this.membership.settleAddress(address))
  }

  /** Requests ask those last of whom it is not certain that they are there. */
  #doubt(): void {
    for (const { id, number } of this.serving.topology.members) {
      const remote = this.serving.remote(id)
      if (remote !== undefined) remote.doubted = this.liveness(number)?.status !== 'alive'
    }
  }

  #reached(id: NodeId): void {
    const member = this.serving.topology.members.find((each) => each.id === id)
    if (member !== undefined) this.#host.peers.hasten(member.address)
  }
}

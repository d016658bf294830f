import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { type Address, type Incarnation, KvError, type NodeId } from '../../base/index.js'
import type { Clock, Disk, Log, Random } from '../../env/index.js'
import type { PeerLink } from '../../replication/index.js'
import type { Conduct, Topology } from '../../slots/index.js'
import { AddressChange } from '../changes/address-change.js'
import { ConductChange } from '../changes/conduct-change.js'
import { FormerLives } from '../changes/former-lives.js'
import { Newcomers } from '../changes/newcomers.js'
import type { Founder } from '../links/handshake.js'
import type { InboundRefusal } from '../links/inbound.js'
import { TopologyRegister } from '../topology/topology-register.js'

export interface MembershipOptions {
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly log: Log
  /** This node, in this life of its process. */
  readonly self: { readonly id: NodeId; readonly incarnation: Incarnation; readonly life: string }
  /** How this node runs. */
  readonly conduct: Conduct
  /** How long a dead node may still look alive. */
  readonly silenceMs: number
  /** Whether this node has a link to a member, in another life of its process than that one; empty: in any. */
  readonly linked: (id: NodeId, otherThan: string) => boolean
  /** To another member, by whatever link there is; without one nothing happens. */
  readonly send: (to: NodeId, part: Partial<PeerMessage>) => void
  /** See `TopologyRegisterOptions`. */
  readonly prepare: (topology: Topology, before: Topology) => Promise<void>
  /** This document is durable here, and in force. */
  readonly adopted: (topology: Topology, before: Topology) => void
  /** Takes charge of work in the background. */
  readonly guard: (work: Promise<void>) => void
}

/** A member's part in who the members are: it votes, follows what was decided, and takes in who comes. */
export class Membership {
  readonly register: TopologyRegister
  readonly #guard: MembershipOptions['guard']
  readonly #addressChange: AddressChange
  readonly #formerLives: FormerLives
  readonly #conductChange: ConductChange
  readonly #newcomers: Newcomers

  /** `topology` is on disk and names this node. Throws FatalError `corrupt`, and DiskErrors. */
  static async open(options: MembershipOptions, topology: Topology): Promise<Membership> {
    const adopted = (newer: Topology, before: Topology): void => {
      options.adopted(newer, before)
      options.guard(membership.#conductChange.adopted())
    }
    const register = await TopologyRegister.open({ ...options, adopted }, topology)
    const membership: Membership = new Membership(options, register)
    return membership
  }

  private constructor(options: MembershipOptions, register: TopologyRegister) {
    const { clock, log, self, conduct, silenceMs, linked, send, guard } = options
    this.register = register
    this.#guard = guard
    const topology = (): Topology => register.topology
    this.#formerLives = new FormerLives({ clock, self: self.id, topology, silenceMs, linked, send })
    const formerLives = this.#formerLives
    this.#addressChange = new AddressChange({ clock, log, self, register, formerLives, linked, send })
    this.#conductChange = new ConductChange({ clock, log, self, conduct, register })
    this.#newcomers = new Newcomers({ log, self: self.id, register, formerLives, guard })
  }

  /** See `AddressChange.settle`. */
  settleAddress(address: Address): Promise<void> {
    return this.#addressChange.settle(address)
  }

  /** What a member that serves has to say. Resolves soon; rejects with bugs, DiskErrors and FatalError only. */
  run(): Promise<void> {
    return this.#conductChange.run()
  }

  /** A node greets as one that is no member, and has no cluster. Returns what to tell it. */
  knock(founder: Founder): InboundRefusal {
    return this.#newcomers.knock(founder)
  }

  /** What a message says about members; `from` answers on the link to it. Returns why the link must end, or undefined. */
  received(from: NodeId | undefined, message: PeerMessage, link: PeerLink): string | undefined {
    const { linkQuestion, linkAnswer } = message
    if (linkQuestion !== undefined) link.sendNow({ linkAnswer: this.#formerLives.asked(linkQuestion) })
    if (linkAnswer !== undefined && from !== undefined) this.#formerLives.answered(from, linkAnswer)
    try {
      if (message.addressWish !== undefined) this.#guard(this.#addressChange.wished(message.addressWish))
    } catch (error) {
      if (error instanceof KvError) return `malformed wish for another address: ${error.message}`
      throw error
    }
    return this.register.received(from, message, link)
  }

  /** Idempotent. Nothing is begun any more, and what runs ends soon. */
  stop(): void {
    this.register.stop()
    this.#newcomers.stop()
    this.#conductChange.stop()
    this.#addressChange.stop()
    this.#formerLives.stop()
  }
}

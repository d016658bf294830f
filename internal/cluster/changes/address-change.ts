import type { AddressWish, PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import {
  type Address,
  FatalError,
  type Incarnation,
  KvError,
  limits,
  type NodeId,
  parseAddress,
  parseIncarnation,
  parseNodeId,
} from '../../base/index.js'
import { majority } from '../../consensus/index.js'
import type { Clock, Log } from '../../env/index.js'
import { Pauses } from '../../replication/index.js'
import { type Member, voters } from '../../slots/index.js'
import type { TopologyRegister } from '../topology/topology-register.js'
import type { FormerLives } from './former-lives.js'
import { type Moved, readdressed } from './readdressed.js'

export interface AddressChangeOptions {
  readonly clock: Clock
  readonly log: Log
  readonly self: { readonly id: NodeId; readonly incarnation: Incarnation; readonly life: string }
  readonly register: Pick<TopologyRegister, 'topology' | 'change'>
  readonly formerLives: Pick<FormerLives, 'stillLinked'>
  /** Whether this node has a link to a member. */
  readonly linked: (id: NodeId, otherThan: string) => boolean
  readonly send: (to: NodeId, part: Partial<PeerMessage>) => void
}

/** How often a node that has moved says what it waits for. */
const complainIntervalMs = 5_000

interface Wish {
  readonly moved: Moved
  readonly heardMs: number
}

/**
 * Has the topology changed where this node has moved. Two processes with copies of one data directory look the same, though:
 * so before anything else the members are asked whether somebody lives at the address that they know. Where members have changed
 * places, none of them can be the first: each tells the voters where it is, and whoever knows of all of them has them changed at once.
 */
export class AddressChange {
  readonly #options: AddressChangeOptions
  readonly #pauses: Pauses
  /** Members for which a change is under way here. */
  readonly #granting = new Set<NodeId>()
  /** Of members that have moved and cannot have it changed themselves, by their ids. */
  readonly #wishes = new Map<NodeId, Wish>()
  /** Since when this node has found that somebody else is where it is, and stays there. */
  #takenSinceMs: number | undefined

  constructor(options: AddressChangeOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
  }

  /** Idempotent. */
  stop(): void {
    this.#pauses.stop()
  }

  /**
   * Resolves when the topology names this address for this node, and when it is stopped; waits for a majority of the voters
   * and, where a member that cannot be reached is said to be there, for that one, for ever, and says so. Rejects with FatalError
   * `refused` where the node lives elsewhere as well, or another member is there and stays.
   */
  async settle(address: Address): Promise<void> {
    const { clock, formerLives, log, register, self } = this.#options
    let complainAtMs = clock.monotonicMs() + complainIntervalMs
    for (;;) {
      const { members } = register.topology
      const known = members.find(({ id }) => id === self.id)?.address
      if (known === address || this.#pauses.stopped) return
      if (this.#reachesMajority()) {
        const where = await formerLives.stillLinked(self.id, self.incarnation, self.life)
        if (where.length > 0) throw this.#copied(known, where)
        const other = members.find((member) => member.address === address)
        if (other !== undefined) this.#checkThatItMoves(address, other.id)
        log.debug('the address of this node has changed', { address, before: known })
        await this.#change(address)
      }
      if (register.topology.members.find(({ id }) => id === self.id)?.address === address) return
      if (clock.monotonicMs() >= complainAtMs) {
        complainAtMs = clock.monotonicMs() + complainIntervalMs
        this.#complain(address, known)
      }
      await this.#pauses.pause(limits.returnAskIntervalMs)
    }
  }

  #reachesMajority(): boolean {
    const voting = voters(this.#options.register.topology)
    return voting.length - this.#unreached().length >= majority(voting.length)
  }

  /** Of those who vote. */
  #unreached(): Member[] {
    const { linked, register, self } = this.#options
    return voters(register.topology).filter(({ id }) => id !== self.id && !linked(id, ''))
  }

  /** Throws FatalError `refused` once another member that can be reached has stayed at this address for long. */
  #checkThatItMoves(address: Address, other: NodeId): void {
    const { clock, linked } = this.#options
    const nowMs = clock.monotonicMs()
    const stays = linked(other, '') && !this.#freshWishes().has(other)
    const sinceMs = this.#takenSinceMs ?? nowMs
    this.#takenSinceMs = stays ? sinceMs : undefined
    if (stays && nowMs - sinceMs >= limits.addressTakenMs) throw addressTaken(address, other)
  }

  #complain(address: Address, before: Address | undefined): void {
    const { members } = this.#options.register.topology
    const other = members.find((member) => member.address === address)
    if (other !== undefined && this.#reachesMajority()) {
      this.#options.log.warn(
        'this node has moved to the address of another member, and serves when that one has moved as well',
        {
          ...{ address, before, other: other.id },
        },
      )
      return
    }
    const unreached = this.#unreached().map((member) => `${member.id}@${member.address}`)
    const what = 'this node has moved, and serves when a majority of the members has agreed to its new address'
    this.#options.log.warn(`${what}; those that have moved as well are found where --peers names them`, {
      ...{ address, before, unreached },
    })
  }

  /** Another member has moved, and has no vote. Throws KvError `invalid-argument`. */
  wished({ nodeId, incarnation, address }: AddressWish): Promise<void> {
    const id = parseNodeId(nodeId, 'addressWish.nodeId')
    const moved = {
      id,
      incarnation: parseIncarnation(incarnation, 'addressWish.incarnation'),
      address: parseAddress(address, 'addressWish.address'),
    }
    const { clock, register } = this.#options
    // It wishes again; and only members are heard, so that their number bounds what runs and what is kept.
    if (!register.topology.members.some((member) => member.id === id)) return Promise.resolve()
    this.#wishes.set(id, { moved, heardMs: clock.monotonicMs() })
    if (this.#granting.has(id) || readdressed(register.topology, moved, this.#freshWishes()) === undefined) {
      return Promise.resolve()
    }
    this.#granting.add(id)
    return this.#propose(moved).finally(() => this.#granting.delete(id))
  }

  async #change(address: Address): Promise<void> {
    const { linked, register, self, send } = this.#options
    const { topology } = register
    const voting = voters(topology)
    const moved = { ...self, address }
    const possible = readdressed(topology, moved, this.#freshWishes()) !== undefined
    if (possible && voting.some(({ id }) => id === self.id)) {
      await this.#propose(moved)
      return
    }
    const addressWish = { nodeId: self.id, incarnation: self.incarnation, address }
    for (const { id } of voting) if (linked(id, '')) send(id, { addressWish })
  }

  #freshWishes(): ReadonlyMap<NodeId, Moved> {
    const nowMs = this.#options.clock.monotonicMs()
    const fresh = [...this.#wishes].filter(([, { heardMs }]) => nowMs - heardMs <= limits.addressWishMs)
    return new Map(fresh.map(([id, { moved }]) => [id, moved]))
  }

  async #propose(moved: Moved): Promise<void> {
    const { log, register } = this.#options
    try {
      await register.change((topology) => readdressed(topology, moved, this.#freshWishes()), limits.returnChangeMs)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      log.warn('the new address of a member is not agreed on yet', { node: moved.id, reason: error.message })
    }
  }

  #copied(known: Address | undefined, where: readonly NodeId[]): FatalError {
    const { id } = this.#options.self
    return new FatalError(
      'refused',
      `the data directory of ${id} is in use twice: a node that runs with it at ${known} is linked to ${where.join(', ')}. ` +
        'One of the two directories is a copy, and must not be used',
    )
  }
}

function addressTaken(address: Address, by: NodeId): FatalError {
  return new FatalError(
    'refused',
    `${address} is the address of the member ${by}, which runs and does not say that it has moved: this node needs another one`,
  )
}

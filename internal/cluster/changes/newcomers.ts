import { type Incarnation, KvError, limits, type NodeId } from '../../base/index.js'
import type { Log } from '../../env/index.js'
import { type Topology, voters } from '../../slots/index.js'
import type { Founder } from '../links/handshake.js'
import type { InboundRefusal } from '../links/inbound.js'
import { topologyToMessage } from '../topology/topology-codec.js'
import type { TopologyRegister } from '../topology/topology-register.js'
import { joined, returned } from './changes.js'
import type { FormerLives } from './former-lives.js'
import { objectionToJoin } from './objections.js'

export interface NewcomersOptions {
  readonly log: Log
  readonly self: NodeId
  readonly register: Pick<TopologyRegister, 'topology' | 'change'>
  readonly formerLives: Pick<FormerLives, 'stillLinked'>
  readonly guard: (work: Promise<void>) => void
}

interface Candidate {
  readonly founder: Founder
  running: boolean
  /** How far it has come, for whoever waits. */
  told: string
  /** Why it can never be taken in: its former life goes on. */
  alive: string
}

/**
 * Takes in nodes that come without a cluster: those that want to join it, and members that have lost their data
 * directory. The topology is changed to name them: a joining node as a member that owns nothing yet; one that comes
 * back as a new incarnation in the place of the old one, with a number of its own for its stamps, because it has
 * forgotten what it had promised. Until then a newcomer is told to wait, and asks again.
 *
 * A former life that is linked to this node or to any member that this node reaches is alive: then the newcomer is a
 * second node of the same name, and is sent away. At most one candidate of each name is looked at at a time, and the
 * register takes one change after the other.
 */
export class Newcomers {
  readonly #options: NewcomersOptions
  readonly #candidates = new Map<NodeId, Candidate>()
  #stopped = false

  constructor(options: NewcomersOptions) {
    this.#options = options
  }

  /** Idempotent. */
  stop(): void {
    this.#stopped = true
  }

  /** A node greets as one that is no member, and has no cluster. Returns what to tell it. */
  knock(founder: Founder): InboundRefusal {
    const { topology } = this.#options.register
    const objection = this.#objection(topology, founder)
    if (objection !== undefined) return objection
    const known = this.#candidates.get(founder.id)
    const same = known?.founder.incarnation === founder.incarnation
    if (known?.running === true) {
      return wait(same ? known.told : `another new data directory for ${founder.id} is being taken in`)
    }
    if (known !== undefined && same && known.alive !== '') {
      this.#candidates.delete(founder.id)
      return { code: 'id', message: known.alive }
    }
    if (known === undefined && !this.#roomForOneMore()) return wait('many others are being taken in')
    const told = same ? known!.told : 'it is being found out whether it can be taken in'
    const candidate: Candidate = { founder, running: true, told, alive: '' }
    this.#candidates.set(founder.id, candidate)
    this.#options.guard(this.#takeIn(candidate))
    return wait(candidate.told)
  }

  /** What keeps a newcomer out before anybody has to be asked. */
  #objection(topology: Topology, { id, ...founder }: Founder): InboundRefusal | undefined {
    const message = objectionToJoin(topology, { id, ...founder })
    if (message !== undefined) return { code: 'id', message }
    const voting = voters(topology)
    if (!voting.some((member) => member.id === this.#options.self)) {
      const names = voting.map((member) => `${member.id} at ${member.address}`).join(', ')
      const told = `this node is joining the cluster itself, and cannot take in another yet; ${names} can`
      return { code: 'wait', message: told, topology: topologyToMessage(topology) }
    }
    const { members } = topology
    if (members.length < limits.membersMax || members.some((member) => member.id === id)) return undefined
    return wait(`the cluster has ${members.length} members, and no more are possible`)
  }

  /** Whoever has given up asking is forgotten only here. */
  #roomForOneMore(): boolean {
    for (const [id, { running }] of this.#candidates) {
      if (this.#candidates.size < limits.membersMax) break
      if (!running) this.#candidates.delete(id)
    }
    return this.#candidates.size < limits.membersMax
  }

  async #takeIn(candidate: Candidate): Promise<void> {
    const { register, log, formerLives } = this.#options
    const { id, incarnation } = candidate.founder
    const former = register.topology.members.find((member) => member.id === id)?.incarnation
    if (former !== undefined && former !== incarnation) {
      const where = await formerLives.stillLinked(id, former)
      if (where.length > 0) {
        candidate.alive = `${id} is an id that is alive elsewhere: its former life is linked to ${where.join(', ')}`
        log.warn('a second node of the same name was sent away', { node: id, incarnation, linkedTo: where })
      }
    }
    if (former !== incarnation && candidate.alive === '' && !this.#stopped) await this.#change(candidate, former)
    candidate.running = false
  }

  async #change(candidate: Candidate, former: Incarnation | undefined): Promise<void> {
    const { register, log } = this.#options
    const { founder } = candidate
    const { id, incarnation } = founder
    candidate.told = 'the other members are agreeing on it'
    if (former === undefined) log.info('taking in a new member', { node: id, incarnation, address: founder.address })
    else log.info('taking in a member that lost its data directory', { node: id, incarnation, former })
    try {
      await register.change((topology) => {
        return former === undefined ? joined(topology, founder) : returned(topology, founder, former)
      }, limits.returnChangeMs)
      this.#candidates.delete(id)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      candidate.told = `it could not be taken in yet: ${error.message}`
      log.warn('a newcomer has to wait', { node: id, reason: error.message })
    }
  }
}

function wait(message: string): InboundRefusal {
  return { code: 'wait', message }
}

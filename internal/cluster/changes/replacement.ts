import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { KvError, limits, type NodeId } from '../../base/index.js'
import { majority } from '../../consensus/index.js'
import type { Log } from '../../env/index.js'
import { Pauses, type PeerLink } from '../../replication/index.js'
import { type Member, type Topology, voters } from '../../slots/index.js'
import { Absences, type AbsencesOptions } from '../gossip/absences.js'
import type { TopologyRegister } from '../topology/topology-register.js'
import { requested } from './changes.js'
import { isGoing, objectionToRemoval } from './replaceable.js'

export interface ReplacementOptions extends Omit<AbsencesOptions, 'topology'> {
  readonly log: Log
  readonly register: Pick<TopologyRegister, 'topology' | 'change'>
  /** A member that is away for longer is to be removed; 0: none ever is, by this node. */
  readonly replaceAfterMs: number
  /** Whether failure detection holds a member for alive. */
  readonly isAlive: (number: number) => boolean
}

/**
 * Has members removed that are away for long, so that all keys have all their copies again (docs/adr/0033). Liveness alone moves no data:
 * a majority of the voters has to have missed the member for as long, each by itself, and says so when it is asked; as many members
 * as a key has copies have to be left; and the register decides, so that a minority cannot. Every voter does this; those
 * with higher ids wait for longer, so that mostly one proposes.
 */
export class Replacement {
  readonly #options: ReplacementOptions
  readonly #pauses: Pauses
  readonly #absences: Absences
  /** By the number of the member that it is about. */
  readonly #told = new Map<number, string>()

  constructor(options: ReplacementOptions) {
    const { register } = options
    this.#options = options
    this.#pauses = new Pauses(options.clock)
    this.#absences = new Absences({ ...options, topology: () => register.topology })
  }

  /** What a message says or asks about absences; `from` answers on the link to it. Nothing in it ends the link. */
  received(from: NodeId | undefined, { absenceQuestion, absenceAnswer }: PeerMessage, link: PeerLink): undefined {
    if (absenceQuestion !== undefined) link.sendNow({ absenceAnswer: this.#absences.asked(absenceQuestion) })
    if (absenceAnswer !== undefined && from !== undefined) this.#absences.answered(from, absenceAnswer)
  }

  /** Works until stopped. Rejects with bugs, DiskErrors and FatalErrors only. */
  async run(): Promise<void> {
    if (this.#options.replaceAfterMs === 0) return
    while (!this.#pauses.stopped) {
      await this.#round()
      await this.#pauses.pause(limits.replaceCheckMs)
    }
  }

  /** Idempotent. */
  stop(): void {
    this.#pauses.stop()
    this.#absences.stop()
  }

  get #topology(): Topology {
    return this.#options.register.topology
  }

  /** One that must stay does not hold up those that need not. */
  async #round(): Promise<void> {
    const candidates = this.#candidates()
    const absent = new Set(candidates.map(({ number }) => number))
    for (const number of this.#told.keys()) if (!absent.has(number)) this.#told.delete(number)
    for (const dead of candidates) {
      if (this.#pauses.stopped || (await this.#replace(dead))) return
    }
  }

  /** Those about whom it is time for this node to do something; who has been away for longest comes first. */
  #candidates(): Member[] {
    const { replaceAfterMs, self } = this.#options
    const voting = voters(this.#topology)
    if (!voting.some(({ id }) => id === self)) return []
    const before = voting.filter((member) => member.id < self && this.#isAlive(member.id)).length
    const dueMs = replaceAfterMs + before * limits.replaceTurnMs
    return this.#topology.members
      .filter((member) => !isGoing(this.#topology, member))
      .map((member) => ({ member, absentMs: this.#absences.ofMs(member.number) }))
      .filter(({ absentMs }) => absentMs >= dueMs)
      .sort((a, b) => b.absentMs - a.absentMs)
      .map(({ member }) => member)
  }

  /** Whether the register was asked: one change at a time. */
  async #replace(dead: Member): Promise<boolean> {
    const { log, replaceAfterMs } = this.#options
    const objection = objectionToRemoval(this.#topology, dead, (id) => this.#isAlive(id))
    if (objection !== undefined) {
      this.#tell(dead, `${dead.id} has been away for too long, but it is for people to decide: ${objection}`)
      return false
    }
    const voting = voters(this.#topology).map(({ id }) => id)
    const answers = await this.#absences.ask(dead.number, voting)
    const agreeing = [...answers].filter(([, absentMs]) => absentMs >= replaceAfterMs).map(([id]) => id)
    if (agreeing.length < majority(voting.length)) {
      const seen = `only ${agreeing.length} of ${voting.length} members see it`
      this.#tell(dead, `${dead.id} has been away for too long, as ${seen}`)
      return false
    }
    log.warn('a member has been away for too long, and is removed', { node: dead.id, agreeing })
    await this.#remove(dead)
    return true
  }

  async #remove(dead: Member): Promise<void> {
    const { log, register } = this.#options
    try {
      await register.change((topology) => this.#without(topology, dead), limits.replaceChangeMs)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      this.#tell(dead, `${dead.id} could not be removed yet: ${error.message}`)
      return
    }
    this.#told.delete(dead.number)
    if (isStillThere(register.topology, dead)) {
      log.info('a member that was to be removed stays: it is back, or too many others are away', { node: dead.id })
    }
  }

  /** Asked again for every topology that comes in between, and whenever the agreement takes another round. */
  #without(topology: Topology, dead: Member): Topology | undefined {
    if (!isStillThere(topology, dead) || this.#absences.ofMs(dead.number) === 0) return undefined
    if (objectionToRemoval(topology, dead, (id) => this.#isAlive(id)) !== undefined) return undefined
    return requested(topology, { kind: 'remove', id: dead.id })
  }

  #isAlive(id: NodeId): boolean {
    const { isAlive, linked, self } = this.#options
    const member = this.#topology.members.find((each) => each.id === id)
    return id === self || (member !== undefined && linked(id) && isAlive(member.number))
  }

  /** Once, until something else is to be told about it. */
  #tell({ number }: Member, what: string): void {
    if (this.#told.get(number) === what) return
    this.#told.set(number, what)
    this.#options.log.warn(what)
  }
}

/** In the same life, and nobody has taken it out yet. */
function isStillThere(topology: Topology, { number }: Member): boolean {
  const member = topology.members.find((each) => each.number === number)
  return member !== undefined && !isGoing(topology, member)
}

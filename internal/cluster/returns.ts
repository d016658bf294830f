import type { LinkAnswer, LinkQuestion, PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { type Incarnation, KvError, limits, type NodeId } from '../base/index.js'
import type { Clock, Log } from '../env/index.js'
import { Pauses } from '../replication/index.js'
import type { Topology } from '../slots/index.js'
import { returned } from './changes.js'
import type { Founder } from './handshake.js'
import type { InboundRefusal } from './inbound.js'
import type { TopologyRegister } from './topology-register.js'

export interface ReturnsOptions {
  readonly clock: Clock
  readonly log: Log
  readonly self: NodeId
  readonly register: TopologyRegister
  /** How long a dead node may still look alive: until then its former life is not taken for a live one. */
  readonly silenceMs: number
  /** Whether this node has a link to a member. */
  readonly linked: (id: NodeId) => boolean
  readonly send: (to: NodeId, part: Partial<PeerMessage>) => void
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

interface Inquiry {
  readonly waiting: Set<NodeId>
  readonly linked: NodeId[]
  readonly done: () => void
}

/**
 * Takes back members that come with an empty data directory. Such a node has forgotten what it had promised: it is a new
 * incarnation, with a number of its own for its stamps, and the topology is changed to name it in the place of the old
 * one. Until then it is told to wait, and asks again.
 *
 * A former life that is linked to this node or to any member that this node reaches is alive: then the newcomer
 * is a second node of the same name, and is sent away. At most one candidate for each member is looked at at a time.
 */
export class Returns {
  readonly #options: ReturnsOptions
  readonly #pauses: Pauses
  readonly #candidates = new Map<NodeId, Candidate>()
  readonly #inquiries = new Map<number, Inquiry>()
  #inquiryId = 0
  #stopped = false

  constructor(options: ReturnsOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
  }

  /** Idempotent. */
  stop(): void {
    this.#stopped = true
    this.#pauses.endAll()
  }

  /** A node greets with the name of a member, but as a new incarnation without a cluster. Returns what to tell it. */
  knock(founder: Founder): InboundRefusal {
    const known = this.#candidates.get(founder.id)
    const same = known?.founder.incarnation === founder.incarnation
    if (known?.running === true) {
      return wait(same ? known.told : `another new data directory for ${founder.id} is being taken in`)
    }
    if (known !== undefined && same && known.alive !== '') {
      this.#candidates.delete(founder.id)
      return { code: 'id', message: known.alive }
    }
    const told = same ? known!.told : 'whether its former life has ended is being found out'
    const candidate: Candidate = { founder, running: true, told, alive: '' }
    this.#candidates.set(founder.id, candidate)
    this.#options.guard(this.#takeBack(candidate))
    return wait(candidate.told)
  }

  /** Another member wants to know whether somebody's former life is linked to this node. */
  asked(question: LinkQuestion, topology: Topology): LinkAnswer {
    const { id, nodeId, incarnation } = question
    const member = topology.members.find((each) => each.id === nodeId)
    const linked = member?.incarnation === incarnation && this.#options.linked(member.id)
    return { id, linked }
  }

  answered(from: NodeId, { id, linked }: LinkAnswer): void {
    const inquiry = this.#inquiries.get(id)
    if (inquiry === undefined || !inquiry.waiting.delete(from)) return
    if (linked) inquiry.linked.push(from)
    if (inquiry.waiting.size === 0) inquiry.done()
  }

  async #takeBack(candidate: Candidate): Promise<void> {
    const { register, log } = this.#options
    const { id, incarnation } = candidate.founder
    const former = register.topology.members.find((member) => member.id === id)?.incarnation
    if (former !== undefined && former !== incarnation) {
      const where = await this.#stillLinked(id, former)
      if (where.length > 0) {
        candidate.alive = `${id} is an id that is alive elsewhere: its former life is linked to ${where.join(', ')}`
        log.warn('a second node of the same name was sent away', { node: id, incarnation, linkedTo: where })
      } else if (!this.#stopped) await this.#change(candidate, former)
    }
    candidate.running = false
  }

  async #change(candidate: Candidate, former: Incarnation): Promise<void> {
    const { register, log } = this.#options
    const { id, incarnation } = candidate.founder
    candidate.told = 'the other members are agreeing on it'
    log.info('taking in a member that lost its data directory', { node: id, incarnation, former })
    try {
      await register.change((topology) => returned(topology, candidate.founder, former), limits.returnChangeMs)
      this.#candidates.delete(id)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      candidate.told = `it could not be taken in yet: ${error.message}`
      log.warn('a member that lost its data directory has to wait', { node: id, reason: error.message })
    }
  }

  /**
   * Who has a link to that life, when one of them has said so for as long as the silence lasts; empty as soon as nobody
   * has. Answers are counted, and in a row: a process that was stopped meanwhile, this one included, finds its links as
   * they were before it finds out that they are dead.
   */
  async #stillLinked(id: NodeId, former: Incarnation): Promise<readonly NodeId[]> {
    const enough = Math.ceil(this.#options.silenceMs / limits.returnAskIntervalMs)
    let inARow = new Map<NodeId, number>()
    for (;;) {
      const linked = await this.#whoIsLinked(id, former)
      if (linked.length === 0 || this.#stopped) return []
      inARow = new Map(linked.map((member) => [member, (inARow.get(member) ?? 0) + 1]))
      if ([...inARow.values()].some((times) => times > enough)) return linked
      await this.#pauses.pause(limits.returnAskIntervalMs)
    }
  }

  #whoIsLinked(id: NodeId, incarnation: Incarnation): Promise<readonly NodeId[]> {
    const { self, register, linked, send } = this.#options
    const here = linked(id) ? [self] : []
    const others = register.topology.members.filter((member) => member.id !== self && member.id !== id)
    const reached = others.filter((member) => linked(member.id)).map((member) => member.id)
    if (reached.length === 0 || this.#stopped) return Promise.resolve(here)
    const number = ++this.#inquiryId
    return new Promise((resolve) => {
      const answered = [...here]
      const done = (): void => {
        stopWaiting()
        this.#inquiries.delete(number)
        resolve(answered)
      }
      const stopWaiting = this.#pauses.begin(limits.returnAnswerMs, done)
      this.#inquiries.set(number, { waiting: new Set(reached), linked: answered, done })
      for (const member of reached) send(member, { linkQuestion: { id: number, nodeId: id, incarnation } })
    })
  }
}

function wait(message: string): InboundRefusal {
  return { code: 'wait', message }
}

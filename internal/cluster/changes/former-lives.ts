import type { LinkAnswer, LinkQuestion, PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { type Incarnation, limits, type NodeId } from '../../base/index.js'
import type { Clock } from '../../env/index.js'
import { Pauses } from '../../replication/index.js'
import type { Topology } from '../../slots/index.js'
import { Inquiries } from '../gossip/inquiries.js'

export interface FormerLivesOptions {
  readonly clock: Clock
  readonly self: NodeId
  readonly topology: () => Topology
  /** How long a dead node may still look alive: until then its former life is not taken for a live one. */
  readonly silenceMs: number
  /** Whether this node has a link to a member, in another life of its process than that one; empty: in any. */
  readonly linked: (id: NodeId, otherThan: string) => boolean
  readonly send: (to: NodeId, part: Partial<PeerMessage>) => void
}

/** Finds out whether a member's life goes on somewhere, although another node has come under its name. */
export class FormerLives {
  readonly #options: FormerLivesOptions
  readonly #pauses: Pauses
  readonly #inquiries: Inquiries<boolean>

  constructor(options: FormerLivesOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
    this.#inquiries = new Inquiries(this.#pauses)
  }

  /** Idempotent. */
  stop(): void {
    this.#pauses.stop()
  }

  /** Another member wants to know whether somebody's former life is linked to this node. */
  asked({ id, nodeId, incarnation, otherThan }: LinkQuestion): LinkAnswer {
    const member = this.#options.topology().members.find((each) => each.id === nodeId)
    const linked = member?.incarnation === incarnation && this.#options.linked(member.id, otherThan)
    return { id, linked }
  }

  answered(from: NodeId, { id, linked }: LinkAnswer): void {
    this.#inquiries.answered(from, id, linked)
  }

  /**
   * Who has a link to that life (where it is this node's own: in another process than the one named), when one of them
   * has said so for as long as the silence lasts; empty as soon as nobody has. Answers are counted, and in a row: a process that was stopped meanwhile, this one included, finds its links as
   * they were before it finds out that they are dead.
   */
  async stillLinked(id: NodeId, former: Incarnation, otherThan: string = ''): Promise<readonly NodeId[]> {
    const enough = Math.ceil(this.#options.silenceMs / limits.returnAskIntervalMs)
    let inARow = new Map<NodeId, number>()
    for (;;) {
      const linked = await this.#whoIsLinked(id, former, otherThan)
      if (linked.length === 0 || this.#pauses.stopped) return []
      inARow = new Map(linked.map((member) => [member, (inARow.get(member) ?? 0) + 1]))
      if ([...inARow.values()].some((times) => times > enough)) return linked
      await this.#pauses.pause(limits.returnAskIntervalMs)
    }
  }

  async #whoIsLinked(id: NodeId, incarnation: Incarnation, otherThan: string): Promise<readonly NodeId[]> {
    const { self, topology, linked, send } = this.#options
    const here = linked(id, otherThan) ? [self] : []
    const others = topology().members.filter((member) => member.id !== self && member.id !== id)
    const reached = others.filter((member) => linked(member.id, '')).map((member) => member.id)
    const answers = await this.#inquiries.ask(reached, limits.returnAnswerMs, (member, number) => {
      send(member, { linkQuestion: { id: number, nodeId: id, incarnation, otherThan } })
    })
    return [...here, ...reached.filter((member) => answers.get(member) === true)]
  }
}

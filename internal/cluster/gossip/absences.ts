import type { AbsenceAnswer, AbsenceQuestion } from '@quorumkv/proto/kv/peer/v1/messages'
import { limits, type NodeId } from '../../base/index.js'
import type { Clock } from '../../env/index.js'
import { Pauses } from '../../replication/index.js'
import type { Topology } from '../../slots/index.js'
import { Inquiries } from './inquiries.js'

export interface AbsencesOptions {
  readonly clock: Clock
  readonly self: NodeId
  readonly topology: () => Topology
  /** For how long this node has held a member for dead, by its number; 0: it does not. */
  readonly absentMs: (number: number) => number
  /** Whether this node has a link to a member. */
  readonly linked: (id: NodeId) => boolean
  readonly send: (to: NodeId, part: { absenceQuestion: AbsenceQuestion }) => void
}

/** For how long a member has been away in the eyes of each member, asked of them in the moment in which it matters. */
export class Absences {
  readonly #options: AbsencesOptions
  readonly #pauses: Pauses
  readonly #inquiries: Inquiries<number>

  constructor(options: AbsencesOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
    this.#inquiries = new Inquiries(this.#pauses)
  }

  /** Idempotent. Who is being asked counts as silent. */
  stop(): void {
    this.#pauses.stop()
  }

  /** In the eyes of this node; 0: the member is there, or cannot be told, or is none. Whoever is linked is there. */
  ofMs(number: number): number {
    const { absentMs, linked, topology } = this.#options
    const member = topology().members.find((each) => each.number === number)
    return member === undefined || linked(member.id) ? 0 : absentMs(number)
  }

  /** Another member wants to know. */
  asked({ id, number }: AbsenceQuestion): AbsenceAnswer {
    return { id, absentMs: this.ofMs(number) }
  }

  answered(from: NodeId, { id, absentMs }: AbsenceAnswer): void {
    this.#inquiries.answered(from, id, absentMs)
  }

  /** What this node and these say that answer in time. */
  async ask(number: number, members: readonly NodeId[]): Promise<ReadonlyMap<NodeId, number>> {
    const { linked, self, send } = this.#options
    const own = this.ofMs(number)
    const others = members.filter((id) => id !== self && linked(id))
    const answers = await this.#inquiries.ask(others, limits.replaceAnswerMs, (member, id) => {
      send(member, { absenceQuestion: { id, number } })
    })
    return new Map([[self, own], ...answers])
  }
}

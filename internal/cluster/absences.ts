import type { AbsenceAnswer, AbsenceQuestion } from '@quorumkv/proto/kv/peer/v1/messages'
import { limits, type NodeId } from '../base/index.js'
import type { Clock } from '../env/index.js'
import { Pauses } from '../replication/index.js'
import type { Topology } from '../slots/index.js'

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

interface Inquiry {
  readonly waiting: Set<NodeId>
  readonly answers: Map<NodeId, number>
  readonly done: () => void
}

/** For how long a member has been away in the eyes of each member, asked of them in the moment in which it matters. */
export class Absences {
  readonly #options: AbsencesOptions
  readonly #pauses: Pauses
  readonly #inquiries = new Map<number, Inquiry>()
  #inquiryId = 0

  constructor(options: AbsencesOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
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
    const inquiry = this.#inquiries.get(id)
    if (inquiry === undefined || !inquiry.waiting.delete(from)) return
    inquiry.answers.set(from, absentMs)
    if (inquiry.waiting.size === 0) inquiry.done()
  }

  /** What this node and these say that answer in time. */
  async ask(number: number, members: readonly NodeId[]): Promise<ReadonlyMap<NodeId, number>> {
    const { linked, self, send } = this.#options
    const answers = new Map([[self, this.ofMs(number)]])
    const others = members.filter((id) => id !== self && linked(id))
    if (others.length === 0) return answers
    const id = ++this.#inquiryId
    await this.#pauses.answer<void>(limits.replaceAnswerMs, undefined, (done) => {
      this.#inquiries.set(id, { waiting: new Set(others), answers, done })
      for (const member of others) send(member, { absenceQuestion: { id, number } })
    })
    this.#inquiries.delete(id)
    return answers
  }
}

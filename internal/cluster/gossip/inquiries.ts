import type { NodeId } from '../../base/index.js'
import type { Pauses } from '../../replication/index.js'

interface Inquiry<T> {
  readonly waiting: Set<NodeId>
  readonly answers: Map<NodeId, T>
  readonly done: () => void
}

/**
 * Asks several members the same thing at once, and gathers what they answer in time. Questions and answers carry a number,
 * so that late answers to one inquiry are not taken for those to the next.
 */
export class Inquiries<T> {
  readonly #pauses: Pauses
  readonly #running = new Map<number, Inquiry<T>>()
  #lastId = 0

  /** When the pauses end, inquiries end with the answers that there are. */
  constructor(pauses: Pauses) {
    this.#pauses = pauses
  }

  /** Each member counts once, and only who was asked. */
  answered(from: NodeId, id: number, answer: T): void {
    const inquiry = this.#running.get(id)
    if (inquiry === undefined || !inquiry.waiting.delete(from)) return
    inquiry.answers.set(from, answer)
    if (inquiry.waiting.size === 0) inquiry.done()
  }

  /** What these members answer within so many milliseconds; `put` sends one of them the question of that number. */
  async ask(
    members: readonly NodeId[],
    withinMs: number,
    put: (member: NodeId, id: number) => void,
  ): Promise<ReadonlyMap<NodeId, T>> {
    const answers = new Map<NodeId, T>()
    if (members.length === 0) return answers
    const id = ++this.#lastId
    await this.#pauses.answer<void>(withinMs, undefined, (done) => {
      this.#running.set(id, { waiting: new Set(members), answers, done })
      for (const member of members) put(member, id)
    })
    this.#running.delete(id)
    return answers
  }
}

import { limits } from './limits.js'

/** What can happen to a node that people want to see. The names are part of `Cluster.Figures`. */
export type NodeEventKind =
  | 'joined'
  | 'left'
  | 'suspected'
  | 'dead'
  | 'alive'
  | 'repaired'
  | 'snapshot'
  | 'handover'
  | 'epoch'
  | 'hint-replayed'
  | 'lost-slots'
  | 'slow'

/** One of them. */
export interface NodeEvent {
  /** From 1, in the order in which they happened. */
  readonly number: number
  /** Unix milliseconds, by the node's own clock. */
  readonly atMs: number
  readonly kind: NodeEventKind
  /** Whom it is about: a member, mostly; empty: the node itself. */
  readonly subject: string
  /** For people. Names no key and no value. */
  readonly text: string
}

/**
 * The last events of a node, for those who look at it: the log tells more, but to whoever has it. The oldest are forgotten
 * beyond `limits.nodeEventsMax`; numbers tell a reader whether it has missed some.
 */
export class NodeEvents {
  readonly #wallMs: () => number
  readonly #ring: NodeEvent[] = []
  #last = 0

  /** `wallMs`: the clock that dates them. */
  constructor(wallMs: () => number) {
    this.#wallMs = wallMs
  }

  add(kind: NodeEventKind, subject: string, text: string): void {
    const number = ++this.#last
    this.#ring[(number - 1) % limits.nodeEventsMax] = { number, atMs: this.#wallMs(), kind, subject, text }
  }

  /** Those with a larger number that are not forgotten, the oldest first. */
  after(number: number): NodeEvent[] {
    const events: NodeEvent[] = []
    const oldest = Math.max(1, this.#last - this.#ring.length + 1)
    for (let i = Math.max(oldest, number + 1); i <= this.#last; i++) {
      events.push(this.#ring[(i - 1) % limits.nodeEventsMax]!)
    }
    return events
  }
}

import type { NodeId, Slot } from '../../base/index.js'
import { type ExchangeTally, emptyTally } from './counterpart.js'

/** What to make equal; what is left out is all of it. */
export interface RepairRequest {
  /** One slot, which the node that is asked must own. */
  readonly slot?: Slot | undefined
  /** Only with this member. */
  readonly node?: NodeId | undefined
}

/** How far a repair has come. */
export interface RepairProgress extends Readonly<ExchangeTally> {
  /** Names it at the node that makes it, for as long as the node remembers it. */
  readonly id: number
  readonly done: boolean
  /** Members to be compared with, and those with which that is over, in success or not. */
  readonly members: number
  readonly membersDone: number
  /** With whom it did not get to its end, and why. */
  readonly obstacles: readonly { readonly node: NodeId; readonly reason: string }[]
}

/** A comparison with some members that somebody asked for. */
export class Repair {
  readonly id: number
  readonly slot: Slot | undefined
  readonly #waiting: NodeId[]
  readonly #members: number
  readonly #tallies: ExchangeTally[] = []
  readonly #obstacles: { node: NodeId; reason: string }[] = []
  #running = false

  constructor(id: number, slot: Slot | undefined, members: readonly NodeId[]) {
    this.id = id
    this.slot = slot
    this.#waiting = [...members]
    this.#members = members.length
  }

  get done(): boolean {
    return this.#waiting.length === 0 && !this.#running
  }

  /** The member that is next, whose exchange begins; undefined: none is left. */
  next(): { member: NodeId; tally: ExchangeTally } | undefined {
    const member = this.#waiting.shift()
    if (member === undefined) return undefined
    const tally = emptyTally()
    this.#tallies.push(tally)
    this.#running = true
    return { member, tally }
  }

  /** The exchange that began last is over; `obstacle` empty: it got to its end. */
  ended(node: NodeId, obstacle: string): void {
    this.#running = false
    if (obstacle !== '') this.#obstacles.push({ node, reason: obstacle })
  }

  /** It will not go on. */
  giveUp(reason: string): void {
    for (const node of this.#waiting.splice(0)) this.#obstacles.push({ node, reason })
  }

  progress(): RepairProgress {
    const sum = emptyTally()
    for (const tally of this.#tallies) addTally(sum, tally)
    return {
      ...sum,
      id: this.id,
      done: this.done,
      members: this.#members,
      membersDone: this.#tallies.length - (this.#running ? 1 : 0) + this.#abandoned,
      obstacles: [...this.#obstacles],
    }
  }

  get #abandoned(): number {
    return this.#members - this.#tallies.length - this.#waiting.length
  }
}

export function addTally(sum: ExchangeTally, tally: Readonly<ExchangeTally>): void {
  sum.differing += tally.differing
  sum.repaired += tally.repaired
  sum.skipped += tally.skipped
  sum.pulled += tally.pulled
  sum.pushed += tally.pushed
  sum.bytes += tally.bytes
}

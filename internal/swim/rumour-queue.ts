import { limits } from '../base/index.js'
import { type Rumour, rumourBytes } from './messages.js'

interface Waiting {
  readonly rumour: Rumour
  readonly bytes: number
  /** Later ones have higher numbers. */
  readonly order: number
  sent: number
}

/**
 * Rumours that are to be passed on. One for each member, the newest, so it is bounded by the number of members; each
 * is sent a number of times that grows with the logarithm of the cluster's size, and then forgotten (SWIM, 4.1).
 */
export class RumourQueue {
  readonly #waiting = new Map<number, Waiting>()
  #order = 0

  /** Whether there is anything to tell this member: what waits about itself is not for it. */
  hasFor(number: number): boolean {
    return this.#waiting.size > (this.#waiting.has(number) ? 1 : 0)
  }

  /** The members about whom something waits. */
  get numbers(): readonly number[] {
    return [...this.#waiting.keys()]
  }

  /** Replaces what waited about this member. */
  put(rumour: Rumour): void {
    const bytes = rumourBytes(rumour)
    this.#waiting.set(rumour.number, { rumour, bytes, order: this.#order++, sent: 0 })
  }

  drop(number: number): void {
    this.#waiting.delete(number)
  }

  /**
   * What goes into a message to the member `to`, within `bytesMax`: what was sent least first, then the newest. It is
   * told nothing about itself, and nothing about those in `told`.
   */
  take(to: number, told: readonly Rumour[], bytesMax: number, members: number): Rumour[] {
    const candidates = [...this.#waiting.values()].filter(
      ({ rumour }) => rumour.number !== to && !told.some(({ number }) => number === rumour.number),
    )
    candidates.sort((a, b) => a.sent - b.sent || b.order - a.order)
    const most = transmissions(members)
    const taken: Rumour[] = []
    let left = bytesMax
    for (const each of candidates) {
      if (each.bytes > left) continue
      left -= each.bytes
      taken.push(each.rumour)
      each.sent++
      if (each.sent >= most) this.#waiting.delete(each.rumour.number)
    }
    return taken
  }
}

/** How often a rumour is sent by each node that has it. */
export function transmissions(members: number): number {
  return limits.swimRetransmitMult * Math.ceil(Math.log10(members + 1))
}

import type { Slot } from '../base/index.js'

/**
 * Tells slots of which a replica lacks something from those that differ only while writes are under way. Under load a
 * large part of all slots differs at any moment, and to go through each of them would cost more than the writes do.
 *
 * A slot's digest is the XOR over its records, so the XOR of two members' digests is that of the records which only one of
 * them has. What stays missing gives the same difference at every look at which nothing else is under way. Writes
 * under way are others at each look. And where the two digests are equal at one look, nothing was missing then.
 */
export class Suspects {
  /** The differences that each slot showed so far; slots that are decided are gone. */
  readonly #seen = new Map<Slot, string[]>()
  readonly #confirmed: Slot[] = []
  #looks = 0

  /** Takes what one look found: every slot that differed, with its difference. The first look says what is looked at. */
  look(found: ReadonlyMap<Slot, string>): void {
    if (this.#looks++ === 0) {
      for (const [slot, difference] of found) this.#seen.set(slot, [difference])
      return
    }
    for (const [slot, seen] of this.#seen) {
      const difference = found.get(slot)
      if (difference !== undefined && !seen.includes(difference)) {
        seen.push(difference)
        continue
      }
      this.#seen.delete(slot)
      if (difference !== undefined) this.#confirmed.push(slot)
    }
  }

  /** Slots that lack something on one side. */
  get confirmed(): readonly Slot[] {
    return this.#confirmed
  }

  /** Slots that have differed at every look, and differently. */
  get doubtful(): Slot[] {
    return [...this.#seen.keys()]
  }
}

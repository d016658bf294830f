/**
 * Up to which stamps this node admits no fresh write any more: what was stamped a good while before its own clock's
 * reading has been held up somewhere, and comes too late for owners that have been compared up to then
 * (docs/adr/0023-tombstone-floors.md). Whoever stamped it stamps it again. Repairs of what some owner holds are
 * not concerned: they carry old stamps by nature.
 */
export class Horizon {
  readonly #readingMs: () => number
  readonly #distanceMs: number
  #highestMs = 0

  /** `readingMs`: of this node's clock, in Unix milliseconds; what may not be trusted must not be in it. */
  constructor(readingMs: () => number, distanceMs: number) {
    this.#readingMs = readingMs
    this.#distanceMs = distanceMs
  }

  /** Unix milliseconds: what was stamped then or before is refused from now on. Never falls. */
  ms(): number {
    this.#highestMs = Math.max(this.#highestMs, this.#readingMs() - this.#distanceMs)
    return this.#highestMs
  }
}

/** Refuses nothing. */
export const noHorizon: Horizon = new Horizon(() => 0, 0)

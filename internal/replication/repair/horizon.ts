/**
 * Up to which stamps this node admits no fresh write any more: what was stamped a good while before its own clock's
 * reading has been held up somewhere, and comes too late for owners that have been compared up to then
 * (docs/adr/0023-tombstone-floors.md). Whoever stamped it stamps it again. Repairs of what some owner holds are
 * not concerned: they carry old stamps by nature.
 */
export class Horizon {
  readonly #readingMs: () => number
  readonly #distanceMs: number
  readonly #promised: (ms: number) => void
  #highestMs = 0

  /**
   * `readingMs`: of this node's clock, in Unix milliseconds; what may not be trusted must not be in it. `promised` is told
   * of each new height before anybody else: this node's own stamps must be above it from then on.
   */
  constructor(readingMs: () => number, distanceMs: number, promised: (ms: number) => void = () => undefined) {
    this.#readingMs = readingMs
    this.#distanceMs = distanceMs
    this.#promised = promised
  }

  /** Unix milliseconds: what was stamped then or before is refused from now on. Never falls. */
  ms(): number {
    const ms = this.#readingMs() - this.#distanceMs
    if (ms > this.#highestMs) {
      this.#highestMs = ms
      this.#promised(ms)
    }
    return this.#highestMs
  }
}

/**
 * What time it is for a `Horizon`: what the hybrid clock reads, and where nobody writes, so that it stands still, the wall
 * clock, but no later than monotonic time has gone on since. What is promised on a wall clock stays: floors are on
 * disks. So a wall that is wrong for a while, and be it on all nodes alike, moves a horizon no further than the true time
 * would have, unless writes were stamped by it.
 */
export class PacedReading {
  readonly #hybridMs: () => number
  readonly #wallMs: () => number
  readonly #monotonicMs: () => number
  #paceMs = 0
  #atMs: number

  /** In Unix milliseconds, but for `monotonicMs`. `wallMs`: 0 while the wall clock may not be trusted. */
  constructor(hybridMs: () => number, wallMs: () => number, monotonicMs: () => number) {
    this.#hybridMs = hybridMs
    this.#wallMs = wallMs
    this.#monotonicMs = monotonicMs
    this.#atMs = monotonicMs()
  }

  ms(): number {
    const nowMs = this.#monotonicMs()
    const hybridMs = this.#hybridMs()
    this.#paceMs = Math.max(this.#paceMs + nowMs - this.#atMs, hybridMs)
    this.#atMs = nowMs
    return Math.floor(Math.max(hybridMs, Math.min(this.#wallMs(), this.#paceMs)))
  }
}

/** Refuses nothing. */
export const noHorizon: Horizon = new Horizon(() => 0, 0)

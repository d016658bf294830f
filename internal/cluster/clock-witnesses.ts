import type { NodeId } from '../base/index.js'
import type { Clock } from '../env/index.js'

/**
 * What the other nodes' wall clocks read, as far as their messages told. A node whose own wall clock has jumped ahead
 * must not stamp: its stamps would lie on its disk and beat what the others acknowledge later.
 *
 * Each reading is kept as its distance from this node's monotonic clock, so a jump of the wall shows at once, before
 * anyone has spoken again. A reading is late by the time that its message travelled; the bound is far above that.
 */
export class ClockWitnesses {
  readonly #alone: boolean
  readonly #clock: Clock
  readonly #maxDriftMs: number
  readonly #offsetsMs = new Map<NodeId, number>()

  /** `alone`: the node is the only member of its cluster, and nobody can bear it out. */
  constructor(clock: Clock, maxDriftMs: number, alone: boolean) {
    this.#alone = alone
    this.#clock = clock
    this.#maxDriftMs = maxDriftMs
  }

  heard(from: NodeId, wallMs: number): void {
    this.#offsetsMs.set(from, wallMs - this.#clock.monotonicMs())
  }

  /**
   * Whether this node's wall clock is further ahead than allowed of what most of the others' read. With two nodes
   * nobody can say whose clock is off: then the one that is ahead holds back, because that does no harm.
   */
  localIsAhead(): boolean {
    if (this.#offsetsMs.size === 0) return false
    const localMs = this.#clock.wallMs() - this.#clock.monotonicMs() - this.#maxDriftMs
    let ahead = 0
    for (const offsetMs of this.#offsetsMs.values()) if (localMs > offsetMs) ahead++
    return ahead * 2 > this.#offsetsMs.size
  }

  /** Whether this clock may be believed: the node is alone, or it has heard others, and most do not say it is ahead. */
  bearOutLocal(): boolean {
    return this.#alone || (this.#offsetsMs.size > 0 && !this.localIsAhead())
  }
}

import type { NodeId } from '../base/index.js'
import { type Clock, type Log, silentLog } from '../env/index.js'
import { hlcMsMax } from '../hlc/index.js'
import { type Topology, voters } from '../slots/index.js'

/**
 * What the other nodes' wall clocks read, as far as their messages told. A node whose own wall clock has jumped ahead
 * must not stamp: its stamps would lie on its disk and beat what the others acknowledge later.
 *
 * Each reading is kept as its distance from this node's monotonic clock, so a jump of the wall shows at once, before
 * anyone has spoken again. A reading is late by the time that its message travelled; the bound is far above that.
 */
export class ClockWitnesses {
  #alone = false
  readonly #clock: Clock
  readonly #maxDriftMs: number
  readonly #log: Log
  /** What the log was told last. */
  #toldAhead = false
  readonly #offsetsMs = new Map<NodeId, number>()

  constructor(clock: Clock, maxDriftMs: number, log: Log = silentLog) {
    this.#clock = clock
    this.#log = log
    this.#maxDriftMs = maxDriftMs
  }

  /**
   * Whoever is no member any more bears witness no longer. Nobody needs to bear out the only voter: its cluster is itself,
   * with others at most on their way to it.
   */
  follow(topology: Topology, self: NodeId): void {
    const voting = voters(topology)
    this.#alone = voting.length === 1 && voting[0]!.id === self
    for (const id of this.#offsetsMs.keys()) {
      if (!topology.members.some((member) => member.id === id)) this.#offsetsMs.delete(id)
    }
  }

  /** What a message said; 0, or what no clock can read, says nothing. */
  heard(from: NodeId, wallMs: number): void {
    if (!(wallMs > 0 && wallMs <= hlcMsMax)) return
    this.#offsetsMs.set(from, wallMs - this.#clock.monotonicMs())
    this.#tell()
  }

  /** Whoever runs this node finds out from its log, and not from clients whose writes are refused. */
  #tell(): void {
    const isAhead = this.localIsAhead()
    if (isAhead === this.#toldAhead) return
    this.#toldAhead = isAhead
    if (!isAhead) this.#log.info('the clock of this machine is within the bound again')
    else {
      const facts = { aheadMs: this.offsetMs(), maxClockDriftMs: this.#maxDriftMs }
      this.#log.warn(
        "the clock of this machine is too far ahead of most other nodes': no write is stamped here until it is set right",
        facts,
      )
    }
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

  /** The local wall clock less the median of the others' (of the middle two the lower one); 0: nobody has spoken. */
  offsetMs(): number {
    if (this.#offsetsMs.size === 0) return 0
    const others = [...this.#offsetsMs.values()].sort((a, b) => a - b)
    const median = others[(others.length - 1) >> 1]!
    return Math.round(this.#clock.wallMs() - this.#clock.monotonicMs() - median)
  }

  /** Whether this clock may be believed: the node is alone, or it has heard others, and most do not say it is ahead. */
  bearOutLocal(): boolean {
    return this.#alone || (this.#offsetsMs.size > 0 && !this.localIsAhead())
  }
}

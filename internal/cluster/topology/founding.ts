import type { Address } from '../../base/index.js'
import type { Clock, Log, Timer } from '../../env/index.js'
import { type Member, type Topology, voters } from '../../slots/index.js'
import type { FormationView, Founder } from '../links/handshake.js'
import { Formation } from './formation.js'

export interface FoundingOptions {
  readonly clock: Clock
  readonly local: Founder
  readonly named: readonly Address[]
  readonly dial: (address: Address) => void
  /** Why the last call to this address came to nothing; empty: nothing is known of one. */
  readonly obstacle: (address: Address) => string
  /** Tells everyone on a link whom this node has met. */
  readonly announce: () => void
  readonly log: Log
  /** Where the data directory has belonged to a cluster this node looks for that one, and founds none. */
  readonly mayFound: boolean
  /** This node is the one to found the cluster, with these members. Called at most once. */
  readonly found: (members: Member[]) => void
}

/** How often forming nodes tell each other whom they have met, besides whenever that changes. */
const announceIntervalMs = 250
/** How often a node that still waits says for whom. */
const complainIntervalMs = 5_000

/** Carries out what the formation says, until the node belongs to a cluster. */
export class Founding {
  readonly #options: FoundingOptions
  readonly #formation: Formation
  #timer: Timer | undefined
  #complainAtMs = 0
  #ended = false
  /** What members of a cluster that may take this node in have said last. */
  readonly #told = new Map<Address, string>()

  constructor(options: FoundingOptions) {
    this.#options = options
    this.#formation = new Formation(options.local, options.named)
  }

  start(): void {
    this.#complainAtMs = this.#options.clock.monotonicMs() + complainIntervalMs
    this.#tick()
    this.#follow()
  }

  view(): FormationView {
    return this.#formation.view()
  }

  /** A hello of a node that belongs to no cluster either; `dialled` is where it answered if this node had called. */
  heard(from: Founder, view: FormationView, dialled?: Address): void {
    // What this node has said of whom it met must stay true while the topology is written: a newcomer that was told of
    // a larger set could found a second cluster with it.
    if (this.#ended) return
    const before = JSON.stringify(this.view())
    this.#formation.heard(from, view, dialled)
    if (JSON.stringify(this.view()) !== before) this.#options.announce()
    this.#follow()
  }

  /** `address` turned out to be this node itself. */
  isSelf(address: Address): void {
    this.#formation.isSelf(address)
    this.#follow()
  }

  /**
   * The node at `at` belongs to a cluster that may take this one in, and says how far that has come; `topology` where others
   * have to be asked.
   */
  waits(at: Address, message: string, topology: Topology | undefined): void {
    if (this.#ended) return
    const first = this.#told.size === 0
    this.#told.set(at, message)
    if (first) this.#options.log.info('waiting to be taken in by the cluster', { at, message })
    for (const { address } of topology === undefined ? [] : voters(topology)) this.#options.dial(address)
  }

  /** The node belongs to a cluster now, or stops. */
  end(): void {
    this.#ended = true
    this.#timer?.cancel()
  }

  /** A hello may have been lost with its link, so it is said again and again. */
  #tick(): void {
    this.#timer = this.#options.clock.setTimer(announceIntervalMs, () => {
      this.#options.announce()
      this.#complain()
      this.#tick()
    })
  }

  #complain(): void {
    const { clock, log, obstacle } = this.#options
    if (clock.monotonicMs() < this.#complainAtMs) return
    this.#complainAtMs = clock.monotonicMs() + complainIntervalMs
    if (this.#told.size > 0) {
      log.warn('still waiting to be taken in by the cluster', { told: Object.fromEntries(this.#told) })
      return
    }
    const unanswered = this.#formation.missing.map(
      (address) => [address, obstacle(address) || 'no answer yet'] as const,
    )
    const met = this.view().met.map(({ id, address }) => `${id}@${address}`)
    log.warn('still forming: every node that was named must answer, and all must have met the same ones', {
      met,
      unanswered: Object.fromEntries(unanswered),
    })
  }

  #follow(): void {
    if (this.#ended) return
    for (const address of this.#formation.addresses) this.#options.dial(address)
    if (!this.#options.mayFound || this.#formation.verdict() !== 'found') return
    this.end()
    this.#options.found(this.#formation.members())
  }
}

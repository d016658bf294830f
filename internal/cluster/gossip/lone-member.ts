import { type Address, FatalError, limits, type NodeId } from '../../base/index.js'
import type { Topology } from '../../slots/index.js'
import { Dialer, type LinkOptions } from '../links/dialer.js'
import { helloOf, type LocalNode } from '../links/handshake.js'

export interface LoneMemberOptions extends LinkOptions {
  readonly local: LocalNode
  readonly topology: Topology
  /** What `--peers` names. */
  readonly named: readonly Address[]
  /** Addresses known to be its own. */
  readonly own: readonly Address[]
}

/**
 * A node that was founded alone and is now started with `--peers`: whoever named others expects copies of the data
 * there, and serving alone would acknowledge what exists only once. It may go on where all names are its own, which
 * only a call can tell (one host has many names), and where one of those named asks to be taken in: then there will be
 * copies. Anything else refuses the start: the others may have a cluster of their own, or be about to.
 */
export class LoneMember {
  readonly #options: LoneMemberOptions
  readonly #dialers: readonly Dialer[]
  /** Undefined: this node itself. */
  readonly #answers = new Map<Address, string | undefined>()
  /** Nodes without a cluster that answer at named addresses, and those that ask to be taken in. */
  readonly #met = new Map<Address, string>()
  readonly #asking = new Set<string>()
  #joined = false

  constructor(options: LoneMemberOptions) {
    this.#options = options
    const { named, own, topology } = options
    const addresses = topology.members.length > 1 ? [] : named.filter((address) => !own.includes(address))
    this.#dialers = addresses.map((address) => this.#caller(address))
  }

  /** There is nothing to find out. */
  get settled(): boolean {
    return this.#dialers.length === 0
  }

  /**
   * Resolves when every named address has turned out to be this node, when a node that was named asks to be taken in,
   * and when it is stopped. Rejects with FatalError `refused` where a node of another cluster answers, or, within
   * `limits.ownAddressAnswerMs`, nobody that asks.
   */
  async check(): Promise<void> {
    const timer = this.#options.clock.setTimer(limits.ownAddressAnswerMs, () => {
      for (const dialer of this.#dialers) {
        if (this.#answers.has(dialer.address)) continue
        const met = this.#met.get(dialer.address)
        this.#answer(dialer, met === undefined ? 'nobody answers' : `${met} answers, and does not ask to be taken in`)
      }
    })
    await Promise.all(this.#dialers.map((dialer) => dialer.run()))
    timer.cancel()
    if (this.#joined) return
    for (const [address, answer] of this.#answers) if (answer !== undefined) throw this.#refusal(address, answer)
  }

  stop(): void {
    for (const dialer of this.#dialers) dialer.stop()
  }

  /** A node without a cluster asks to be taken in. */
  knocked(id: NodeId): void {
    if (this.#asking.size < limits.membersMax) this.#asking.add(id)
    this.#judge()
  }

  #judge(): void {
    if (![...this.#met.values()].some((id) => this.#asking.has(id))) return
    this.#joined = true
    this.stop()
  }

  #answer(dialer: Dialer, answer: string | undefined): void {
    this.#answers.set(dialer.address, answer)
    // One that is another node settles it: nobody has to wait for the rest.
    if (answer === undefined) dialer.stop()
    else this.stop()
  }

  #caller(address: Address): Dialer {
    const { local, topology } = this.#options
    const dialer: Dialer = new Dialer({
      channel: 'requests',
      ...this.#options,
      address,
      handlers: {
        greeting: () => ({ hello: helloOf(local, topology, { met: [], unmet: [] }) }),
        greeted: ({ hello: answer }) => {
          if (answer.life !== local.life && answer.clusterId === '') {
            this.#met.set(address, answer.nodeId)
            this.#judge()
          } else this.#answer(dialer, answer.life === local.life ? undefined : `${answer.nodeId} answers`)
          return 'it was only asked who it is'
        },
        message: () => 'it was only asked who it is',
        refused: ({ message }) => this.#answer(dialer, `another node answers and says: ${message}`),
        lost: () => undefined,
      },
    })
    return dialer
  }

  #refusal(address: Address, answer: string): FatalError {
    const { clusterId } = this.#options.topology
    return new FatalError(
      'refused',
      `--peers names ${address}, but the data directory belongs to cluster ${clusterId}, of which this node is the only ` +
        `member; at ${address} ${answer}. Start it without --peers, or name a new data directory to form a new cluster`,
    )
  }
}

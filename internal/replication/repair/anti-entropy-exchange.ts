import { DigestLevel } from '@quorumkv/proto/kv/peer/v1/messages'
import { limits, type Slot } from '../../base/index.js'
import { groupOf, Suspects } from '../../merkle/index.js'
import { SlotExchange } from '../transfer/slot-exchange.js'
import { Counterpart, type ExchangeOptions, Told } from './counterpart.js'

/**
 * One comparison of this node with one other member, and the exchange of what differs (DeCandia and others, "Dynamo",
 * 2007, 4.7, with digests that are kept instead of built). Replicas that are equal exchange one digest. Otherwise it goes
 * down: the groups of slots that differ, their slots, the buckets of each slot, the keys and versions of those buckets,
 * and then the records, whichever way they are missing.
 *
 * Whatever travels is merged by version, as any write: what is older than what is there changes nothing, and what one side has
 * never heard of never wins against what the other has. So it does not matter what is written meanwhile, nor that
 * several members repair the same slot at once. Writes under way make slots differ for a moment: they are looked
 * at again a second later, and only what something is missing of is read (`Suspects`).
 *
 * All state is in this object, and the other member keeps none: an exchange that breaks off is simply made again.
 */
export class Exchange {
  readonly #options: ExchangeOptions
  readonly #other: Counterpart

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#other = new Counterpart(options)
  }

  /** Resolves when both hold the same, with nothing; or when that is not to be had now, with the reason. */
  async run(): Promise<string> {
    const suspects = new Suspects()
    suspects.look(await this.#differingSlots(await this.#differingGroups()))
    for (let looks = 1; looks < limits.antiEntropyLooksMax && suspects.doubtful.length > 0; looks++) {
      if (looks > 1 && suspects.doubtful.length <= limits.antiEntropyDoubtfulMax) break
      await this.#options.pauses.pause(limits.antiEntropySettleMs)
      suspects.look(await this.#differingSlots([...new Set(suspects.doubtful.map(groupOf))]))
    }
    if (!this.#other.goesOn) return this.#other.obstacle
    const slots = [...suspects.confirmed, ...this.#taken(suspects.doubtful)].sort((a, b) => a - b)
    this.#options.tally.differing += slots.length
    await this.#repair(this.#rotated(slots))
    return this.#other.obstacle
  }

  /** Of slots that are written to all the time a few in each exchange, others each time: something may be missing there too. */
  #taken(doubtful: readonly Slot[]): Slot[] {
    const many = limits.antiEntropyDoubtfulMax
    if (doubtful.length <= many) return [...doubtful]
    const first = (this.#options.turn * many) % doubtful.length
    return [...doubtful.slice(first), ...doubtful.slice(0, first)].slice(0, many)
  }

  /**
   * Members that repair the same slots at the same time begin at different places: what one has done already the
   * others then find equal.
   */
  #rotated(slots: readonly Slot[]): Slot[] {
    const { self, replicas } = this.#other.routing
    const first = Math.floor((slots.length * self) / replicas.length)
    return [...slots.slice(first), ...slots.slice(0, first)]
  }

  async #repair(slots: Slot[]): Promise<void> {
    const { tally } = this.#options
    const workers = Array.from({ length: limits.antiEntropySlotsMax }, async () => {
      for (let slot = slots.shift(); slot !== undefined && this.#other.goesOn; slot = slots.shift()) {
        if (await new SlotExchange(this.#options, this.#other, slot).run()) tally.repaired++
      }
    })
    await Promise.all(workers)
  }

  // --- the tree, from its root down

  async #differingGroups(): Promise<readonly number[]> {
    const { slot, shared, member } = this.#options
    if (slot !== undefined) return [groupOf(slot)]
    if (shared.with(member, this.#other.routing).length === 0) return []
    const root = await this.#other.differing(DigestLevel.ROOT, [], () => this.#tree().root())
    if (root.size === 0) return []
    return [...(await this.#other.differing(DigestLevel.GROUPS, [], () => this.#tree().groups())).keys()]
  }

  /** The slots that differ, each with its difference. */
  async #differingSlots(groups: readonly number[]): Promise<Map<Slot, string>> {
    const differing = new Map<Slot, string>()
    if (groups.length === 0) return differing
    const { store, slot: only, tally } = this.#options
    const tree = this.#tree()
    const slots = tree.slotsIn(groups)
    const told = new Told()
    const found = await this.#other.differing(DigestLevel.LEAVES, groups, () => this.#tree().leaves(groups), told)
    tally.skipped = 0
    for (const [position, difference] of found) {
      const slot = slots[position]!
      if (only !== undefined && slot !== only) continue
      if (told.lost.has(slot) || store.isLost(slot)) tally.skipped++
      else differing.set(slot, difference)
    }
    return differing
  }

  #tree() {
    const { shared, member, store } = this.#options
    return shared.tree(member, this.#other.routing, store)
  }
}

import type { Slot } from '../base/index.js'
import { slotCount } from './slot.js'
import type { Member } from './topology.js'

/** Who owns which slot under one epoch of the topology. Immutable. Members are named by their index. */
export class SlotTable {
  /** As in the topology document; indexes count in this. */
  readonly members: readonly Member[]
  /** The replication factor, or the number of members where that is less. */
  readonly ownersPerSlot: number
  readonly #owners: readonly Uint16Array[]
  readonly #fairShares: Float64Array
  readonly #loads: Uint32Array

  /** `flat`: the owners of slot 0, of slot 1, and so on, `ownersPerSlot` each. Nobody changes it any more. */
  constructor(members: readonly Member[], ownersPerSlot: number, flat: Uint16Array, fairShares: Float64Array) {
    this.members = members
    this.ownersPerSlot = ownersPerSlot
    this.#fairShares = fairShares
    // Views made once: a lookup on the path of a request is one array read and allocates nothing.
    this.#owners = Array.from({ length: slotCount }, (_, slot) =>
      flat.subarray(slot * ownersPerSlot, (slot + 1) * ownersPerSlot),
    )
    this.#loads = new Uint32Array(members.length)
    for (const owner of flat) this.#loads[owner]!++
  }

  /** The slot's owners, the one that clients should prefer first. Shared: the caller must not change it. */
  owners(slot: Slot): Uint16Array {
    return this.#owners[slot]!
  }

  /** Whether the member is one of the slot's owners. */
  ownsSlot(member: number, slot: Slot): boolean {
    return this.#owners[slot]!.includes(member)
  }

  /** The slots that the member owns, ascending. */
  slotsOf(member: number): Slot[] {
    const slots: Slot[] = []
    for (let slot = 0; slot < slotCount; slot++) {
      if (this.#owners[slot]!.includes(member)) slots.push(slot as Slot)
    }
    return slots
  }

  /** How many slots the member owns. */
  load(member: number): number {
    return this.#loads[member]!
  }

  /** How many slots the member should own by its weight; `load` is at most 5 % (or one slot's rounding) more. */
  fairShare(member: number): number {
    return this.#fairShares[member]!
  }
}

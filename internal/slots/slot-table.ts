import type { Slot } from '../base/index.js'
import { slotCount } from './slot.js'
import type { Member } from './topology.js'

/** Who owns what, by the members' indexes. Nobody changes it any more, and tables of several epochs may share it. */
export class SlotLayout {
  /** The replication factor, or the number of members where that is less. */
  readonly ownersPerSlot: number
  /** The owners of slot 0, of slot 1, and so on, `ownersPerSlot` each. */
  readonly flat: Uint16Array
  /**
   * By slot. A lookup on the path of a request is one array read and allocates nothing; slots with the same owners in the
   * same order share a list, so that the few lists that there are stay in the processor's cache.
   */
  readonly owners: readonly Uint16Array[]
  /** By member: how many slots it should own by its weight, and how many it owns. */
  readonly fairShares: Float64Array
  readonly loads: Uint32Array

  constructor(ownersPerSlot: number, flat: Uint16Array, fairShares: Float64Array) {
    this.ownersPerSlot = ownersPerSlot
    this.flat = flat
    this.fairShares = fairShares
    this.owners = sharedLists(ownersPerSlot, flat)
    this.loads = new Uint32Array(fairShares.length)
    for (const owner of flat) this.loads[owner]!++
  }
}

function sharedLists(ownersPerSlot: number, flat: Uint16Array): readonly Uint16Array[] {
  const lists = new Map<string, Uint16Array>()
  return Array.from({ length: slotCount }, (_, slot) => {
    const list = flat.subarray(slot * ownersPerSlot, (slot + 1) * ownersPerSlot)
    const name = String.fromCharCode(...list)
    const known = lists.get(name)
    if (known === undefined) lists.set(name, list)
    return known ?? list
  })
}

/** Who owns which slot under one epoch of the topology. Immutable. Members are named by their index. */
export class SlotTable {
  /** As in the topology document; indexes count in this. */
  readonly members: readonly Member[]
  /** The replication factor, or the number of members where that is less. */
  readonly ownersPerSlot: number
  readonly #layout: SlotLayout
  readonly #owners: readonly Uint16Array[]

  constructor(members: readonly Member[], layout: SlotLayout) {
    this.members = members
    this.ownersPerSlot = layout.ownersPerSlot
    this.#layout = layout
    this.#owners = layout.owners
  }

  /** The slot's owners, the one that clients should prefer first. Shared: the caller must not change it. */
  owners(slot: Slot): Uint16Array {
    return this.#owners[slot]!
  }

  /** Whether the member is one of the slot's owners. */
  ownsSlot(member: number, slot: Slot): boolean {
    const owners = this.#owners[slot]!
    // Not `includes`: that is a call into the runtime, and asked of all slots it was three times as slow.
    for (let i = 0; i < owners.length; i++) if (owners[i] === member) return true
    return false
  }

  /** The slots that the member owns, ascending. */
  slotsOf(member: number): Slot[] {
    const slots: Slot[] = []
    for (let slot = 0; slot < slotCount; slot++) {
      if (this.ownsSlot(member, slot as Slot)) slots.push(slot as Slot)
    }
    return slots
  }

  /** How many slots the member owns. */
  load(member: number): number {
    return this.#layout.loads[member]!
  }

  /** How many slots the member should own by its weight; `load` is at most 5 % (or one slot's rounding) more. */
  fairShare(member: number): number {
    return this.#layout.fairShares[member]!
  }
}

import { emptyBytes, type Slot } from '../base/index.js'
import { type Hash64, hash64 } from '../hash/index.js'
import { SharedTree } from '../merkle/index.js'
import { floorVersion } from '../record/index.js'
import { type SlotTable, slotCount } from '../slots/index.js'
import type { Digest, Store } from '../store/index.js'
import type { Routing } from './routing.js'

/** Which slots this node shares with each other member; worked out once for each topology. */
export class SharedSlots {
  readonly #byMember = new Map<number, readonly Slot[]>()
  #table: SlotTable | undefined

  /** The slots that both this node and the member, by its index in the routing, own; ascending. */
  with(member: number, { table, self }: Routing): readonly Slot[] {
    if (table !== this.#table) {
      this.#table = table
      this.#byMember.clear()
    }
    let slots = this.#byMember.get(member)
    if (slots === undefined) {
      const both: Slot[] = []
      for (let slot = 0 as Slot; slot < slotCount; slot++) {
        if (table.ownsSlot(self, slot) && table.ownsSlot(member, slot)) both.push(slot)
      }
      slots = both
      this.#byMember.set(member, slots)
    }
    return slots
  }

  /** The tree over those slots, as this moment's digests of the store make it. */
  tree(member: number, routing: Routing, store: Store): SharedTree {
    return new SharedTree(this.with(member, routing), (slot) => leafDigest(store, slot))
  }
}

/**
 * What two owners of a slot compare first: its records and its floor. Equal records under different floors are not the
 * same: what one of them takes, the other refuses.
 */
function leafDigest(store: Store, slot: Slot): Digest {
  const digest = store.digest(slot)
  const floorMs = store.floorMs(slot)
  if (floorMs === 0) return digest
  const { hi, lo, node } = floorVersion(floorMs)
  const hash: Hash64 = { hi: 0, lo: 0 }
  hash64(emptyBytes, hi, lo, node, hash)
  return { hi: (digest.hi ^ hash.hi) >>> 0, lo: (digest.lo ^ hash.lo) >>> 0 }
}

import { emptyBytes, type Slot } from '../../base/index.js'
import { type Hash64, hash64 } from '../../hash/index.js'
import { SharedTree } from '../../merkle/index.js'
import { floorVersion } from '../../record/index.js'
import { type SlotTable, slotCount } from '../../slots/index.js'
import type { Digest, Store } from '../../store/index.js'
import type { Routing } from '../operations/routing.js'

/** Which slots this node shares with each other member; worked out once for each topology. */
export class SharedSlots {
  readonly #byMember = new Map<number, readonly Slot[]>()
  readonly #trees = new Map<number, PicturedTree>()
  #table: SlotTable | undefined

  /** The slots that both this node and the member, by its index in the routing, own; ascending. */
  with(member: number, { table, self }: Routing): readonly Slot[] {
    if (table !== this.#table) {
      this.#table = table
      this.#byMember.clear()
      this.#trees.clear()
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

  /**
   * The tree over those slots, as this moment's digests of the store make it. Where nothing has changed since the last
   * one, it is that one again: members compare for ever, and most of the time at rest.
   */
  tree(member: number, routing: Routing, store: Store): SharedTree {
    const slots = this.with(member, routing)
    const { changes } = store
    const known = this.#trees.get(member)
    if (known?.slots === slots && known.store === store && known.changes === changes) return known.tree
    const leaf: Hash64 = { hi: 0, lo: 0 } // for all leaves: with an object for each, trees were a third of all garbage
    const tree = new SharedTree(slots, (slot) => leafDigest(store, slot, leaf))
    this.#trees.set(member, { slots, store, changes, tree })
    return tree
  }
}

/** A tree, and what it is a picture of. */
interface PicturedTree {
  readonly slots: readonly Slot[]
  readonly store: Store
  /** `Store.changes` of that moment. */
  readonly changes: number
  readonly tree: SharedTree
}

/**
 * What two owners of a slot compare first: its records and its floor. Equal records under different floors are not the
 * same: what one of them takes, the other refuses.
 */
function leafDigest(store: Store, slot: Slot, into: Hash64): Digest {
  const digest = store.digest(slot, into)
  const floorMs = store.floorMs(slot)
  if (floorMs === 0) return digest
  const { hi, lo, node } = floorVersion(floorMs)
  const hash: Hash64 = { hi: 0, lo: 0 }
  hash64(emptyBytes, hi, lo, node, hash)
  return { hi: (digest.hi ^ hash.hi) >>> 0, lo: (digest.lo ^ hash.lo) >>> 0 }
}

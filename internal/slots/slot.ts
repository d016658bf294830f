import type { Slot } from '../base/index.js'
import { murmur3_32 } from '../hash/index.js'

/** How many slots the keys fall into. Do not change: it is in every file, digest and client. */
export const slotCount = 4096

/** In order. */
export function allSlots(): Slot[] {
  return Array.from({ length: slotCount }, (_, slot) => slot as Slot)
}

/** The slot of a key whose `murmur3_32` is at hand already. Its lower 20 bits are free for other uses. */
export function slotOfHash(hash: number): Slot {
  return (hash >>> 20) as Slot
}

/**
 * The slot of a key: the upper 12 bits of its murmur3_32. Routing, shards, snapshot blocks, anti-entropy, handover and
 * tombstone collection all go by it.
 */
export function slotOf(key: Uint8Array): Slot {
  return (murmur3_32(key) >>> 20) as Slot
}

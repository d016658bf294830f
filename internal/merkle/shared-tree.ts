import type { Slot } from '../base/index.js'
import type { Hash64 } from '../hash/index.js'
import { slotCount } from '../slots/index.js'
import { digestBytes, digestOf, packDigests } from './digests.js'

/** Neighbouring slots under one inner node of the tree. Do not change: members compare groups by their number. */
export const slotsPerGroup = 64
export const groupCount: number = slotCount / slotsPerGroup

export function groupOf(slot: Slot): number {
  return Math.floor(slot / slotsPerGroup)
}

/**
 * The upper part of a Merkle tree (Merkle 1987; between replicas of a store: DeCandia and others, "Dynamo", 2007) over
 * the slots that two members share: a root, groups of 64 slots, and as leaves the digests that the store keeps with
 * every change. Both members must take the same slots, those that both own under one epoch of the topology.
 *
 * It is a picture of one moment; to make one costs 64 KiB of hashing at most.
 */
export class SharedTree {
  readonly #leaves: Uint8Array
  readonly #slots: readonly Slot[]
  /** Where the leaves of group g begin; one more at the end. */
  readonly #starts: Uint16Array = new Uint16Array(groupCount + 1)
  #groups: Uint8Array | undefined
  #root: Uint8Array | undefined

  /** `slots`: ascending. `digest` may return the same object each time. */
  constructor(slots: readonly Slot[], digest: (slot: Slot) => Readonly<Hash64>) {
    this.#slots = slots
    this.#leaves = packDigests(slots.length, (i) => digest(slots[i]!))
    for (const slot of slots) this.#starts[groupOf(slot) + 1]!++
    for (let group = 0; group < groupCount; group++) this.#starts[group + 1]! += this.#starts[group]!
  }

  /** One digest. Shared: nobody changes it. */
  root(): Uint8Array {
    this.#root ??= packDigests(1, () => digestOf(this.groups()))
    return this.#root
  }

  /** `groupCount` digests, of which those of groups without shared slots are all alike. Shared: nobody changes them. */
  groups(): Uint8Array {
    const at = (group: number): number => this.#starts[group]! * digestBytes
    this.#groups ??= packDigests(groupCount, (group) => digestOf(this.#leaves, at(group), at(group + 1)))
    return this.#groups
  }

  /** The digests of the shared slots in these groups, in the order of `slotsIn`. */
  leaves(groups: readonly number[]): Uint8Array {
    const parts = groups.map((group) => {
      return this.#leaves.subarray(this.#starts[group]! * digestBytes, this.#starts[group + 1]! * digestBytes)
    })
    const packed = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const part of parts) {
      packed.set(part, at)
      at += part.length
    }
    return packed
  }

  /** The shared slots in these groups, group by group. */
  slotsIn(groups: readonly number[]): Slot[] {
    return groups.flatMap((group) => this.#slots.slice(this.#starts[group]!, this.#starts[group + 1]!))
  }
}

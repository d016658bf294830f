import type { Slot } from '../base/index.js'
import { slotTables } from './layout.js'
import { slotCount } from './slot.js'
import type { Topology } from './topology.js'
import { effectiveQuorums } from './validate.js'

/** Whether a member's copy of a slot counts toward a quorum just now: the member can be reached, and the slot is not lost there. */
export type CopyCounts = (member: number, slot: Slot) => boolean

/** The slot that is nearest to being without a quorum. */
export interface TightestSlot {
  readonly slot: Slot
  /** Owners whose copies count, beyond the larger one of the quorums; negative: so many are missing. */
  readonly spare: number
  readonly counting: number
  readonly needed: number
  /** Owners whose copies do not count, as indexes into the members. */
  readonly absent: readonly number[]
  /** Of all slots that were looked at, how many have less than they need. */
  readonly short: number
}

/**
 * Looks for the slot that can do without the fewest of its owners; while a handover runs, on both of its sides, since an
 * operation needs both. As many members as it can spare, and not one more, may go down without any slot losing a
 * quorum, whoever they are. `concerning` a member: only of the slots that it owns; undefined where it owns none.
 */
export function tightestSlot(topology: Topology, counts: CopyCounts, concerning?: number): TightestSlot | undefined {
  const { current, next } = slotTables(topology)
  let tightest: Omit<TightestSlot, 'short'> | undefined
  const short = new Set<number>()
  for (const table of next === undefined ? [current] : [current, next]) {
    const { readQuorum, writeQuorum } = effectiveQuorums(topology.replication, table.ownersPerSlot)
    const needed = Math.max(readQuorum, writeQuorum)
    for (let number = 0; number < slotCount; number++) {
      const slot = number as Slot
      if (concerning !== undefined && !table.ownsSlot(concerning, slot)) continue
      const owners = table.owners(slot)
      let counting = 0
      for (let i = 0; i < owners.length; i++) if (counts(owners[i]!, slot)) counting++
      const spare = counting - needed
      if (spare < 0) short.add(slot)
      if (tightest !== undefined && spare >= tightest.spare) continue
      tightest = { slot, spare, counting, needed, absent: [...owners].filter((owner) => !counts(owner, slot)) }
    }
  }
  return tightest === undefined ? undefined : { ...tightest, short: short.size }
}

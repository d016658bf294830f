import type { NodeId } from '../base/index.js'
import { movedSlots, slotTables } from './layout.js'
import { slotCount } from './slot.js'
import type { Topology } from './topology.js'

/** Copies of slots that one member gets in the place of another. */
export interface Move {
  /** Who has them now and will not; undefined: nobody gives one up, there will be more copies. */
  readonly from: NodeId | undefined
  /** Who will have them; undefined: nobody, there will be fewer copies. */
  readonly to: NodeId | undefined
  readonly slots: number
}

/** What a handover moves. */
export interface Movement {
  /** Slots that get other owners. */
  readonly slots: number
  /** Copies of slots that have to be made. */
  readonly copies: number
  /** These copies as a part of all that there will be. */
  readonly share: number
  /** Ordered by who gives, then by who gets. The copies are made from a read quorum of the owners, whoever gives one up. */
  readonly moves: readonly Move[]
}

/** What the handover of this topology moves, from its beginning to its end; undefined: none runs. */
export function movementOf(topology: Topology): Movement | undefined {
  const { current, next } = slotTables(topology)
  if (next === undefined) return undefined
  const counts = new Map<string, { from: number; to: number; slots: number }>()
  const moved = movedSlots(current, next)
  let copies = 0
  for (const slot of moved) {
    const [before, after] = [[...current.owners(slot)].sort(ascending), [...next.owners(slot)].sort(ascending)]
    const giving = before.filter((owner) => !after.includes(owner))
    const getting = after.filter((owner) => !before.includes(owner))
    copies += getting.length
    for (let i = 0; i < Math.max(giving.length, getting.length); i++) {
      const [from, to] = [giving[i] ?? -1, getting[i] ?? -1]
      const move = counts.get(`${from},${to}`) ?? { from, to, slots: 0 }
      move.slots++
      counts.set(`${from},${to}`, move)
    }
  }
  const moves = [...counts.values()]
    .sort((a, b) => a.from - b.from || a.to - b.to)
    .map(({ from, to, slots }) => ({ from: topology.members[from]?.id, to: topology.members[to]?.id, slots }))
  return { slots: moved.length, copies, share: copies / (slotCount * next.ownersPerSlot), moves }
}

function ascending(a: number, b: number): number {
  return a - b
}

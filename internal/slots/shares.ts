import { slotCount } from './slot.js'

/** How far a member may be over its fair share, in percent. */
export const overloadPercentMax = 5

/** What members get of the slots. All figures are slots, by member index. */
export interface Shares {
  /** By weight, but at most all slots; what a heavy member cannot take is spread over the others by their weights. */
  readonly fair: Float64Array
  /** The most that a member may own: 5 % over its fair share, or one slot's rounding where that is more. */
  readonly caps: Uint16Array
}

/** Shares of `slotCount * picks` assignments; there must be more members than picks, or as many. */
export function sharesOf(weights: readonly number[], picks: number): Shares {
  const fair = new Float64Array(weights.length)
  const caps = new Uint16Array(weights.length)
  const heaviestFirst = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]!)
  let weightLeft = weights.reduce((sum, weight) => sum + weight, 0)
  let picksLeft = picks
  for (const member of heaviestFirst) {
    const weight = weights[member]!
    if (weight * picksLeft >= weightLeft) {
      fair[member] = slotCount
      caps[member] = slotCount
      weightLeft -= weight
      picksLeft--
      continue
    }
    // Whole numbers over whole numbers: one rounding each, the same on every machine.
    const slots = weight * picksLeft * slotCount
    fair[member] = slots / weightLeft
    const over = Math.floor((slots * (100 + overloadPercentMax)) / (weightLeft * 100))
    caps[member] = Math.min(slotCount, Math.max(over, Math.ceil(slots / weightLeft)))
  }
  return { fair, caps }
}

import type { Slot } from '../../base/index.js'
import { slotCount } from '../../slots/index.js'

/** Slots as documents name them: ranges, first and last, rising and apart. Throws an Error that tells what is wrong. */
export function parseRanges(ranges: unknown): Slot[] {
  if (!Array.isArray(ranges)) throw new Error('no list of slots')
  const slots: Slot[] = []
  let next = 0
  for (const range of ranges as readonly unknown[]) {
    const [first, last] = Array.isArray(range) && range.length === 2 ? (range as readonly unknown[]) : []
    const ok = Number.isInteger(first) && Number.isInteger(last) && (first as number) >= next
    if (!ok || (last as number) < (first as number) || (last as number) >= slotCount) {
      throw new Error(`${JSON.stringify(range)} where a range of slots from ${next} on should be`)
    }
    for (let slot = first as number; slot <= (last as number); slot++) slots.push(slot as Slot)
    next = (last as number) + 1
  }
  return slots
}

/** The ranges that slots, which are in order, make up. */
export function rangesOf(slots: readonly Slot[]): [number, number][] {
  const ranges: [number, number][] = []
  for (const slot of slots) {
    const open = ranges.at(-1)
    if (open !== undefined && open[1] === slot - 1) open[1] = slot
    else ranges.push([slot, slot])
  }
  return ranges
}

/** Slots around a circle, the first at the top, and arcs of neighbours that belong together. */

/** From `start` up to but without `end`, in slots. */
export interface Arc {
  readonly start: number
  readonly end: number
}

/** For each member, the arcs of slots whose owner in place `place` (0: the first) it is. */
export function arcsByOwner(owners: Uint16Array, perSlot: number, place: number, members: number): Arc[][] {
  const arcs: Arc[][] = Array.from({ length: members }, () => [])
  const slots = perSlot === 0 ? 0 : owners.length / perSlot
  for (let start = 0; start < slots; ) {
    const owner = owners[start * perSlot + place]!
    let end = start + 1
    while (end < slots && owners[end * perSlot + place] === owner) end++
    arcs[owner]?.push({ start, end })
    start = end
  }
  return arcs
}

function point(slot: number, slots: number, radius: number): string {
  const angle = (2 * Math.PI * slot) / slots
  return `${(radius * Math.sin(angle)).toFixed(2)} ${(-radius * Math.cos(angle)).toFixed(2)}`
}

/** An SVG path of arcs on one circle around the origin, to be stroked. */
export function arcPath(arcs: readonly Arc[], slots: number, radius: number): string {
  return arcs.map((arc) => segment(arc, slots, radius)).join('')
}

function segment({ start, end }: Arc, slots: number, radius: number): string {
  const middle = (start + end) / 2
  // In two halves: an arc of the whole circle would begin where it ends, and not be drawn.
  const to = (slot: number): string => `A${radius} ${radius} 0 0 1 ${point(slot, slots, radius)}`
  return `M${point(start, slots, radius)}${to(middle)}${to(end)}`
}

/** What a member owns. */
export interface Ownership {
  readonly id: string
  /** Slots whose first owner it is, which is where clients go, and slots that it has a copy of. */
  readonly first: number
  readonly copies: number
}

export function ownershipOf(owners: Uint16Array, perSlot: number, members: readonly string[]): Ownership[] {
  const [first, copies] = [new Uint32Array(members.length), new Uint32Array(members.length)]
  for (let i = 0; i < owners.length; i++) {
    const owner = owners[i]!
    copies[owner]!++
    if (i % perSlot === 0) first[owner]!++
  }
  return members.map((id, i) => ({ id, first: first[i]!, copies: copies[i]! }))
}

/** Okabe and Ito's colours, which anybody tells apart; from the ninth member on they come again. */
export const memberColours = [
  '#0072b2',
  '#e69f00',
  '#009e73',
  '#cc79a7',
  '#56b4e9',
  '#d55e00',
  '#b3a82a',
  '#7f7f7f',
] as const

export function colourOf(index: number): string {
  return memberColours[index % memberColours.length]!
}

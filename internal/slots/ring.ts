import type { NodeId } from '../base/index.js'
import { murmur3_32 } from '../hash/index.js'
import { slotCount } from './slot.js'

/** Points that one virtual node puts on the ring. Do not change: owners would move. See docs/adr/0003. */
const pointsPerVirtualNode = 8

const encoder = new TextEncoder()

/** A member's points, ascending: for each virtual node i, `murmur3_32("<id>:<i>")` under eight seeds. */
function ringPoints(id: NodeId, virtualNodes: number): Uint32Array {
  const points = new Uint32Array(virtualNodes * pointsPerVirtualNode)
  for (let i = 0; i < virtualNodes; i++) {
    const name = encoder.encode(`${id}:${i}`)
    for (let seed = 0; seed < pointsPerVirtualNode; seed++) {
      points[i * pointsPerVirtualNode + seed] = murmur3_32(name, seed)
    }
  }
  return points.sort()
}

/**
 * In which order the ring offers the slots to a member: for each slot its rank, 0 to 4095, by the clockwise distance
 * from the slot's position (`slot << 20`) to the member's next point. Ranks instead of distances, so that each member
 * stands for exactly as many slots at every rank as every other.
 */
export function slotRanks(id: NodeId, virtualNodes: number): Uint16Array {
  const points = ringPoints(id, virtualNodes)
  // Distance and slot in one number below 2^45, so that one sort of plain numbers ranks them and breaks ties.
  const keys = new Float64Array(slotCount)
  let next = 0
  for (let slot = 0; slot < slotCount; slot++) {
    const position = slot * 2 ** 20
    while (next < points.length && points[next]! < position) next++
    const point = next < points.length ? points[next]! : points[0]! + 2 ** 32
    keys[slot] = (point - position) * slotCount + slot
  }
  keys.sort()
  const ranks = new Uint16Array(slotCount)
  for (let rank = 0; rank < slotCount; rank++) ranks[keys[rank]! % slotCount] = rank
  return ranks
}

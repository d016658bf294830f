import { balance } from './balance.js'
import { slotRanks } from './ring.js'
import { overloadPercentMax, type Shares, sharesOf } from './shares.js'
import { slotCount } from './slot.js'
import { SlotTable } from './slot-table.js'
import type { Member, Topology } from './topology.js'

/**
 * Lays the slots out over the members: consistent hashing with bounded loads. Depends on the members' ids, zones and
 * weights, the virtual nodes and the replication factor only, not on the order of the members.
 *
 * Each member ranks the slots by its points on the ring; a slot takes the members that rank it best, in distinct
 * zones where there are enough zones, and nobody takes more than its fair share plus 5 % (see `balance`). Then one of
 * the owners becomes the first, evenly as well, because clients go to the first. docs/adr/0003 has the measurements.
 */
export function slotTable(topology: Topology): SlotTable {
  const { owners, fairShares, picks } = layoutOf(topology)
  return new SlotTable(topology.members, picks, owners, fairShares)
}

/** Who owns what, by the members' indexes. Never changed once it is made. */
interface Layout {
  readonly picks: number
  readonly owners: Uint16Array
  readonly fairShares: Float64Array
}

const recentLayoutsMax = 8
const recentLayouts = new Map<string, Layout>()

/**
 * A layout takes some 15 ms, and most epochs decide nothing that it depends on. So the last few are kept, by all that
 * they depend on; the nodes of a simulated cluster, which start in one process again and again, find theirs there too.
 */
function layoutOf({ members, virtualNodes, replication: { replicationFactor } }: Topology): Layout {
  const deciding = members.map(({ id, zone, weight }) => [id, zone, weight])
  const name = JSON.stringify([virtualNodes, replicationFactor, deciding])
  const layout = recentLayouts.get(name) ?? layOut(members, virtualNodes, replicationFactor)
  recentLayouts.delete(name)
  recentLayouts.set(name, layout)
  if (recentLayouts.size > recentLayoutsMax) recentLayouts.delete(recentLayouts.keys().next().value!)
  return layout
}

function layOut(members: readonly Member[], virtualNodes: number, replicationFactor: number): Layout {
  const picks = Math.min(replicationFactor, members.length)
  // From here on members are counted in the order of their ids, whatever the document's order.
  const toIndex = [...members.keys()].sort((a, b) => (members[a]!.id < members[b]!.id ? -1 : 1))
  const ordered = toIndex.map((index) => members[index]!)
  const weights = ordered.map(({ weight }) => weight)
  const shares = sharesOf(weights, picks)
  const distances = distancesOf(ordered, virtualNodes)
  const owners =
    picks === members.length
      ? Uint16Array.from({ length: slotCount * picks }, (_, i) => i % picks)
      : pickOwners(ordered, picks, shares, distances)
  putFirstEvenly(owners, picks, shares, distances)
  const fairShares = new Float64Array(members.length)
  toIndex.forEach((index, member) => {
    fairShares[index] = shares.fair[member]!
  })
  return { picks, owners: owners.map((owner) => toIndex[owner]!), fairShares }
}

/**
 * How far each slot is from each member: -ln(1-q), q being the rank of the slot in the member's order as a part of
 * all, by a formula that agrees up to q^2 and that all machines round alike.
 */
function distancesOf(members: readonly Member[], virtualNodes: number): Float64Array {
  const distances = new Float64Array(slotCount * members.length)
  members.forEach(({ id }, member) => {
    const ranks = slotRanks(id, virtualNodes)
    for (let slot = 0; slot < slotCount; slot++) {
      const q = (ranks[slot]! + 0.5) / slotCount
      distances[slot * members.length + member] = q / (1 - q / 2)
    }
  })
  return distances
}

/**
 * A race in which a member that should own the part p of the slots runs at the rate -ln(1-p) (again by a formula
 * without a logarithm): then it is among the first at about that part of the slots, and few handicaps are needed. One
 * that should own every slot runs infinitely fast.
 */
function pickOwners(members: readonly Member[], picks: number, shares: Shares, distances: Float64Array): Uint16Array {
  const rates = shares.fair.map((slots) => slots / slotCount / Math.sqrt(1 - slots / slotCount))
  const zoneNames = [...new Set(members.map(({ zone }) => zone))]
  return balance({
    members: members.length,
    picks,
    candidates: Uint16Array.from(distances, (_, i) => i % members.length),
    scores: distances.map((distance, i) => distance / rates[i % members.length]!),
    caps: shares.caps,
    // Members without a zone share one that has no name.
    zones: Uint16Array.from(members, ({ zone }) => zoneNames.indexOf(zone)),
    picksPerZone: Math.ceil(picks / zoneNames.length),
  })
}

/**
 * Reorders each slot's owners so that members come first in proportion to their shares, within 5 %; the others keep
 * their order. Moves no data.
 */
function putFirstEvenly(owners: Uint16Array, picks: number, shares: Shares, distances: Float64Array): void {
  if (picks === 1) return
  const members = shares.fair.length
  const loads = new Uint32Array(members)
  for (const owner of owners) loads[owner]!++
  const firsts = balance({
    members,
    picks: 1,
    candidates: owners,
    scores: Float64Array.from(owners, (owner, i) => {
      return distances[Math.floor(i / picks) * members + owner]! / shares.fair[owner]!
    }),
    // It is always possible that each owner is the first of one in `picks` of its slots, so these caps are possible.
    caps: Uint16Array.from(loads, (load, member) => {
      const over = (shares.fair[member]! * (100 + overloadPercentMax)) / (100 * picks)
      return Math.max(Math.ceil(load / picks), Math.floor(over))
    }),
    zones: new Uint16Array(members),
    picksPerZone: 1,
  })
  for (let slot = 0; slot < slotCount; slot++) {
    const list = owners.subarray(slot * picks, (slot + 1) * picks)
    list.copyWithin(1, 0, list.indexOf(firsts[slot]!))
    list[0] = firsts[slot]!
  }
}

import type { Slot } from '../base/index.js'
import { balance } from './balance.js'
import { slotRanks } from './ring.js'
import { overloadPercentMax, type Shares, sharesOf } from './shares.js'
import { allSlots, slotCount } from './slot.js'
import { SlotLayout, SlotTable } from './slot-table.js'
import { currentRing, type Member, type RingShare, type Topology } from './topology.js'

/** Who owns slots before and after a handover. Both name all members of the topology by their indexes. */
export interface SlotTables {
  readonly current: SlotTable
  /** Undefined: no handover runs. */
  readonly next: SlotTable | undefined
}

/**
 * Lays the slots out over the members of a ring: consistent hashing with bounded loads. Depends on their ids, zones and
 * weights, the virtual nodes and the replication factor only, not on their order. Members outside a ring own nothing.
 *
 * Each member ranks the slots by its points on the ring; a slot takes the members that rank it best, in distinct
 * zones where there are enough zones, and nobody takes more than its fair share plus 5 % (see `balance`). Then one of
 * the owners becomes the first, evenly as well, because clients go to the first. docs/adr/0003 has the measurements.
 */
export function slotTables(topology: Topology): SlotTables {
  const { handover } = topology
  const current = tableOf(topology, currentRing(topology))
  return { current, next: handover === undefined ? undefined : tableOf(topology, handover.ring) }
}

/** Whose copies are read: the owners from before a handover, and from its step `switch` on those afterwards. */
export function slotTable(topology: Topology): SlotTable {
  const { handover } = topology
  return tableOf(topology, handover?.step === 'switch' ? handover.ring : currentRing(topology))
}

function tableOf(topology: Topology, ring: readonly RingShare[]): SlotTable {
  const weights = new Map(ring.map(({ id, weight }) => [id, weight]))
  const owning: Member[] = []
  const places: number[] = []
  for (const [place, member] of topology.members.entries()) {
    const weight = weights.get(member.id)
    if (weight === undefined) continue
    owning.push(weight === member.weight ? member : { ...member, weight })
    places.push(place)
  }
  const layout = layoutOf(topology, owning)
  if (owning.length === topology.members.length) return new SlotTable(topology.members, layout)
  const allShares = new Float64Array(topology.members.length)
  for (const [i, place] of places.entries()) allShares[place] = layout.fairShares[i]!
  const flat = layout.flat.map((owner) => places[owner]!)
  return new SlotTable(topology.members, new SlotLayout(layout.ownersPerSlot, flat, allShares))
}

/** Slots whose owners are not the same before and after, whatever their order. Ascending. */
export function movedSlots(current: SlotTable, next: SlotTable): Slot[] {
  return allSlots().filter((slot) => {
    const before = current.owners(slot)
    return before.length !== next.ownersPerSlot || !next.owners(slot).every((owner) => before.includes(owner))
  })
}

/**
 * The slots that a member has to merge from the owners before, before those after can be read: the ones that it gets.
 * Where so many owners go at once that the read quorum shrinks, an acknowledged write may be on too few of those who
 * stay for the smaller one to meet it: then also the ones that it keeps. Ascending.
 */
export function incomingSlots({ replication: { readQuorum } }: Topology, tables: SlotTables, member: number): Slot[] {
  const { current, next } = tables
  if (next === undefined) return []
  const shrinks = Math.min(readQuorum, next.ownersPerSlot) < Math.min(readQuorum, current.ownersPerSlot)
  return next.slotsOf(member).filter((slot) => shrinks || !current.ownsSlot(member, slot))
}

const recentLayoutsMax = 8
const recentLayouts = new Map<string, SlotLayout>()

/**
 * A layout takes some 15 ms, and most epochs decide nothing that it depends on. So the last few are kept, by all that
 * they depend on; the nodes of a simulated cluster, which start in one process again and again, find theirs there too.
 */
function layoutOf(
  { virtualNodes, replication: { replicationFactor } }: Topology,
  members: readonly Member[],
): SlotLayout {
  const deciding = members.map(({ id, zone, weight }) => [id, zone, weight])
  const name = JSON.stringify([virtualNodes, replicationFactor, deciding])
  const layout = recentLayouts.get(name) ?? layOut(members, virtualNodes, replicationFactor)
  recentLayouts.delete(name)
  recentLayouts.set(name, layout)
  if (recentLayouts.size > recentLayoutsMax) recentLayouts.delete(recentLayouts.keys().next().value!)
  return layout
}

function layOut(members: readonly Member[], virtualNodes: number, replicationFactor: number): SlotLayout {
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
  const flat = owners.map((owner) => toIndex[owner]!)
  return new SlotLayout(picks, flat, fairShares)
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

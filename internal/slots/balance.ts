import { assert } from '../base/index.js'
import { slotCount } from './slot.js'

/** Who competes for the slots, and how. Members are indexes; every slot has the same number of candidates. */
export interface Race {
  readonly members: number
  /** How many candidates each slot takes; fewer than it has. */
  readonly picks: number
  /** Slot by slot, the members that compete for it. */
  readonly candidates: Uint16Array
  /** Parallel to `candidates`: the slot takes the lowest. Finite, 0 or more. */
  readonly scores: Float64Array
  /** By member: the most slots that it may have; together enough for all picks. */
  readonly caps: Uint16Array
  /** By member: the number of its zone, from 0. */
  readonly zones: Uint16Array
  /** A slot takes more members than this of one zone only where the caps leave it no choice. */
  readonly picksPerZone: number
}

// By this factor a candidate's score is worse where its zone has its picks already: more than scores and handicaps
// can make up for, unless the caps force it.
const crowding = 2 ** 40

// Each handicap grows at least by this factor, else two full members would hand one slot to and fro for ever. The
// coarser, the more slots move needlessly when a member joins; this much changes hardly a slot.
const handicapStep = 1 + 2 ** -10

/** 10 to 80 sweeps settle what can be settled with room to spare; what has not after these is placed by `fill`. */
const sweepsMaxDefault = 300

/**
 * Gives each slot its `picks` best candidates without any member passing its cap, and returns them, slot by slot,
 * best first.
 *
 * A member that would own too much gets a handicap, a factor on its scores, just large enough that it loses the slots
 * that it wants least; whoever then owns too much is handicapped in turn, until nobody does. Handicaps only grow from
 * 1, all at once in each sweep, so the result depends on no order. It is the auction for a transport problem
 * (Bertsekas, 1988). A walk that skips full members cascades when a member joins; here the others are disturbed only
 * as far as their handicaps change, which is little.
 */
export function balance(race: Race, sweepsMax: number = sweepsMaxDefault): Uint16Array {
  const balancer = new Balancer(race)
  for (let sweep = 0; sweep < sweepsMax; sweep++) {
    balancer.pickSlots()
    if (!balancer.handicapOverloaded()) return balancer.owners
  }
  balancer.pickSlots()
  balancer.fill()
  return balancer.owners
}

class Balancer {
  readonly owners: Uint16Array
  readonly #race: Race
  readonly #candidatesPerSlot: number
  readonly #handicaps: Float64Array
  /** Parallel to `owners`: by which factor the owner's score may still grow before the slot drops it. */
  readonly #margins: Float64Array
  readonly #loads: Uint32Array
  /** Whether a member's handicap grew since the last sweep; all of them before the first. */
  readonly #changed: Uint8Array
  // Scratch of one slot: scores with handicaps, picks by zone, the best that was not picked by zone.
  readonly #now: Float64Array
  readonly #zonePicks: Uint8Array
  readonly #zoneSpare: Float64Array

  constructor(race: Race) {
    const { members, picks, candidates, zones } = race
    const zoneCount = zones.reduce((most, zone) => Math.max(most, zone + 1), 0)
    this.#race = race
    this.#candidatesPerSlot = candidates.length / slotCount
    assert(this.#candidatesPerSlot > picks, `${picks} picks of ${this.#candidatesPerSlot} candidates`)
    this.owners = new Uint16Array(slotCount * picks)
    this.#handicaps = new Float64Array(members).fill(1)
    this.#margins = new Float64Array(slotCount * picks)
    this.#loads = new Uint32Array(members)
    this.#changed = new Uint8Array(members).fill(1)
    this.#now = new Float64Array(this.#candidatesPerSlot)
    this.#zonePicks = new Uint8Array(zoneCount)
    this.#zoneSpare = new Float64Array(zoneCount)
  }

  /** Picks anew for the slots that had an owner whose handicap grew: no other slot can have changed. */
  pickSlots(): void {
    const { picks } = this.#race
    for (let slot = 0; slot < slotCount; slot++) {
      for (let i = slot * picks; i < (slot + 1) * picks; i++) {
        if (this.#changed[this.owners[i]!] === 1) {
          this.#pick(slot)
          break
        }
      }
    }
    this.#changed.fill(0)
    this.#loads.fill(0)
    for (const owner of this.owners) this.#loads[owner]!++
  }

  #pick(slot: number): void {
    const { picks, candidates, scores, zones, picksPerZone } = this.#race
    const first = slot * this.#candidatesPerSlot
    const now = this.#now
    const zonePicks = this.#zonePicks
    for (let i = 0; i < now.length; i++) now[i] = scores[first + i]! * this.#handicaps[candidates[first + i]!]!
    zonePicks.fill(0)
    for (let at = slot * picks; at < (slot + 1) * picks; at++) {
      let best = 0
      let bestCost = Number.POSITIVE_INFINITY
      for (let i = 0; i < now.length; i++) {
        let cost = now[i]!
        if (cost >= bestCost) continue
        if (zonePicks[zones[candidates[first + i]!]!]! >= picksPerZone) cost *= crowding
        if (cost < bestCost) {
          best = i
          bestCost = cost
        }
      }
      const owner = candidates[first + best]!
      this.owners[at] = owner
      // The score is kept here until the margins are known; the candidate itself is out of the race for this slot.
      this.#margins[at] = now[best]!
      now[best] = Number.POSITIVE_INFINITY
      zonePicks[zones[owner]!]!++
    }
    this.#measureMargins(slot)
  }

  /** An owner is dropped when the cheapest exchange for a candidate that was not picked costs less than keeping it. */
  #measureMargins(slot: number): void {
    const { picks, candidates, zones, picksPerZone } = this.#race
    const first = slot * this.#candidatesPerSlot
    const spare = this.#zoneSpare
    spare.fill(Number.POSITIVE_INFINITY)
    for (let i = 0; i < this.#now.length; i++) {
      const zone = zones[candidates[first + i]!]!
      if (this.#now[i]! < spare[zone]!) spare[zone] = this.#now[i]!
    }
    for (let at = slot * picks; at < (slot + 1) * picks; at++) {
      const zone = zones[this.owners[at]!]!
      const relief = this.#zonePicks[zone]! > picksPerZone ? crowding : 1
      let cheapest = spare[zone]!
      for (let other = 0; other < spare.length; other++) {
        if (other === zone) continue
        const charge = this.#zonePicks[other]! >= picksPerZone ? crowding : 1
        cheapest = Math.min(cheapest, (spare[other]! * charge) / relief)
      }
      this.#margins[at] = cheapest / this.#margins[at]!
    }
  }

  /** Handicaps each member over its cap so far that it loses the excess. Returns false when nobody is over. */
  handicapOverloaded(): boolean {
    const { members, caps } = this.#race
    const margins = this.#marginsByMember()
    let start = 0
    let found = false
    for (let member = 0; member < members; member++) {
      const load = this.#loads[member]!
      const excess = load - caps[member]!
      if (excess > 0) {
        const sorted = margins.subarray(start, start + load).sort()
        this.#handicaps[member]! *= sorted[excess - 1]! * handicapStep
        this.#changed[member] = 1
        found = true
      }
      start += load
    }
    return found
  }

  /** The margins of all owners, member by member. */
  #marginsByMember(): Float64Array {
    const next = new Uint32Array(this.#loads.length)
    for (let member = 1; member < next.length; member++) next[member] = next[member - 1]! + this.#loads[member - 1]!
    const margins = new Float64Array(this.owners.length)
    for (let at = 0; at < this.owners.length; at++) margins[next[this.owners[at]!]!++] = this.#margins[at]!
    return margins
  }

  /** Enforces the caps without regard to how much moves: from each slot, a full member gives way to the emptiest. */
  fill(): void {
    const { picks, candidates, caps } = this.#race
    for (let slot = 0; slot < slotCount; slot++) {
      const owners = this.owners.subarray(slot * picks, (slot + 1) * picks)
      for (let i = 0; i < picks; i++) {
        const owner = owners[i]!
        if (this.#loads[owner]! <= caps[owner]!) continue
        let emptiest = owner
        let room = 0
        for (let c = slot * this.#candidatesPerSlot; c < (slot + 1) * this.#candidatesPerSlot; c++) {
          const candidate = candidates[c]!
          const candidateRoom = caps[candidate]! - this.#loads[candidate]!
          if (candidateRoom <= room || owners.includes(candidate)) continue
          emptiest = candidate
          room = candidateRoom
        }
        // It is still `owner` where all with room own this slot already; a later slot will take from this owner.
        owners[i] = emptiest
        this.#loads[owner]!--
        this.#loads[emptiest]!++
      }
    }
  }
}

import { AssertionError } from '../base/index.js'
import { slotCount } from './slot.js'

/** Who competes for the slots, and how. Members are indexes. */
export interface Race {
  readonly members: number
  /** How many members each slot takes; fewer than there are. */
  readonly picks: number
  /** `scores[slot * members + member]`: the slot takes the lowest; Infinity: never. */
  readonly scores: Float64Array
  /** The most slots that a member may have; together enough for all picks. */
  readonly caps: Uint16Array
  /** By member: the number of its zone, from 0. */
  readonly zones: Uint16Array
  /** A slot takes more members than this of one zone only where the caps leave it no choice. */
  readonly picksPerZone: number
}

export interface BalanceOptions {
  /** For tests of what comes after the last sweep. */
  readonly sweepsMax?: number
}

// By this factor a member's score is worse where its zone has its picks already: more than scores and handicaps can
// make up for, unless the caps force it.
const crowding = 2 ** 40

// Each handicap grows at least by this factor, else two full members would hand one slot to and fro for ever. The
// coarser, the more slots move needlessly when a member joins; this much changes hardly a slot.
const handicapStep = 1 + 2 ** -10

/** Measured: 10 to 80 sweeps settle up to 256 members; what has not settled after these is placed by `fill`. */
const sweepsMaxDefault = 500

/**
 * Gives each slot its `picks` best members without any member passing its cap, and returns their indexes, slot by
 * slot, best first.
 *
 * A member that would own too much gets a handicap, a factor on its scores, just large enough that it loses the slots
 * that it wants least; whoever then owns too much is handicapped in turn, until nobody does. Handicaps only grow from
 * 1, all at once in each sweep, so the result depends on no order. It is the auction for a transport problem
 * (Bertsekas, 1988), where a walk that skips full members would cascade: here a new member disturbs the others only
 * as far as their handicaps change, which is little.
 */
export function balance(race: Race, options: BalanceOptions = {}): Uint16Array {
  const balancer = new Balancer(race)
  const sweepsMax = options.sweepsMax ?? sweepsMaxDefault
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
    const { members, picks, zones } = race
    const zoneCount = zones.reduce((most, zone) => Math.max(most, zone + 1), 0)
    this.#race = race
    this.owners = new Uint16Array(slotCount * picks)
    this.#handicaps = new Float64Array(members).fill(1)
    this.#margins = new Float64Array(slotCount * picks)
    this.#loads = new Uint32Array(members)
    this.#changed = new Uint8Array(members).fill(1)
    this.#now = new Float64Array(members)
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
    const { members, picks, scores, zones, picksPerZone } = this.#race
    const now = this.#now
    const zonePicks = this.#zonePicks
    for (let member = 0; member < members; member++) {
      now[member] = scores[slot * members + member]! * this.#handicaps[member]!
    }
    zonePicks.fill(0)
    for (let i = slot * picks; i < (slot + 1) * picks; i++) {
      let best = -1
      let bestCost = Number.POSITIVE_INFINITY
      for (let member = 0; member < members; member++) {
        let cost = now[member]!
        if (cost >= bestCost) continue
        if (zonePicks[zones[member]!]! >= picksPerZone) cost *= crowding
        if (cost < bestCost) {
          best = member
          bestCost = cost
        }
      }
      if (best < 0) throw new AssertionError(`slot ${slot} has fewer candidates than picks`)
      this.owners[i] = best
      // Kept here until the margins are known; the member itself is out of the race for this slot.
      this.#margins[i] = now[best]!
      now[best] = Number.POSITIVE_INFINITY
      zonePicks[zones[best]!]!++
    }
    this.#measureMargins(slot)
  }

  /** An owner is dropped when the cheapest exchange for a member that was not picked costs less than keeping it. */
  #measureMargins(slot: number): void {
    const { members, picks, zones, picksPerZone } = this.#race
    const now = this.#now
    const spare = this.#zoneSpare
    spare.fill(Number.POSITIVE_INFINITY)
    for (let member = 0; member < members; member++) {
      if (now[member]! < spare[zones[member]!]!) spare[zones[member]!] = now[member]!
    }
    for (let i = slot * picks; i < (slot + 1) * picks; i++) {
      const zone = zones[this.owners[i]!]!
      const relief = this.#zonePicks[zone]! > picksPerZone ? crowding : 1
      let cheapest = spare[zone]!
      for (let other = 0; other < spare.length; other++) {
        if (other === zone) continue
        const charge = this.#zonePicks[other]! >= picksPerZone ? crowding : 1
        cheapest = Math.min(cheapest, (spare[other]! * charge) / relief)
      }
      this.#margins[i] = cheapest / this.#margins[i]!
    }
  }

  /** Handicaps each member over its cap so far that it loses the excess. Returns false when nobody is over. */
  handicapOverloaded(): boolean {
    const { members, caps } = this.#race
    let found = false
    for (let member = 0; member < members; member++) {
      const excess = this.#loads[member]! - caps[member]!
      if (excess <= 0) continue
      found = true
      this.#handicaps[member]! *= this.#sortedMargins(member)[excess - 1]! * handicapStep
      this.#changed[member] = 1
    }
    return found
  }

  #sortedMargins(member: number): Float64Array {
    const margins = new Float64Array(this.#loads[member]!)
    let count = 0
    for (let i = 0; i < this.owners.length; i++) {
      if (this.owners[i] === member) margins[count++] = this.#margins[i]!
    }
    return margins.sort()
  }

  /** Enforces the caps without regard to how much moves: from each slot, a full member gives way to the emptiest. */
  fill(): void {
    const { members, picks, scores, caps } = this.#race
    for (let slot = 0; slot < slotCount; slot++) {
      const start = slot * picks
      for (let i = start; i < start + picks; i++) {
        const owner = this.owners[i]!
        if (this.#loads[owner]! <= caps[owner]!) continue
        let emptiest = -1
        let room = 0
        for (let member = 0; member < members; member++) {
          const memberRoom = caps[member]! - this.#loads[member]!
          if (memberRoom <= room || scores[slot * members + member] === Number.POSITIVE_INFINITY) continue
          if (this.owners.subarray(start, start + picks).includes(member)) continue
          emptiest = member
          room = memberRoom
        }
        // Only where all with room own this slot already; a later slot will take from this owner.
        if (emptiest < 0) continue
        this.owners[i] = emptiest
        this.#loads[owner]!--
        this.#loads[emptiest]!++
      }
    }
  }
}

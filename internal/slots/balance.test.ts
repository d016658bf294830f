import fc from 'fast-check'
import { expect, test } from 'vitest'
import { balance, type Race } from './balance.js'
import { sharesOf } from './shares.js'
import { slotCount } from './slot.js'

function raceOf(weights: readonly number[], picks: number, zones: readonly number[], picksPerZone: number): Race {
  const members = weights.length
  let seed = 7
  const scores = Float64Array.from({ length: slotCount * members }, () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return 1 + (seed >>> 8)
  })
  const candidates = Uint16Array.from(scores, (_, i) => i % members)
  const { caps } = sharesOf(weights, picks)
  return { members, picks, candidates, scores, caps, zones: Uint16Array.from(zones), picksPerZone }
}

function loadsOf(owners: Uint16Array, members: number): number[] {
  const loads = new Array<number>(members).fill(0)
  for (const owner of owners) loads[owner]!++
  return loads
}

function expectBounded(race: Race, owners: Uint16Array): void {
  loadsOf(owners, race.members).forEach((load, member) => {
    expect(load).toBeLessThanOrEqual(race.caps[member]!)
  })
  for (let slot = 0; slot < slotCount; slot++) {
    const of = owners.subarray(slot * race.picks, (slot + 1) * race.picks)
    expect(new Set(of).size).toBe(race.picks)
  }
}

const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 4, maxLength: 12 })

test('whatever the weights and zones, nobody passes its cap and no slot has an owner twice', {
  timeout: 120_000,
}, () => {
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 4 }), (given, picks, zoneCount) => {
      const zones = given.map((_, i) => i % zoneCount)
      const race = raceOf(given, picks, zones, Math.ceil(picks / Math.min(zoneCount, given.length)))
      expectBounded(race, balance(race))
    }),
    { numRuns: 25 },
  )
})

test('what the sweeps did not settle is settled by force, within the same bounds', () => {
  const race = raceOf([5, 1, 1, 1, 1, 1, 1, 2, 2], 3, new Array<number>(9).fill(0), 3)
  for (const sweepsMax of [0, 1]) expectBounded(race, balance(race, sweepsMax))
})

test('with caps that leave not one slot of room, there is still an answer', { timeout: 120_000 }, () => {
  const race = raceOf(new Array<number>(32).fill(1), 1, new Array<number>(32).fill(0), 1)
  const rigid: Race = { ...race, caps: new Uint16Array(32).fill(slotCount / 32) }
  expectBounded(rigid, balance(rigid))
})

test('without pressure every slot has its best members, best first', () => {
  const race = raceOf([1, 1, 1, 1, 1], 2, [0, 0, 0, 0, 0], 2)
  const owners = balance({ ...race, caps: new Uint16Array(5).fill(slotCount) })
  for (let slot = 0; slot < slotCount; slot++) {
    const best = [0, 1, 2, 3, 4].sort((a, b) => race.scores[slot * 5 + a]! - race.scores[slot * 5 + b]!)
    expect([...owners.subarray(slot * 2, slot * 2 + 2)]).toEqual(best.slice(0, 2))
  }
})

import { expect, test } from 'vitest'
import type { Slot } from '../base/index.js'
import { crc32 } from '../hash/index.js'
import { type SlotTable, slotCount, slotTable } from './index.js'
import { type MemberSketch, topologyOf } from './topology.test-support.js'

const patienceMs = 180_000

const idSets: Readonly<Record<string, (i: number) => string>> = {
  counted: (i) => `node-${i + 1}`,
  pods: (i) => `kv-server-${i}`,
  random: (i) => (Math.imul(i + 1, 0x9e3779b1) >>> 0).toString(36),
}

function ownerIds(table: SlotTable, slot: number): string[] {
  return Array.from(table.owners(slot as Slot), (owner) => table.members[owner]!.id)
}

/** How many copies of slots the second table has at members that did not have them in the first. */
function movedBetween(before: SlotTable, after: SlotTable): number {
  let moved = 0
  for (let slot = 0; slot < slotCount; slot++) {
    const had = ownerIds(before, slot)
    for (const id of ownerIds(after, slot)) if (!had.includes(id)) moved++
  }
  return moved
}

/** The worst member: slots owned over fair share. One slot's rounding is not counted as overload. */
function worstOverload(table: SlotTable): number {
  let worst = 0
  for (let member = 0; member < table.members.length; member++) {
    const fair = table.fairShare(member)
    if (table.load(member) > Math.ceil(fair)) worst = Math.max(worst, table.load(member) / fair)
  }
  return worst
}

interface Measured {
  overload: number
  movement: number
  meanMovement: number
  at: number
}

/** Lets members join one by one and measures, from `from` members on, what each join does. */
function measureJoins(sketches: readonly MemberSketch[], sizes: readonly number[], replicationFactor = 3): Measured {
  const measured: Measured = { overload: 0, movement: 0, meanMovement: 0, at: 0 }
  let last: { members: number; table: SlotTable } | undefined
  for (const size of sizes) {
    const before =
      last?.members === size ? last.table : slotTable(topologyOf(sketches.slice(0, size), replicationFactor))
    const after = slotTable(topologyOf(sketches.slice(0, size + 1), replicationFactor))
    const joined = after.members.findIndex(({ id }) => id === sketches[size]!.id)
    const movement = movedBetween(before, after) / after.fairShare(joined)
    measured.overload = Math.max(measured.overload, worstOverload(before), worstOverload(after))
    measured.meanMovement += movement / sizes.length
    if (movement > measured.movement) {
      measured.movement = movement
      measured.at = size
    }
    last = { members: size + 1, table: after }
  }
  return measured
}

function report(title: string, rows: readonly (readonly [string, Measured])[]): void {
  const lines = rows.map(([name, { overload, movement, meanMovement, at }]) => {
    const figures = [overload, movement, meanMovement].map((figure) => figure.toFixed(3))
    return `  ${name.padEnd(16)} overload ${figures[0]}, moved at worst ${figures[1]} (at ${at}), on average ${figures[2]}`
  })
  console.log([`${title}, in fair shares:`, ...lines].join('\n'))
}

const upTo64 = Array.from({ length: 62 }, (_, i) => i + 3)
/** Every size for names that are counted; for others a third of them, which takes a third of the time. */
const sizesFor = (name: string): number[] => (name === 'counted' ? upTo64 : upTo64.filter((size) => size % 3 === 0))

test(
  'from 3 to 64 equal members, nobody is over 5 % above its share and a join moves at most 1.25 shares',
  () => {
    const rows = Object.entries(idSets).map(([name, idOf]) => {
      const sketches = Array.from({ length: 65 }, (_, i) => ({ id: idOf(i) }))
      return [name, measureJoins(sketches, sizesFor(name))] as const
    })
    report('joins to 3..64 equal members', rows)
    for (const [, { overload, movement }] of rows) {
      expect(overload).toBeLessThanOrEqual(1.05)
      expect(movement).toBeLessThanOrEqual(1.25)
    }
  },
  patienceMs,
)

const weightMixes: Readonly<Record<string, (i: number) => number>> = {
  'one or two': (i) => 1 + (i % 2),
  'one, two, four': (i) => [1, 2, 4][i % 3]!,
  'one to eight': (i) => 1 + (Math.imul(i + 1, 0x9e3779b1) >>> 29),
  'by hundreds': (i) => [100, 150, 300][i % 3]!,
}

test(
  'from 3 to 64 members of unequal weight, the same bounds hold by weight',
  () => {
    const sizes = [3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 21, 22, 23, 24, 32, 48, 63, 64]
    const rows = Object.entries(weightMixes).map(([name, weightOf]) => {
      const sketches = Array.from({ length: 65 }, (_, i) => ({ id: `node-${i + 1}`, weight: weightOf(i) }))
      return [name, measureJoins(sketches, sizes)] as const
    })
    report('joins to 3..64 members by weight', rows)
    for (const [, { overload, movement }] of rows) {
      expect(overload).toBeLessThanOrEqual(1.05)
      expect(movement).toBeLessThanOrEqual(1.25)
    }
  },
  patienceMs,
)

test(
  'around a member that weighs enough to own nearly every slot, a join moves a little more',
  () => {
    const sketches = Array.from({ length: 65 }, (_, i) => ({ id: `node-${i + 1}`, weight: i === 2 ? 10 : 1 }))
    const measured = measureJoins(sketches, [3, 8, 16, 20, 21, 22, 23, 24, 25, 32, 64])
    report('joins to members of weight one around one of weight ten', [['one of ten', measured]])
    expect(measured.overload).toBeLessThanOrEqual(1.05)
    expect(measured.movement).toBeLessThanOrEqual(1.3)
  },
  patienceMs,
)

test('sixty-four members are laid out in less than a second', () => {
  const topology = topologyOf(Array.from({ length: 64 }, (_, i) => ({ id: `node-${i + 1}` })))
  slotTable(topology)
  const before = process.cpuUsage()
  slotTable(topology)
  const { user, system } = process.cpuUsage(before)
  console.log(`laying out 64 members took ${Math.round((user + system) / 1000)} ms of processor time`)
  expect(user + system).toBeLessThan(1_000_000)
})

test('slots with the same owners share one list, and others do not', () => {
  const table = slotTable(
    topologyOf(
      Array.from({ length: 4 }, (_, i) => ({ id: `n${i}` })),
      3,
    ),
  )
  const lists = new Map<string, Uint16Array>()
  for (let slot = 0; slot < slotCount; slot++) {
    const owners = table.owners(slot as Slot)
    const name = ownerIds(table, slot).join()
    expect(owners).toBe(lists.get(name) ?? owners)
    lists.set(name, owners)
  }
  expect(new Set(lists.values()).size).toBe(lists.size)
})

test('every slot has distinct owners, as many as the replication factor or the members', () => {
  for (const [members, replicationFactor] of [
    [1, 3],
    [2, 3],
    [3, 3],
    [4, 3],
    [9, 1],
    [9, 7],
  ] as const) {
    const sketches = Array.from({ length: members }, (_, i) => ({ id: `n${i}` }))
    const table = slotTable(topologyOf(sketches, replicationFactor))
    expect(table.ownersPerSlot).toBe(Math.min(members, replicationFactor))
    const loads = new Array<number>(members).fill(0)
    for (let slot = 0; slot < slotCount; slot++) {
      const owners = table.owners(slot as Slot)
      expect(new Set(owners).size).toBe(table.ownersPerSlot)
      for (const owner of owners) loads[owner]!++
    }
    for (let member = 0; member < members; member++) {
      const slots = table.slotsOf(member)
      expect(slots.length).toBe(loads[member])
      expect(table.load(member)).toBe(loads[member])
      const owned = new Set<number>(slots)
      for (let slot = 0; slot < slotCount; slot++) {
        expect(table.ownsSlot(member, slot as Slot)).toBe(owned.has(slot))
      }
    }
  }
})

test('the order of the members in the document changes nothing, not even where two rank a slot alike', () => {
  const sketches = Array.from({ length: 40 }, (_, i) => ({ id: `n${i}`, weight: 1 + (i % 2), zone: `z${i % 5}` }))
  const topology = topologyOf(sketches)
  const table = slotTable(topology)
  const reversed = slotTable({ ...topology, members: topology.members.toReversed() })
  for (let slot = 0; slot < slotCount; slot++) expect(ownerIds(reversed, slot)).toEqual(ownerIds(table, slot))
  reversed.members.forEach(({ id }, member) => {
    const other = table.members.findIndex((candidate) => candidate.id === id)
    expect(reversed.fairShare(member)).toBe(table.fairShare(other))
  })
})

test('golden tables: nodes of different releases must agree on who owns what', () => {
  const equal = slotTable(topologyOf(Array.from({ length: 7 }, (_, i) => ({ id: `node-${i + 1}` }))))
  const mixed = slotTable(
    topologyOf(
      Array.from({ length: 9 }, (_, i) => ({ id: `kv-${i}`, weight: 1 + (i % 3), zone: `z${i % 2}` })),
      5,
      40,
    ),
  )
  const sums = [equal, mixed].map((table) => {
    const text = Array.from({ length: slotCount }, (_, slot) => ownerIds(table, slot).join()).join(';')
    return crc32(new TextEncoder().encode(text)).toString(16)
  })
  expect(sums).toMatchInlineSnapshot(`
    [
      "e5d69522",
      "24fc2afc",
    ]
  `)
  expect([0, 1, 4095].map((slot) => ownerIds(equal, slot))).toMatchInlineSnapshot(`
    [
      [
        "node-3",
        "node-6",
        "node-5",
      ],
      [
        "node-5",
        "node-6",
        "node-1",
      ],
      [
        "node-5",
        "node-2",
        "node-3",
      ],
    ]
  `)
})

test('members are first in proportion to their shares, so that clients spread', () => {
  const even = Array.from({ length: 3 }, (_, i) => ({ id: `node-${i + 1}` }))
  const uneven = Array.from({ length: 8 }, (_, i) => ({ id: `node-${i + 1}`, weight: 1 + (i % 3) }))
  for (const sketches of [even, uneven]) {
    const table = slotTable(topologyOf(sketches))
    const firsts = new Uint32Array(sketches.length)
    for (let slot = 0; slot < slotCount; slot++) firsts[table.owners(slot as Slot)[0]!]!++
    firsts.forEach((count, member) => {
      const fair = table.fairShare(member) / table.ownersPerSlot
      expect(count / fair).toBeGreaterThan(0.85)
      expect(count).toBeLessThanOrEqual(Math.max(fair * 1.05, Math.ceil(table.load(member) / table.ownersPerSlot)))
    })
  }
})

function zonesOf(table: SlotTable, slot: number): string[] {
  return Array.from(table.owners(slot as Slot), (owner) => table.members[owner]!.zone)
}

test('where there are enough zones, no two owners of a slot share one, and loads stay bounded', () => {
  const sketches = Array.from({ length: 12 }, (_, i) => ({ id: `node-${i + 1}`, zone: `zone-${i % 4}` }))
  const table = slotTable(topologyOf(sketches))
  for (let slot = 0; slot < slotCount; slot++) expect(new Set(zonesOf(table, slot)).size).toBe(3)
  expect(worstOverload(table)).toBeLessThanOrEqual(1.05)
})

test('with two zones for three copies, no slot has all of them in one', () => {
  const sketches = Array.from({ length: 8 }, (_, i) => ({ id: `node-${i + 1}`, zone: `zone-${i % 2}` }))
  const table = slotTable(topologyOf(sketches))
  for (let slot = 0; slot < slotCount; slot++) expect(new Set(zonesOf(table, slot)).size).toBe(2)
  expect(worstOverload(table)).toBeLessThanOrEqual(1.05)
})

test('zones too small for their part are used up to their fair shares, and nobody is overloaded', () => {
  const sketches = Array.from({ length: 12 }, (_, i) => ({ id: `node-${i + 1}`, zone: i < 10 ? 'big' : `small-${i}` }))
  const table = slotTable(topologyOf(sketches))
  expect(worstOverload(table)).toBeLessThanOrEqual(1.05)
  table.members.forEach(({ zone }, member) => {
    if (zone !== 'big') expect(table.load(member)).toBe(Math.floor(table.fairShare(member) * 1.05))
  })
})

// A zone with one member more than the others still has to hold one copy of each slot, among more: its members get
// less than their fair shares, and what a join moves is not its share alone.
test('zones raise what a join moves by less than half', () => {
  const sketches = Array.from({ length: 25 }, (_, i) => ({ id: `node-${i + 1}`, zone: `zone-${i % 3}` }))
  const measured = measureJoins(sketches, [3, 6, 9, 12, 24])
  report('joins to members in three zones', [['balanced', measured]])
  expect(measured.overload).toBeLessThanOrEqual(1.05)
  expect(measured.movement).toBeLessThanOrEqual(1.5)
})

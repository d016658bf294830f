import type { Slot } from '../../base/index.js'
import { firstVoters, type Quorums, quorumOf } from '../../quorum/index.js'
import { allSlots, movedSlots, type SlotTable } from '../../slots/index.js'
import type { Consistency } from '../operations/operations.js'
import type { Routing, RoutingSides } from '../operations/routing.js'

/** One side of a handover, or all there is while none runs. */
export interface QuorumSide {
  /** A bit for the position of each of its owners. */
  readonly group: number
  readonly owners: number
  readonly readQuorum: number
  readonly writeQuorum: number
}

type ByConsistency = Readonly<Record<Consistency, Quorums>>

/**
 * How many of a slot's owners are enough for what. Owners are bits: the position of each in the slot's list. Worked out
 * once for each epoch. While the slot moves, quorums are joint: of the side that is read and of the other.
 */
export interface SlotQuorums {
  /** The owners of the side that is read: only they say what a key's value is. */
  readonly reading: number
  /**
   * Those who own the slot only afterwards, while the owners before are read. What they hold may be left over from
   * an earlier time, so what they call stale says nothing; they vote all the same, because they hold something not lower.
   */
  readonly newcomers: number
  /** Owners that must have a write on disk before its reply. */
  readonly written: ByConsistency
  /** Owners that must answer a read before the newest version is judged. */
  readonly answered: ByConsistency
  /** Owners that must hold a version before it is returned, so that every read quorum of either side meets it. */
  readonly settled: ByConsistency
  /** Owners to ask at first: enough to see whether a version has settled. */
  readonly asked: ByConsistency
}

/** What operations look up of a slot, one way whether it moves or not. Slots of which all of it is the same share one. */
export interface SlotOwners {
  /** By their indexes in the routing. While it moves those of both sides, first those of the side that is read. */
  readonly owners: Uint16Array
  readonly quorums: SlotQuorums
  readonly moves: boolean
}

/** What two sides require together; `newcomers` as in `SlotQuorums`. */
export function slotQuorums(reading: QuorumSide, other: QuorumSide | undefined, newcomers: number): SlotQuorums {
  const sides = other === undefined ? [reading] : [reading, other]
  const oneRead = [quorumOf(reading.group, 1)]
  const all = sides.map(({ group, owners }) => quorumOf(group, owners))
  const settled = sides.map((side) => quorumOf(side.group, settledOf(side)))
  const asked = sides.map((side) => {
    const answers = side === reading ? side.readQuorum : 1
    return quorumOf(side.group, Math.max(answers, settledOf(side)))
  })
  const written = sides.map(({ group, writeQuorum }) => quorumOf(group, writeQuorum))
  const answered = [quorumOf(reading.group, reading.readQuorum)]
  return {
    reading: reading.group,
    newcomers,
    written: { one: oneRead, quorum: written, all },
    answered: { one: oneRead, quorum: answered, all },
    settled: { one: [], quorum: settled, all: settled },
    asked: { one: oneRead, quorum: asked, all },
  }
}

/** See `settledCount`. */
function settledOf({ owners, readQuorum }: QuorumSide): number {
  return owners - readQuorum + 1
}

/** The quorums of slots that do not move. */
export function restingQuorums({ table, readQuorum, writeQuorum }: RoutingSides): SlotQuorums {
  const owners = table.ownersPerSlot
  return slotQuorums({ group: firstVoters(owners), owners, readQuorum, writeQuorum }, undefined, 0)
}

/**
 * A routing with what operations look up in it for each slot. All routings are made by this one literal: of another shape
 * than the ones before, the first that moves slots would have V8 throw away the code of every operation.
 */
export function routingOf(sides: RoutingSides): Routing {
  const { epoch, table, self, replicas, readQuorum, writeQuorum, other, otherReadQuorum, otherWriteQuorum, step } =
    sides
  const slots = slotOwners(sides)
  return {
    epoch,
    table,
    self,
    replicas,
    readQuorum,
    writeQuorum,
    other,
    otherReadQuorum,
    otherWriteQuorum,
    step,
    slots,
  }
}

/** By slot. Under a millisecond for all of them: few lists of owners differ, and so few pairs of those before and after. */
function slotOwners(sides: RoutingSides): readonly SlotOwners[] {
  const { table, other } = sides
  const quorums = restingQuorums(sides)
  const resting = new Map<Uint16Array, SlotOwners>()
  const slots = allSlots().map((slot) => {
    const owners = table.owners(slot)
    return found(resting, owners, () => ({ owners, quorums, moves: false }))
  })
  if (other === undefined) return slots
  const kinds = new Map<number, SlotQuorums>()
  const moving = new Map<Uint16Array, Map<Uint16Array, SlotOwners>>()
  for (const slot of movedSlots(table, other)) {
    const ofThese = found(moving, table.owners(slot), () => new Map<Uint16Array, SlotOwners>())
    slots[slot] = found(ofThese, other.owners(slot), () => movingSlot(sides, other, slot, kinds))
  }
  return slots
}

function found<Key, Value>(known: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = known.get(key)
  if (value === undefined) {
    value = make()
    known.set(key, value)
  }
  return value
}

/** One that moves. `kinds` keeps what slots of the same kind share, by the group of the other side. */
export function movingSlot(
  sides: RoutingSides,
  other: SlotTable,
  slot: Slot,
  kinds: Map<number, SlotQuorums>,
): SlotOwners {
  const { table, readQuorum, writeQuorum, otherReadQuorum, otherWriteQuorum, step } = sides
  const owners = union(table.owners(slot), other.owners(slot))
  const group = groupOf(owners, other.owners(slot))
  let quorums = kinds.get(group)
  if (quorums === undefined) {
    const reading = { group: firstVoters(table.ownersPerSlot), owners: table.ownersPerSlot, readQuorum, writeQuorum }
    const sizes = { owners: other.ownersPerSlot, readQuorum: otherReadQuorum, writeQuorum: otherWriteQuorum }
    quorums = slotQuorums(reading, { group, ...sizes }, step === 'both' ? group & ~reading.group : 0)
    kinds.set(group, quorums)
  }
  return { owners, quorums, moves: true }
}

function union(first: Uint16Array, second: Uint16Array): Uint16Array {
  return Uint16Array.from(new Set([...first, ...second]))
}

/** The bits of those members among the owners. */
function groupOf(owners: Uint16Array, members: Uint16Array): number {
  return members.reduce((group, member) => group | (1 << owners.indexOf(member)), 0)
}

/** The owners of a slot, of both sides while it moves. Shared: the caller must not change it. */
export function ownersOf({ slots }: Routing, slot: Slot): Uint16Array {
  return slots[slot]!.owners
}

/** What is enough for what in a slot. Positions are those of `ownersOf`. */
export function quorumsOf({ slots }: Routing, slot: Slot): SlotQuorums {
  return slots[slot]!.quorums
}

/** How many are needed, for people. */
export function neededNote(quorums: Quorums): string {
  const [first, second] = quorums
  if (first === undefined) return 'none'
  return second === undefined
    ? `${first.needed}`
    : `${first.needed} of those that are read and ${second.needed} of the other side`
}

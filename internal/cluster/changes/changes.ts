/**
 * The steps of the topology, pure: a document in, the next one out. Each makes one epoch and takes at most one step of
 * membership (a vote more, a vote less, or an incarnation in the place of another), so that majorities of neighbouring
 * epochs overlap. docs/adr/0028 tells how they follow each other.
 */

import { type Epoch, type Incarnation, invalidArgument, KvError, limits, type NodeId } from '../../base/index.js'
import {
  accessLevel,
  type Conduct,
  commonLevel,
  currentRing,
  demandsAuthentication,
  goesBy,
  incomingSlots,
  type Member,
  type PlannedChange,
  type RemovedMember,
  type RingShare,
  slotTables,
  type Topology,
} from '../../slots/index.js'
import type { Founder } from '../links/handshake.js'
import { objectionToJoin } from './objections.js'

type Change = Partial<Omit<Topology, 'clusterId' | 'epoch'>>

/** The document after this one, with something changed. Every change of a topology is made by this. */
export function next(topology: Topology, change: Change): Topology {
  return { ...topology, ...change, epoch: (topology.epoch + 1) as Epoch }
}

/** The list with one member changed. */
export function withMember(members: readonly Member[], id: NodeId, change: Partial<Member>): Member[] {
  return members.map((member) => (member.id === id ? { ...member, ...change } : member))
}

function byId<T extends { readonly id: NodeId }>(items: Iterable<T>): T[] {
  return [...items].sort((a, b) => (a.id < b.id ? -1 : 1))
}

/**
 * With a new member, which owns nothing yet. Undefined: it is one already, may not become one (`objectionToJoin`), or
 * there is no room for it.
 */
export function joined(topology: Topology, founder: Founder): Topology | undefined {
  const { members, nextNumber } = topology
  const { id, incarnation, address, zone, weight } = founder
  if (members.length >= limits.membersMax || members.some((member) => member.id === id)) return undefined
  if (objectionToJoin(topology, founder) !== undefined) return undefined
  const since = (topology.epoch + 1) as Epoch
  const newcomer: Member = {
    id,
    incarnation,
    address,
    zone,
    weight,
    ...sayableConduct(topology, founder),
    number: nextNumber,
    since,
    state: 'joining',
  }
  return next(topology, { members: byId([...members, newcomer]), nextNumber: nextNumber + 1 })
}

/**
 * With a new incarnation in the place of a member's former one. Zone and weight stay, since they decide where data lies;
 * the address is where the newcomer is. Undefined: that has been done, or somebody else has come back.
 */
export function returned(topology: Topology, founder: Founder, former: Incarnation): Topology | undefined {
  const { id, incarnation, address } = founder
  const { members, nextNumber } = topology
  const member = members.find((each) => each.id === id)
  if (member?.incarnation !== former || former === incarnation) return undefined
  if (objectionToJoin(topology, founder) !== undefined) return undefined
  const since = (topology.epoch + 1) as Epoch
  const conduct = sayableConduct(topology, founder)
  const change = { incarnation, address, ...conduct, number: nextNumber, since }
  return next(topology, { members: withMember(members, id, change), nextNumber: nextNumber + 1 })
}

/** A node's conduct as far as the topology can say it at its level. */
export function sayableConduct({ featureLevel }: Topology, { levels, authenticates }: Conduct): Conduct {
  return { levels, authenticates: authenticates && featureLevel >= accessLevel }
}

/**
 * With a member that runs otherwise than before, by its own wish. Undefined: that is known, it is no member, or the cluster
 * would not have it so: it could not go by the level in force, or lets in anybody where nobody else does.
 */
export function declared(
  topology: Topology,
  { id, incarnation, ...conduct }: { readonly id: NodeId; readonly incarnation: Incarnation } & Conduct,
): Topology | undefined {
  const { members, featureLevel } = topology
  const member = members.find((each) => each.id === id)
  const { levels, authenticates } = sayableConduct(topology, conduct)
  if (member?.incarnation !== incarnation || !goesBy(levels, featureLevel)) return undefined
  if (!authenticates && demandsAuthentication(topology)) return undefined
  const same = member.levels.min === levels.min && member.levels.max === levels.max
  if (same && member.authenticates === authenticates) return undefined
  return next(topology, { members: withMember(members, id, { levels, authenticates }) })
}

/**
 * With the newest feature level that all members can go by; from then on no older software may come back. Undefined: that is
 * the level in force, or one of them cannot go by it because its software has left behind what is between.
 */
export function raised(topology: Topology): Topology | undefined {
  const level = commonLevel(topology.members.map(({ levels }) => levels))
  return level === undefined || level <= topology.featureLevel ? undefined : next(topology, { featureLevel: level })
}

/**
 * With a change that somebody wants: queued behind those that wait, in the place of any earlier one about the same
 * member; or done at once, where it moves nothing. Undefined: it is under way or done already, so that asking again
 * changes nothing. Throws KvError `invalid-argument` where it makes no sense, and `overloaded` where too many wait.
 */
export function requested(topology: Topology, change: PlannedChange): Topology | undefined {
  const { members, handover, planned, removed } = topology
  if (planned.some((other) => isSame(other, change)) || handover?.changes.some((other) => isSame(other, change))) {
    return undefined
  }
  const member = members.find(({ id }) => id === change.id)
  const goes = change.kind === 'decommission' || change.kind === 'remove'
  if (member === undefined) {
    if (change.kind !== 'reweight' && removed.some(({ id }) => id === change.id)) return undefined
    throw invalidArgument('id', `${change.id} is not a member`)
  }
  if (member.state === 'leaving' || member.state === 'left') {
    if (goes) return undefined
    throw invalidArgument('id', `${change.id} is leaving`)
  }
  if (member.state === 'joining') return requestedOfJoining(topology, member, change)
  if (change.kind === 'replace') {
    const by = members.find(({ id }) => id === change.by)
    const fits = change.by !== change.id && (by === undefined || by.state === 'joining')
    if (!fits) {
      const instead = `remove ${change.id}, or decommission it where it is alive, and all who stay take over what it has`
      throw invalidArgument('by', `only a node that joins can take the place of ${change.id}: ${instead}`)
    }
    if (handover?.ring.some(({ id }) => id === change.by)) {
      throw invalidArgument('by', `${change.by} is getting slots already`)
    }
    const taken = planned.find((other) => byOf(other) === change.by && other.id !== change.id)
    if (taken !== undefined) throw invalidArgument('by', `${change.by} is to take the place of ${taken.id} already`)
  }
  if (change.kind === 'reweight' && handover === undefined && member.weight === change.weight) {
    const others = planned.filter(({ id }) => id !== change.id)
    return others.length === planned.length ? undefined : next(topology, { planned: others })
  }
  // A dead member gets nothing any more: the handover would wait for it for ever, and the change for the handover.
  const stalls = change.kind === 'remove' && isToGetSlots(topology, member.id)
  const after = queued(stalls ? calledBack(topology) : topology, change)
  if (ringAfter(after, () => true).refused.includes(change)) {
    throw invalidArgument('id', `without ${change.id} nobody would own a slot`)
  }
  return after
}

/** Whether the next owners cannot be read before slots have come to this member. */
function isToGetSlots(topology: Topology, id: NodeId): boolean {
  if (topology.handover?.step !== 'both') return false
  const place = topology.members.findIndex((member) => member.id === id)
  return incomingSlots(topology, slotTables(topology), place).length > 0
}

/** Behind what waits, and in the place of what waits about the same member. Throws KvError `overloaded`. */
function queued(topology: Topology, change: PlannedChange): Topology {
  const planned = [...topology.planned.filter(({ id }) => id !== change.id), change]
  if (planned.length + (topology.handover?.changes.length ?? 0) > limits.plannedChangesMax) {
    throw new KvError('overloaded', `${limits.plannedChangesMax} changes of the topology wait already`)
  }
  return next(topology, { planned })
}

function isSame(a: PlannedChange, b: PlannedChange): boolean {
  return a.kind === b.kind && a.id === b.id && weightOf(a) === weightOf(b) && byOf(a) === byOf(b)
}

function weightOf(change: PlannedChange): number | undefined {
  return change.kind === 'reweight' ? change.weight : undefined
}

function byOf(change: PlannedChange): NodeId | undefined {
  return change.kind === 'replace' ? change.by : undefined
}

function requestedOfJoining(topology: Topology, member: Member, change: PlannedChange): Topology | undefined {
  const { handover, members } = topology
  const inRing = handover?.ring.some(({ id }) => id === member.id) === true
  switch (change.kind) {
    case 'remove':
    case 'decommission':
      if (!inRing) return offList(topology, member.id, change.kind)
      if (handover?.step === 'both') return recalled(topology, member.id, change.kind)
      return queued(topology, change)
    case 'reweight':
      if (inRing) throw invalidArgument('id', `${member.id} is getting its slots: its weight can be changed afterwards`)
      if (member.weight === change.weight) return undefined
      return next(topology, { members: withMember(members, member.id, { weight: change.weight }) })
    case 'replace':
      throw invalidArgument('id', `${member.id} owns nothing yet: remove it, and another may join`)
    default:
      return change satisfies never
  }
}

interface RingAfter {
  readonly ring: RingShare[]
  /** Planned changes that the ring has in it; those that wait on; and those that would leave nobody. */
  readonly taken: PlannedChange[]
  readonly waiting: PlannedChange[]
  readonly refused: PlannedChange[]
}

/** The ring (where a handover runs, the one to come) with all that waits in it: who joins and is `fit`, and what is planned. */
function ringAfter(topology: Topology, fit: (id: NodeId) => boolean): RingAfter {
  const base = topology.handover?.ring ?? currentRing(topology)
  const ring = new Map(base.map(({ id, weight }) => [id, weight]))
  const stands = new Set(topology.planned.flatMap((change) => (change.kind === 'replace' ? [change.by] : [])))
  const joining = new Set<NodeId>()
  for (const { id, state, weight } of topology.members) {
    if (state !== 'joining' || !fit(id)) continue
    joining.add(id)
    if (!stands.has(id)) ring.set(id, weight)
  }
  const after: RingAfter = { ring: [], taken: [], waiting: [], refused: [] }
  for (const change of topology.planned) {
    const weight = ring.get(change.id)
    // Its member has gone meanwhile.
    if (weight === undefined) continue
    if (change.kind === 'reweight') {
      ring.set(change.id, change.weight)
    } else if (change.kind === 'replace') {
      if (!joining.has(change.by)) {
        after.waiting.push(change)
        continue
      }
      ring.set(change.by, weight)
      ring.delete(change.id)
    } else if (ring.size === 1) {
      after.refused.push(change)
      continue
    } else ring.delete(change.id)
    after.taken.push(change)
  }
  after.ring.push(...byId(Array.from(ring, ([id, weight]) => ({ id, weight }))))
  return after
}

/**
 * With a handover to the ring that has in it all that waits; of those who join, only the ones that are `fit`. Undefined:
 * nothing waits that could begin, one runs already, or a step of the last one is left to do.
 */
export function begun(topology: Topology, fit: (id: NodeId) => boolean): Topology | undefined {
  const { members, handover, planned } = topology
  if (handover !== undefined || settledStep(topology) !== undefined) return undefined
  const { ring, taken, waiting } = ringAfter(topology, fit)
  if (sameRing(ring, currentRing(topology))) {
    // What is planned may have come to nothing.
    return waiting.length === planned.length ? undefined : next(topology, { planned: waiting })
  }
  const stays = new Set(ring.map(({ id }) => id))
  const leaving = members.map((member): Member => {
    return member.state === 'serving' && !stays.has(member.id) ? { ...member, state: 'leaving' } : member
  })
  const since = (topology.epoch + 1) as Epoch
  return next(topology, {
    members: leaving,
    handover: { step: 'both', since, ring, changes: taken },
    planned: waiting,
  })
}

function sameRing(a: readonly RingShare[], b: readonly RingShare[]): boolean {
  return a.length === b.length && a.every(({ id, weight }, i) => id === b[i]!.id && weight === b[i]!.weight)
}

/** The handover named `since` with its new owners being read. Undefined: it is not in its first step (any more). */
export function switched(topology: Topology, since: Epoch): Topology | undefined {
  const { handover } = topology
  if (handover?.since !== since || handover.step !== 'both') return undefined
  return next(topology, { handover: { ...handover, step: 'switch' } })
}

/**
 * With the ring of the handover named `since` in force, and none under way. Undefined: it is not in its second step (any
 * more). What took members out stays planned until their names are off the list.
 */
export function done(topology: Topology, since: Epoch): Topology | undefined {
  const { handover, planned } = topology
  if (handover?.since !== since || handover.step !== 'switch') return undefined
  const weights = new Map(handover.ring.map(({ id, weight }) => [id, weight]))
  const members = topology.members.map((member): Member => {
    const weight = weights.get(member.id)
    if (weight === undefined) return member.state === 'leaving' ? { ...member, state: 'left' } : member
    return { ...member, weight, state: member.state === 'joining' ? 'arrived' : member.state }
  })
  const unfinished = handover.changes.filter(({ kind }) => kind !== 'reweight')
  return next(topology, { members, handover: undefined, planned: [...unfinished, ...planned] })
}

/**
 * Without the handover named `since`, and without what it was for: who would have left serves on, and who would have
 * joined is a member no more. Undefined: it does not run. Throws KvError `invalid-argument` once the new owners are read:
 * what they have acknowledged the old ones need not have.
 */
export function cancelled(topology: Topology, since: Epoch): Topology | undefined {
  const { handover } = topology
  if (handover?.since !== since) return undefined
  if (handover.step !== 'both') throw invalidArgument('handover', 'it can only be finished: its new owners are read')
  let before = withoutHandover(topology)
  const getting = new Set(handover.ring.map(({ id }) => id))
  const called = topology.members.filter(({ id, state }) => state === 'joining' && getting.has(id))
  for (const { id } of called) before = { ...before, ...listWithout(before, id, 'remove') }
  return next(before, {})
}

/** Without what is planned about a member and no handover carries out yet. Undefined: nothing is. */
export function withdrawn(topology: Topology, id: NodeId): Topology | undefined {
  const planned = topology.planned.filter((change) => change.id !== id)
  // What took a member out stays planned until its name is off the list, and cannot be called off any more.
  const goes = topology.members.some((member) => member.id === id && member.state === 'left')
  return goes || planned.length === topology.planned.length ? undefined : next(topology, { planned })
}

/** Without a member that joins by the handover that runs: the others, and what else it was for, wait for the next one. */
function recalled(topology: Topology, id: NodeId, by: RemovedMember['by']): Topology {
  return offList(calledBack(topology), id, by)
}

/** Without the handover that runs: all that it was for waits for the next one. */
function calledBack(topology: Topology): Topology {
  return { ...withoutHandover(topology), planned: [...topology.handover!.changes, ...topology.planned] }
}

function withoutHandover(topology: Topology): Topology {
  const members = topology.members.map((member): Member => {
    return member.state === 'leaving' ? { ...member, state: 'serving' } : member
  })
  return { ...topology, members, handover: undefined }
}

/**
 * What comes by itself, one epoch each: a member that has got its slots gets its vote, one that has given them away is
 * taken off the list, when it `mayGo` (it has finished what clients have asked of it, or cannot be reached). Undefined:
 * nothing of the kind.
 */
export function settledStep(topology: Topology, mayGo: (id: NodeId) => boolean = () => true): Topology | undefined {
  const { members, planned } = topology
  const arrived = members.find(({ state }) => state === 'arrived')
  if (arrived !== undefined) return next(topology, { members: withMember(members, arrived.id, { state: 'serving' }) })
  const left = members.find(({ id, state }) => state === 'left' && mayGo(id))
  if (left === undefined) return undefined
  const wish = planned.find(({ id }) => id === left.id)?.kind
  return offList(topology, left.id, wish === undefined || wish === 'reweight' ? 'remove' : wish)
}

function offList(topology: Topology, id: NodeId, by: RemovedMember['by']): Topology {
  return next(topology, listWithout(topology, id, by))
}

function listWithout(topology: Topology, id: NodeId, by: RemovedMember['by']): Change {
  const { members, planned } = topology
  const { incarnation } = members.find((member) => member.id === id)!
  const former: RemovedMember = { id, incarnation, epoch: (topology.epoch + 1) as Epoch, by }
  return {
    members: members.filter((member) => member.id !== id),
    planned: planned.filter((change) => change.id !== id),
    removed: [...topology.removed, former].slice(-limits.removedMembersMax),
  }
}

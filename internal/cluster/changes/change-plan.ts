/**
 * What a change of the ring would come to, worked out before anybody is asked for it, with the same pure steps that would
 * carry it out (`changes.ts`).
 */

import { type Epoch, invalidArgument, KvError, type NodeId, type Slot } from '../../base/index.js'
import {
  type Movement,
  movementOf,
  type PlannedChange,
  slotTables,
  type TightestSlot,
  type Topology,
  tightestSlot,
} from '../../slots/index.js'
import { begun, cancelled, done, raised, requested, settledStep, switched, withdrawn } from './changes.js'

/** A change that somebody may want: one of the ring, or that one be called off. */
export type WantedChange =
  | PlannedChange
  /** The newest feature level that all members can go by: after all run a new release. */
  | { readonly kind: 'raise-level'; readonly id?: undefined }
  /**
   * What is planned about a member, or the handover that carries it out; without an id, the handover that runs. As it was seen at
   * `epoch`: what has begun since is left alone, so that it may be asked of one member after the other.
   */
  | { readonly kind: 'cancel'; readonly id: NodeId | undefined; readonly epoch: Epoch }

type WantedCancel = Extract<WantedChange, { readonly kind: 'cancel' }>

/** Whose copies count just now: see `CopyCounts`; by the member's id, because it speaks of several topologies. */
export type MemberCounts = (id: NodeId, slot: Slot) => boolean

export interface ChangePlan {
  /** Of the topology that it was worked out on. */
  readonly epoch: Epoch
  /** How it begins: not at all, because it is under way or done already; at once; or when something else is over. */
  readonly begins: 'not' | 'at-once' | 'queued'
  /** What its handover moves, with all else that this handover takes along; undefined: nothing has to be moved, or what it is about is not there yet. */
  readonly movement: Movement | undefined
  /** Changes that are called off with it: of what is wanted of one member the last counts. */
  readonly calledOff: readonly PlannedChange[]
  /** Nodes that join and are called off with it. */
  readonly turnedAway: readonly NodeId[]
  /**
   * How many members may go down, whoever they are, without any slot losing a quorum: now, while the change is carried
   * out, and afterwards. Negative: for some slot so many are missing already.
   */
  readonly spareNow: number
  readonly spareMeanwhile: number
  readonly spareAfterwards: number
}

/**
 * The plan of a change. `fit`: who of those that join could be given slots. Throws KvError as the change itself would:
 * `invalid-argument` where it makes no sense, `overloaded` where too many wait.
 */
export function planOf(
  topology: Topology,
  change: WantedChange,
  fit: (id: NodeId) => boolean,
  counts: MemberCounts,
): ChangePlan {
  const spareNow = spareOf(topology, counts)
  const still = { spareNow, spareMeanwhile: spareNow, spareAfterwards: spareNow }
  const after = alteration(topology, change)(topology)
  const staysOn = changesOf(after ?? topology)
  const calledOff = changesOf(topology).filter((one) => !staysOn.includes(one))
  const common = { epoch: topology.epoch, movement: undefined, calledOff, turnedAway: [] }
  if (after === undefined) return { ...common, begins: 'not', ...still }
  if (change.kind === 'cancel') {
    const stays = new Set(after.members.map(({ id }) => id))
    const turnedAway = topology.members.flatMap(({ id }) => (stays.has(id) ? [] : [id]))
    const spareAfterwards = spareOf(after, counts)
    return { ...common, begins: 'at-once', turnedAway, ...still, spareAfterwards }
  }
  if (change.kind === 'raise-level') return { ...common, begins: 'at-once', ...still }
  const first = finished(after)
  const begins = begun(first, fit)
  const carriedOut = begins ?? first
  return {
    ...common,
    begins: first === after && begins?.handover !== undefined ? 'at-once' : 'queued',
    movement: movementOf(carriedOut),
    spareNow,
    spareMeanwhile: spareOf(carriedOut, counts),
    spareAfterwards: spareOf(finished(carriedOut), counts),
  }
}

/**
 * What makes the next document of the one in force, for as long as the change is not in it. `topology` decides what exactly
 * is to be called off, so that asking again calls off nothing that has come since. Throws KvError `invalid-argument` where
 * nothing is to be called off.
 */
export function alteration(topology: Topology, change: WantedChange): (now: Topology) => Topology | undefined {
  if (change.kind === 'raise-level') return raised
  return change.kind === 'cancel' ? callingOff(topology, change) : (now) => requested(now, change)
}

function callingOff(topology: Topology, { id, epoch }: WantedCancel): (now: Topology) => Topology | undefined {
  const { handover, planned } = topology
  if (topology.epoch < epoch) {
    throw new KvError(
      'unavailable',
      `this node is at epoch ${topology.epoch} yet, and what is meant was seen at ${epoch}`,
    )
  }
  if (id !== undefined && planned.some((one) => one.id === id) && !isInHandover(topology, id)) {
    return (now) => withdrawn(now, id)
  }
  if (handover !== undefined && (id === undefined || isInHandover(topology, id))) {
    if (handover.since <= epoch) return (now) => cancelled(now, handover.since)
    if (id !== undefined) throw invalidArgument('id', `what was planned about ${id} is being carried out by now`)
  }
  // It was there when the caller looked: it has been called off, or is over.
  if (topology.epoch > epoch) return () => undefined
  if (id === undefined) throw invalidArgument('id', 'no handover runs')
  const nor = handover === undefined ? 'no handover runs' : 'the handover that runs is not about it'
  throw invalidArgument('id', `nothing is planned about ${id}, and ${nor}`)
}

function changesOf({ handover, planned }: Topology): PlannedChange[] {
  return [...(handover?.changes ?? []), ...planned]
}

function isInHandover({ handover, members }: Topology, id: NodeId): boolean {
  if (handover === undefined) return false
  if (handover.changes.some((change) => change.id === id || (change.kind === 'replace' && change.by === id)))
    return true
  const joins = members.some((member) => member.id === id && member.state === 'joining')
  return joins && handover.ring.some((share) => share.id === id)
}

/** With the handover that runs at its end, and what follows it by itself; the same where there is nothing of the kind. */
function finished(topology: Topology): Topology {
  let now = topology
  const { handover } = now
  if (handover !== undefined) now = done(switched(now, handover.since) ?? now, handover.since)!
  for (;;) {
    const step = settledStep(now)
    if (step === undefined) return now
    now = step
  }
}

function spareOf(topology: Topology, counts: MemberCounts): number {
  return tightestOf(topology, counts)?.spare ?? 0
}

/** See `tightestSlot`, by ids. */
export function tightestOf(topology: Topology, counts: MemberCounts, concerning?: NodeId): TightestSlot | undefined {
  const { members } = topology
  const place = concerning === undefined ? undefined : members.findIndex(({ id }) => id === concerning)
  return tightestSlot(topology, (member, slot) => counts(members[member]!.id, slot), place)
}

/** The most slots that come to one member, which is what its time depends on. */
export function mostIncoming({ moves }: Movement): number {
  const incoming = new Map<NodeId, number>()
  for (const { to, slots } of moves) if (to !== undefined) incoming.set(to, (incoming.get(to) ?? 0) + slots)
  return Math.max(0, ...incoming.values())
}

/** How many slots a member owns, on the side that is there now. */
export function ownedSlots(topology: Topology, id: NodeId): number {
  const member = topology.members.findIndex((each) => each.id === id)
  return member < 0 ? 0 : slotTables(topology).current.load(member)
}

/**
 * The way out when a majority of the voters is gone for good: one living member makes the next document on its own
 * authority, without them. Nothing else in the store may do without an agreement; docs/adr/0031 tells what it risks.
 */

import { type Epoch, FatalError, invalidArgument, limits, type NodeId, type Slot } from '../../base/index.js'
import { majority } from '../../consensus/index.js'
import type { Log } from '../../env/index.js'
import {
  allSlots,
  currentRing,
  type Member,
  type RemovedMember,
  slotTable,
  type Topology,
  validateTopology,
  voters,
} from '../../slots/index.js'
import type { Store } from '../../store/index.js'

/**
 * The epochs that are left out: what a lost majority may have half decided, or decided without anybody left knowing, is far
 * below. The random part keeps two documents apart that are forced on two sides of a partition: the higher one wins.
 */
const epochsLeftOut = 1_048_576

export interface ForcedRemoval {
  /** Members that are dead for good. */
  readonly ids: readonly NodeId[]
  /** The epoch that whoever asks has seen: so that nobody forces what has changed meanwhile. */
  readonly epoch: number
}

export interface ForcedPlan {
  readonly topology: Topology
  /** Slots of which no copy is left: they begin empty. */
  readonly empty: readonly Slot[]
  /** Slots of which fewer copies are left than a read quorum: what was acknowledged last may be gone. */
  readonly doubtful: readonly Slot[]
}

/**
 * Throws KvError `invalid-argument` where it makes no sense, or where a majority of the voters lives: then they can agree.
 * `lives`: who can be reached. `random`: 0 up to but not 1.
 */
export function forcedRemoval(
  topology: Topology,
  { ids, epoch }: ForcedRemoval,
  lives: (id: NodeId) => boolean,
  random: number,
): ForcedPlan {
  if (epoch !== topology.epoch) throw invalidArgument('epoch', `the epoch here is ${topology.epoch}, not ${epoch}`)
  const gone = new Set<string>(ids)
  for (const id of gone) {
    const member = topology.members.find((each) => each.id === id)
    if (member === undefined) throw invalidArgument('ids', `${id} is not a member`)
    if (lives(member.id)) throw invalidArgument('ids', `${id} is alive`)
  }
  const voting = voters(topology)
  if (voting.filter(({ id }) => lives(id)).length >= majority(voting.length)) {
    throw invalidArgument('ids', 'a majority of the members lives: they can agree to remove the others, without force')
  }
  const unsure = topology.members.find(({ id }) => !gone.has(id) && !lives(id))
  if (unsure !== undefined) {
    throw invalidArgument('ids', `${unsure.id} cannot be reached either: start it, or name it as dead as well`)
  }
  const before = withoutHandover(topology)
  const members = before.members.filter(({ id, state }) => !gone.has(id) && state !== 'left')
  const removed = topology.members.filter((member) => !members.some(({ id }) => id === member.id))
  const at = (topology.epoch + epochsLeftOut + Math.floor(random * epochsLeftOut)) as Epoch
  const after: Topology = {
    ...before,
    epoch: at,
    members: members.map((member): Member => (member.state === 'arrived' ? { ...member, state: 'serving' } : member)),
    planned: before.planned.filter(({ id }) => !gone.has(id)),
    removed: [...topology.removed, ...removed.map((member) => removal(member, at))].slice(-limits.removedMembersMax),
    forced: { from: topology.epoch, at },
  }
  if (currentRing(after).length === 0) throw invalidArgument('ids', 'nobody that is left owns a slot')
  const table = slotTable(topology)
  const left = (slot: Slot): number => {
    return Array.from(table.owners(slot)).filter((owner) => !gone.has(topology.members[owner]!.id)).length
  }
  const { readQuorum } = topology.replication
  return {
    topology: validateTopology(after),
    empty: allSlots().filter((slot) => left(slot) === 0),
    doubtful: allSlots().filter((slot) => left(slot) > 0 && left(slot) < Math.min(readQuorum, table.ownersPerSlot)),
  }
}

function removal({ id, incarnation }: Member, epoch: Epoch): RemovedMember {
  return { id, incarnation, epoch, by: 'remove' }
}

/** As if the handover that runs had been taken back, or, once its new owners are read, had come to its end. */
function withoutHandover(topology: Topology): Topology {
  const { handover, members } = topology
  if (handover === undefined) return topology
  const weights = new Map(handover.ring.map(({ id, weight }) => [id, weight]))
  const settled = members.map((member): Member => {
    if (handover.step === 'both') return member.state === 'leaving' ? { ...member, state: 'serving' } : member
    const weight = weights.get(member.id)
    if (weight === undefined) return member.state === 'leaving' ? { ...member, state: 'left' } : member
    return { ...member, weight, state: member.state === 'joining' ? 'serving' : member.state }
  })
  return { ...topology, handover: undefined, members: settled }
}

/** What a survivor has to do before it follows a forced document. */
export interface Upheaval {
  /** Slots that it gets: they count as lost here until they are refilled from who has them. */
  readonly incoming: readonly Slot[]
  /** Slots that it gets and that nobody has: what is left of them from earlier times goes. */
  readonly empty: readonly Slot[]
}

/**
 * What comes on this node with a document; undefined: nothing was forced since the one that it has. Throws FatalError
 * `refused` where it cannot know, because it had fallen behind when the document was forced.
 */
export function upheavalOf(before: Topology, after: Topology, self: NodeId): Upheaval | undefined {
  const { forced } = after
  if (forced === undefined || forced.at <= before.epoch) return undefined
  if (isSameRemoval(before, after)) return undefined
  if (forced.from !== before.epoch) {
    throw new FatalError(
      'refused',
      `the topology of epoch ${forced.at} was forced from epoch ${forced.from}, and this node is at ${before.epoch}: it ` +
        'cannot tell what its copies are worth, and can only come back with an empty data directory',
    )
  }
  const [old, now] = [slotTable(before), slotTable(after)]
  const place = ({ members }: Topology): number => members.findIndex(({ id }) => id === self)
  const [wasHere, isHere] = [place(before), place(after)]
  const kept = new Set(after.members.map(({ id, incarnation }) => `${id} ${incarnation}`))
  const isLeft = (slot: Slot): boolean => {
    return Array.from(old.owners(slot)).some((owner) => {
      const { id, incarnation } = before.members[owner]!
      return kept.has(`${id} ${incarnation}`)
    })
  }
  const got = now.slotsOf(isHere).filter((slot) => wasHere < 0 || !old.ownsSlot(wasHere, slot))
  return { incoming: got.filter(isLeft), empty: got.filter((slot) => !isLeft(slot)) }
}

/**
 * Whether two survivors have each forced the same removal, and nothing has happened since: what comes to whom is the same, and
 * this node has prepared for it already. The epochs differ, and the higher one is followed.
 */
function isSameRemoval(before: Topology, after: Topology): boolean {
  if (before.forced?.at !== before.epoch || after.forced?.at !== after.epoch) return false
  const names = ({ members }: Topology): string =>
    members.map(({ id, incarnation, weight, state }) => `${id} ${incarnation} ${weight} ${state}`).join()
  return before.forced.from === after.forced.from && names(before) === names(after)
}

/** What has to be durable in a member's store before a document is: see `TopologyRegisterOptions.prepare`. */
export function preparation(
  store: Store,
  self: NodeId,
  log: Log,
): (after: Topology, before: Topology) => Promise<void> {
  return async (after: Topology, before: Topology): Promise<void> => {
    const upheaval = upheavalOf(before, after, self)
    if (upheaval === undefined) return
    const { incoming, empty } = upheaval
    const removed = after.removed.filter(({ epoch }) => epoch === after.forced!.at).map(({ id }) => id)
    log.warn('members were removed by force', { removed, incoming: incoming.length, empty: empty.length })
    await store.emptySlots(empty)
    await store.lose(incoming)
  }
}

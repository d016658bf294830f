import type { Address, ClusterId, Epoch, Incarnation, NodeId } from '../base/index.js'
import { type AccessList, nobodyGranted } from './access.js'
import type { LevelRange } from './levels.js'

export interface ReplicationSettings {
  readonly replicationFactor: number
  readonly readQuorum: number
  readonly writeQuorum: number
}

/**
 * What a member is to the ring, and whether it votes on topologies.
 *
 * `joining`: it owns nothing yet and has no vote. `arrived`: it owns slots, and gets its vote in an epoch of its own.
 * `serving`: it has both. `leaving`: it has both, and a handover takes its slots. `left`: it owns nothing any more,
 * and an epoch of its own will take its vote and its name off the list.
 */
export type MemberState = 'joining' | 'arrived' | 'serving' | 'leaving' | 'left'

/** How a member runs, as it said when it last started. */
export interface Conduct {
  /** What its software goes by. */
  readonly levels: LevelRange
  /** It demands of whoever calls it that they say who they are (`--auth-file`). */
  readonly authenticates: boolean
}

export interface Member extends Conduct {
  readonly id: NodeId
  readonly incarnation: Incarnation
  /** The short number that versions carry; 1 to 2^32-1, unique, never reused within a cluster. */
  readonly number: number
  readonly address: Address
  /** Empty: none. */
  readonly zone: string
  /** A whole number, 1 to 1,000: how many shares of the ring in force; while it joins, how many it is to have. */
  readonly weight: number
  /** The epoch from which on this incarnation is a member; 1: it is a founder. */
  readonly since: Epoch
  readonly state: MemberState
}

/** A member's part of a ring. */
export interface RingShare {
  readonly id: NodeId
  /** As in `Member`. */
  readonly weight: number
}

/**
 * How far a handover is. `both`: reads use the owners from before, writes reach those to come as well. `switch`: the
 * same, but reads use those to come.
 */
export type HandoverStep = 'both' | 'switch'

/** A change of the ring that somebody asked for. A join is none: it is asked for by being a member that joins. */
export type PlannedChange =
  /** A live member hands its slots over and goes. */
  | { readonly kind: 'decommission'; readonly id: NodeId }
  /** A dead member goes; its slots come from the others' copies. */
  | { readonly kind: 'remove'; readonly id: NodeId }
  | { readonly kind: 'reweight'; readonly id: NodeId; readonly weight: number }
  /** A member that joins, `by`, takes the place of another, dead or alive, with the weight of that. */
  | { readonly kind: 'replace'; readonly id: NodeId; readonly by: NodeId }

/** Slots on their way to other owners. One at a time; it may carry out several changes together. */
export interface Handover {
  readonly step: HandoverStep
  /** The epoch that began it; its name. */
  readonly since: Epoch
  /** Who owns slots afterwards. Ordered by id. */
  readonly ring: readonly RingShare[]
  /** What it carries out, besides taking in those who join. */
  readonly changes: readonly PlannedChange[]
}

/** A data directory that is not a member any more; kept so that a node that wakes up in it can be told. */
export interface RemovedMember {
  readonly id: NodeId
  readonly incarnation: Incarnation
  /** The epoch from which on it is no member. */
  readonly epoch: Epoch
  /** By which wish: in the first two the node itself takes part where it lives. */
  readonly by: 'decommission' | 'replace' | 'remove'
}

/** Who belongs to the cluster and how it replicates: one small document, changed as a whole, one epoch at a time. */
export interface Topology {
  readonly clusterId: ClusterId
  readonly epoch: Epoch
  readonly replication: ReplicationSettings
  /** What all members go by. It only rises, and only when somebody asks for it and every member can. */
  readonly featureLevel: number
  readonly virtualNodes: number
  /** Ordered by id. */
  readonly members: readonly Member[]
  /** What the next incarnation that becomes a member gets as its number: above all that were ever given. */
  readonly nextNumber: number
  readonly handover: Handover | undefined
  /** Changes that wait for the handover in front of them, the oldest first; at most `limits.plannedChangesMax`. */
  readonly planned: readonly PlannedChange[]
  /** The oldest first; the newest `limits.removedMembersMax` are remembered. */
  readonly removed: readonly RemovedMember[]
  /**
   * The last document that one member made on its own authority because a majority was gone for good, and the one that it
   * made it of. Undefined: that has never been done.
   */
  readonly forced: { readonly from: Epoch; readonly at: Epoch } | undefined
  /** Whom members let in, besides those in their own files. */
  readonly access: AccessList
}

/** Of a topology that nothing is happening to, in which nothing has happened, and that goes by the first level. */
export const atRest: Pick<Topology, 'featureLevel' | 'handover' | 'planned' | 'removed' | 'forced' | 'access'> = {
  featureLevel: 1,
  handover: undefined,
  planned: [],
  removed: [],
  forced: undefined,
  access: nobodyGranted,
}

/** Who owns slots now (in a handover: from before it), with their weights; ordered as the members are. */
export function currentRing({ members }: Topology): RingShare[] {
  const owning = members.filter(({ state }) => state !== 'joining' && state !== 'left')
  return owning.map(({ id, weight }) => ({ id, weight }))
}

/** Who decides on the next topology; ordered as the members are. */
export function voters({ members }: Topology): Member[] {
  return members.filter(({ state }) => state !== 'joining' && state !== 'arrived')
}

/**
 * Whether the cluster as a whole lets in only those whom it knows: as soon as every member demands it. From then on none can
 * join without demanding it too, and no member can stop to.
 */
export function demandsAuthentication({ members }: Pick<Topology, 'members'>): boolean {
  return members.every(({ authenticates }) => authenticates)
}

import type { CallOptions } from '../types.js'
import type { AccessOverview, CreatedPrincipal, NewPrincipal } from './access-types.js'
import type { BackupPage, BackupRequest, RestoreOptions, RestoreTally } from './backups.js'
import type { NodeFigures } from './node-figures.js'

/** A change of who owns the slots that somebody asked for. */
export interface PlannedChange {
  /** What is asked for. */
  readonly kind: 'decommission' | 'remove' | 'reweight' | 'replace' | 'unknown'
  /** Of the member. */
  readonly id: string
  /** Of `reweight`: what it is to be. */
  readonly weight: number | undefined
  /** Of `replace`: the node that joins. */
  readonly by: string | undefined
}

/** How far one member is with a handover. */
export interface HandoverReport {
  /** Whose report it is. */
  readonly nodeId: string
  /** Slots that come to it. */
  readonly slots: number
  /** Of these, those that are there. */
  readonly done: number
  /** Streamed to it so far. */
  readonly bytes: number
  /** An estimate of what is still to be streamed to it; undefined: unknown. */
  readonly remainingBytes: number | undefined
  /** An estimate of how long that takes, in milliseconds; undefined: unknown. */
  readonly remainingMs: number | undefined
  /** Why it does not get on just now; empty: it does, or need not. */
  readonly obstacle: string
}

/** Slots on their way to other owners. */
export interface HandoverStatus {
  /** The epoch that began it: its name. */
  readonly since: number
  /** `both`: those who own the slots now are read, and contents stream; `switch`: those to come are read, and it can only be finished. */
  readonly step: 'both' | 'switch' | 'unknown'
  /** What it carries out, besides taking in those who join. */
  readonly changes: readonly PlannedChange[]
  /** Who gets slots for the first time. */
  readonly joining: readonly string[]
  /** As members say of themselves; who has said nothing yet is missing. */
  readonly reports: readonly HandoverReport[]
  /** Members for whom its next step waits. */
  readonly waitsFor: readonly string[]
}

/** Copies of slots that one member gets in the place of another. */
export interface Move {
  /** Undefined: nobody gives one up. */
  readonly from: string | undefined
  /** Undefined: nobody gets one. */
  readonly to: string | undefined
  /** How many. */
  readonly slots: number
}

/** What a change comes to. */
export interface ChangePlan {
  /** The topology in force at the node that answered, after the change. */
  readonly epoch: number
  /** `not`: it is under way, or done already; `queued`: when what is before it is over, or who it needs is there. */
  readonly begins: 'not' | 'at-once' | 'queued'
  /** Slots that get other owners. */
  readonly slots: number
  /** Copies of slots that have to be made. */
  readonly copies: number
  /** From whom to whom. */
  readonly moves: readonly Move[]
  /** Estimated by what the answering node holds; undefined: it cannot tell. */
  readonly bytes: number | undefined
  /** Of streaming these, at the rate that is set, in milliseconds. */
  readonly durationMs: number | undefined
  /** Changes that are called off. */
  readonly calledOff: readonly PlannedChange[]
  /** Nodes that join, and are not taken in. */
  readonly turnedAway: readonly string[]
  /**
   * How many members may be down, whoever they are, without any slot losing its read or write quorum, before the change.
   * Negative: for some slot so many are missing.
   */
  readonly spareNow: number
  /** The same while the change is carried out. */
  readonly spareMeanwhile: number
  /** The same afterwards. */
  readonly spareAfterwards: number
}

export interface ChangeOptions extends CallOptions {
  /** Only tell what it would come to. */
  readonly dryRun?: boolean | undefined
}

export interface CancelOptions extends ChangeOptions {
  /** Of the plan that a dry run has told: what is meant is what was there then. Default: what is there when this is called. */
  readonly epoch?: number | undefined
}

/** What comes of a removal by force. */
export interface ForcedRemoval {
  /** Who was asked. */
  readonly nodeId: string
  /** In force there, afterwards. */
  readonly epoch: number
  /** Slots of which no copy is left: they begin empty. */
  readonly emptySlots: readonly number[]
  /** How many slots have fewer copies left than a read quorum: what was acknowledged last may be gone. */
  readonly doubtfulSlots: number
  /** Members that are left. */
  readonly remaining: readonly string[]
}

/** What raising the feature level came to. */
export interface RaisedLevel {
  /** The level that was gone by. */
  readonly before: number
  /** The one that is gone by from now on. */
  readonly after: number
}

/** Whether a member may go down. */
export interface StopVerdict {
  /** It may. */
  readonly safe: boolean
  /** Why not; empty: it is safe. */
  readonly reason: string
}

/**
 * Changes of who owns what, and nodes that go down: for operators, and for the tools that act for them.
 *
 * A change resolves with its plan once a majority of the members has agreed that it is to come; from then on the
 * cluster carries it out by itself, and `KvClient.status` tells how far it is. One that comes while another is carried
 * out waits for its turn. Asking again changes nothing. All reject with `invalid-argument` where a change makes no sense,
 * and with `unavailable` where no majority can be had; then it may still come.
 */
export interface Operator {
  /** A live member hands over what it has, and goes. */
  decommission(id: string, options?: ChangeOptions): Promise<ChangePlan>
  /** A dead member goes; others make copies of what it had out of theirs. */
  remove(id: string, options?: ChangeOptions): Promise<ChangePlan>
  /**
   * When a majority of the members is gone for good: the node at `endpoint` removes all dead members on its own authority.
   * `epoch` is the one that it is at. What was acknowledged may be lost, and nobody must ever start the removed ones again.
   * Rejects with `invalid-argument` where a majority lives, or a member is neither reached nor named.
   */
  forceRemove(endpoint: string, ids: readonly string[], epoch: number, options?: ChangeOptions): Promise<ForcedRemoval>
  /** The node `by`, which joins or will join, takes a member's place and weight. */
  replace(id: string, by: string, options?: ChangeOptions): Promise<ChangePlan>
  /** A member gets another part of the data: a whole number of shares, 1 to 1,000. */
  reweight(id: string, weight: number, options?: ChangeOptions): Promise<ChangePlan>
  /**
   * Calls off what is planned about a member; or the handover that runs, with all that it was for, which is possible
   * until its new owners are read. What begins after it was looked at is left alone, and then `begins` is `not`.
   */
  cancel(id?: string, options?: CancelOptions): Promise<ChangePlan>
  /**
   * Raises the feature level to the newest that the software of all members goes by, which is for good: no older release
   * may come back afterwards. `after` is as `before` where some member's software cannot go by a newer one.
   */
  raiseLevel(options?: ChangeOptions): Promise<RaisedLevel>
  /**
   * Whether a member may go down now without any slot losing its read or write quorum. Stop one at a time: two that are
   * each safe to stop need not be so together.
   */
  safeToStop(id: string, options?: CallOptions): Promise<StopVerdict>
  /**
   * The node at `endpoint` (a member's address will do) takes no more operations and sends clients to other members; it
   * finishes what runs, and stays a replica, until it is started again. Resolves with how many operations still run there.
   */
  drain(endpoint: string, options?: CallOptions): Promise<number>
  /** Who may call, where nodes ask their callers who they are. Hashes of tokens are told to nobody. */
  principals(options?: CallOptions): Promise<AccessOverview>
  /**
   * Lets somebody in at all members, and makes their token, of which nodes get the SHA-256 only. Rejects with `invalid-argument` where
   * the name is taken. To change the token of somebody, make another name and revoke the old one when it is not used any more.
   */
  createPrincipal(name: string, options: NewPrincipal): Promise<CreatedPrincipal>
  /**
   * Lets somebody in no more, and ends what it has running. Resolves, with the revision of who may call, when all members that
   * answer go by it.
   */
  revokePrincipal(name: string, options?: CallOptions): Promise<number>
  /** How many bytes a second handovers may stream to the node at `endpoint`; with a rate it is set, until the node is started again. */
  streamRate(endpoint: string, bytesPerSecond?: number, options?: CallOptions): Promise<number>
  /**
   * One page of the slots as a read quorum of their owners holds them, for a backup: any member gives any page. It is told
   * no faster than the node's stream rate allows.
   */
  backupSlots(request: BackupRequest, options?: CallOptions): Promise<BackupPage>
  /**
   * Brings records of a backup back under the versions that they have, to write quorums of their owners. `records` as in
   * `SlotContents`, at most 512 KiB of them or one, and 1,024. What is newer stays, and so does what has been deleted
   * since. It may be repeated. Rejects with `invalid-argument` for `records` where they are stamped further ahead of the
   * cluster's clock than it allows.
   */
  restoreSlots(records: Uint8Array, count: number, options?: RestoreOptions): Promise<RestoreTally>
  /**
   * What the node at `endpoint` (a member's address will do) measures of itself: cheap, it may be asked every second. Rejects with
   * `internal` where it tells what cannot be.
   */
  figures(endpoint: string, options?: CallOptions): Promise<NodeFigures>
}

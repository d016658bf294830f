/*
 * What the page is told of the cluster, as plain JSON. The page imports these types, so nothing here may need Node.
 * Whatever grows with time by itself (uptime, the age of a snapshot) is told as the moment it began, so that a delta holds
 * only what has really changed.
 */

export const operationKinds = ['get', 'put', 'delete', 'scan'] as const
export type OperationKind = (typeof operationKinds)[number]

export type LivenessName = 'alive' | 'suspect' | 'dead' | 'left'
export type StateName = 'joining' | 'arrived' | 'serving' | 'leaving' | 'left'

/** A member as the topology has it, and what the telling node believes about it. */
export interface Membership {
  /** The short number in versions. */
  readonly number: number
  readonly address: string
  readonly zone: string
  readonly weight: number
  readonly incarnation: string
  readonly state: StateName
  readonly liveness: LivenessName
  /** The telling node can send requests to it now. That it cannot shows before liveness does. */
  readonly linked: boolean
  /** Unix time since which it is so; as exact as a second. */
  readonly sinceMs: number
}

/** Whether a member tells its figures. One that does not keeps those that it told last. */
export interface Telling {
  readonly ok: boolean
  /** Why not; empty: it does. */
  readonly obstacle: string
}

/** How long something took, in microseconds, over the last ten seconds or so. All 0 where nothing happened. */
export interface LatencyView {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export interface OperationLoad extends LatencyView {
  /** Operations that ended, in a second, failed ones included. */
  readonly rate: number
  /** Those of them that failed. */
  readonly errors: number
}

/** Kinds of which nothing has happened are absent. */
export type LoadByKind = { readonly [kind in OperationKind]?: OperationLoad }

export interface LoadView {
  readonly coordinator: LoadByKind
  readonly replica: LoadByKind
  /** Failed operations in a second by code, coordinator's; those that do not occur are absent. */
  readonly codes: Readonly<Record<string, number>>
  /** Quorums that were not reached, in a second. */
  readonly quorumFailures: number
}

export interface ProcessView {
  readonly version: string
  readonly startedAtMs: number
  /** Its wall clock less the median of the others'. */
  readonly clockOffsetMs: number
  readonly ready: boolean
  readonly draining: boolean
  readonly rssBytes: number
  readonly heapUsedBytes: number
  readonly heapTotalBytes: number
  readonly externalBytes: number
  /** Processors used. */
  readonly cpu: number
  readonly loopDelay: LatencyView
  /** Milliseconds spent in collecting garbage, in a second. */
  readonly gcMs: number
  readonly connections: number
  readonly streams: number
  readonly sessions: number
  /** When the first of its certificates expires, in Unix milliseconds; 0: nothing is encrypted. */
  readonly certificateToMs: number
  /** Why certificates that were replaced on its disk are not used; empty: they are. */
  readonly certificateProblem: string
}

export interface StorageView {
  readonly entries: number
  readonly tombstones: number
  readonly dataBytes: number
  readonly tableBytes: number
  readonly logBytes: number
  readonly logSegments: number
  readonly readOnly: boolean
  readonly lostSlots: number
  /** Why lost slots are not being refilled; empty: they are, or none is lost. */
  readonly refillObstacle: string
  readonly fdatasync: LatencyView
  /** fdatasyncs of the log in a second. */
  readonly fdatasyncs: number
  /** Unix time of the newest snapshot; 0: none since the node started. */
  readonly snapshotAtMs: number
  readonly snapshotRunning: boolean
  readonly snapshotMs: number
}

/** What keeps the copies equal. Rates are in a second. */
export interface RepairView {
  readonly hintsWaiting: number
  readonly hintBytes: number
  readonly hintsWritten: number
  readonly hintsReplayed: number
  readonly hintsDropped: number
  readonly readRepairs: number
  readonly differingSlots: number
  readonly pulled: number
  readonly pushed: number
}

/** What the other members say about one. */
export interface Opinion {
  /** How many take it for alive, and how many say anything about it. */
  readonly alive: number
  readonly of: number
  /** Of the round trips that they measure to it; 0: none has. */
  readonly rttMedianUs: number
  readonly rttMaxUs: number
  /** How often they have suspected it, together. */
  readonly suspicions: number
}

/** One member. What it tells of itself is absent until it has told something. */
export interface NodeView {
  readonly member: Membership
  readonly telling: Telling
  readonly opinion: Opinion
  readonly process?: ProcessView
  readonly load?: LoadView
  readonly storage?: StorageView
  readonly repair?: RepairView
}

export interface RingView {
  /** Members, in the order in which `owners` counts them. */
  readonly members: readonly string[]
  readonly ownersPerSlot: number
  /** Base64 of slots × ownersPerSlot indexes into `members`, 16 bits each, little-endian; first owners first. */
  readonly owners: string
}

export interface HandoverView {
  readonly since: number
  readonly step: 'both' | 'switch'
  /** What it is for, in words. */
  readonly purpose: string
  readonly waitsFor: readonly string[]
  readonly reports: readonly HandoverReportView[]
}

export interface HandoverReportView {
  readonly id: string
  readonly slots: number
  readonly done: number
  readonly bytes: number
  /** Estimates; -1: unknown. */
  readonly remainingBytes: number
  readonly remainingMs: number
  readonly obstacle: string
}

export type HealthLevel = 'ok' | 'notice' | 'warning' | 'critical'

/** Something that is not as it should be, and what to do about it. */
export interface Advice {
  readonly level: HealthLevel
  readonly text: string
  /** A command that helps; empty: none is needed. */
  readonly command: string
  /** The member that it is about; empty: the cluster. */
  readonly subject: string
}

export interface HealthView {
  readonly level: HealthLevel
  readonly sentence: string
  /** The most pressing first. */
  readonly advice: readonly Advice[]
}

export interface EventView {
  /** Given by the telling node, from 1; one that comes again with the same id replaces the earlier. */
  readonly id: number
  readonly atMs: number
  readonly kind: string
  /** Whom it is about. */
  readonly subject: string
  readonly text: string
  /** The members that have seen it. */
  readonly seenBy: readonly string[]
}

/** The cluster as a whole, without its members. */
export interface ClusterFacts {
  readonly clusterId: string
  readonly epoch: number
  readonly featureLevel: number
  readonly forming: boolean
  readonly replicationFactor: number
  readonly readQuorum: number
  readonly writeQuorum: number
  /** Waiting changes of the ring, in words. */
  readonly planned: readonly string[]
  /** A member that is dead for so long is removed; 0: never. */
  readonly replaceAfterMs: number
}

/** All that the page knows. */
export interface ClusterView {
  /** The wall clock of the node that tells. */
  readonly atMs: number
  /** The node that tells. */
  readonly self: string
  readonly cluster: ClusterFacts
  readonly ring: RingView
  readonly handover: HandoverView | null
  readonly health: HealthView
  readonly nodes: Readonly<Record<string, NodeView>>
  /** The oldest first. */
  readonly events: readonly EventView[]
}

/** Changed parts of one member. */
export type NodePatch = { readonly [part in keyof NodeView]?: NodeView[part] }

/** What has changed from one view to the next. Absent: nothing. */
export interface ViewDelta {
  readonly atMs: number
  readonly cluster?: ClusterFacts
  readonly ring?: RingView
  readonly handover?: HandoverView | null
  readonly health?: HealthView
  /** null: it is a member no longer. */
  readonly nodes?: Readonly<Record<string, NodePatch | null>>
  /** New ones, and those that have changed. */
  readonly events?: readonly EventView[]
}

/** Events that the feed and the page keep. */
export const eventsKept = 300

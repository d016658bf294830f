import type { Address, ClusterId, Incarnation, Instruments, NodeId } from '../base/index.js'
import type { Clock, Disk, Log, Network, Random } from '../env/index.js'
import type { HintStatus } from '../hints/index.js'
import type { Hlc } from '../hlc/index.js'
import type { StoredRecord } from '../record/index.js'
import type {
  ConvergenceStatus,
  DirectOperations,
  FloorStatus,
  FloorTuning,
  KeyLocation,
  OperationOptions,
  PutOptions,
  RepairProgress,
  RepairRequest,
  ScanOptions,
  ScanPage,
  SlotTransfers,
  WriteResult,
} from '../replication/index.js'
import type { LevelRange, Member, ReplicationSettings, SlotTable, Topology } from '../slots/index.js'
import type { FsyncPolicy, SnapshotInfo, Store, StoreStatistics, StoreTuning } from '../store/index.js'
import type { MemberStatus } from '../swim/index.js'
import type { AccessChange } from './changes/access-changes.js'
import type { ChangePlan, WantedChange } from './changes/change-plan.js'
import type { ForcedPlan, ForcedRemoval } from './changes/forced-removal.js'
import type { HandoverStatus } from './changes/handover-driver.js'

/** What a node believes about a member of its cluster. It moves no data. */
export interface Liveness {
  /**
   * `suspect`: a probe has failed, or nothing has been heard of it since the node's process began; `dead`: it has not
   * contradicted in time; `left`: it has said that it stops.
   */
  readonly status: MemberStatus
  /** For how long, by this process of the node. */
  readonly forMs: number
}

/** A peer as named by `--peers`: an address, and the id that must answer there if one was given. */
export interface PeerName {
  readonly address: Address
  readonly id: NodeId | undefined
}

export interface NodeOptions {
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly network: Network
  readonly log: Log
  /** Where it counts what happens. */
  readonly instruments: Instruments
  /** Undefined: the one in the data directory, or a random one. */
  readonly id: NodeId | undefined
  /** What a cluster that it founds is called. Undefined: it draws a name. */
  readonly clusterId?: ClusterId | undefined
  /** Where to listen for other nodes; port 0 for any free one. */
  readonly listenAddress: Address
  /** Where others are told to reach this node. Undefined: what was bound. */
  readonly advertiseAddress: Address | undefined
  readonly peers: readonly PeerName[]
  readonly replication: ReplicationSettings
  readonly virtualNodes: number
  /** Empty: none. */
  readonly zone: string
  readonly weight: number
  readonly maxClockDriftMs: number
  readonly probeIntervalMs: number
  readonly probeTimeoutMs: number
  /** How failure detection goes, see `SwimSettings`. */
  readonly suspicionMult: number
  readonly gossipIntervalMs: number
  readonly gossipFanout: number
  /** A member that has been away for longer is removed, where enough others are left; 0: never. */
  readonly replaceAfterMs: number
  readonly fsync: FsyncPolicy
  readonly fsyncIntervalMs: number
  readonly snapshotIntervalMs: number
  readonly snapshotWalBytes: number
  /** What a handover streams to this node in a second at most, at first. */
  readonly streamBytesPerSecond: number
  /** What the software goes by. Undefined: what this software does; tests play other releases. */
  readonly levels?: LevelRange
  /** It demands of whoever calls it that they say who they are. Unless given: it does not. */
  readonly authenticates?: boolean
  /** Sizes that the simulator makes small. */
  readonly tuning?: StoreTuning
  /** Times of the collection of tombstones that the simulator makes small. */
  readonly floorTuning?: FloorTuning
  /** The process must end: a FatalError (with its exit status) or a bug. Called at most once. */
  readonly onFatal: (error: Error) => void
}

/** `forming`: waits for the nodes named in `--peers`; serves nothing yet. */
export type NodePhase = 'forming' | 'serving' | 'stopping' | 'stopped'

/** What a node says of its copy; before it belongs to a cluster it has none. */
export interface CopyStatus {
  readonly store: StoreStatistics | undefined
  /** Why the slots that `store` counts as lost are not being refilled just now; empty: they are, or none is lost. */
  readonly refillObstacle: string
  /** How this node's copy compares with those of the other members; undefined: it belongs to no cluster yet. */
  readonly convergence: ConvergenceStatus | undefined
  /** What this node keeps for members that have missed writes. */
  readonly hints: readonly HintStatus[]
  /** How the collection of tombstones gets on; undefined: this node belongs to no cluster yet. */
  readonly floors: FloorStatus | undefined
  /** This node's wall clock less the median of what the other members' read, as their messages told; 0: nobody has spoken. */
  readonly clockOffsetMs: number
}

/** Of a node that belongs to no cluster yet. */
export const nothingServed: CopyStatus = {
  store: undefined,
  refillObstacle: '',
  convergence: undefined,
  hints: [],
  floors: undefined,
  clockOffsetMs: 0,
}

export interface NodeStatus extends CopyStatus {
  /** How the handover that runs stands; undefined: none runs. */
  readonly handover: HandoverStatus | undefined
  readonly id: NodeId
  readonly incarnation: Incarnation
  readonly clusterId: ClusterId | undefined
  readonly phase: NodePhase
  readonly address: Address
  readonly topology: Topology | undefined
  readonly uptimeMs: number
}

/** What can be done about handovers while they run. */
export interface Handovers {
  /**
   * Takes the one that runs back, and what it was for. Rejects with KvError: `invalid-argument` once its new owners are
   * read, or where none runs; `unavailable` without a majority.
   */
  cancel(): Promise<void>
  /** What is streamed to this node in a second at most; until the process ends. */
  streamBytesPerSecond: number
}

/** Comparisons with other members that somebody asks for, beside those that run anyway. */
export interface Repairs {
  /**
   * Begins one; it goes on whoever asks about it. Throws KvError `invalid-argument`, which names the field, or
   * `overloaded`.
   */
  repair(request: RepairRequest): RepairProgress
  /** How far one has come. Throws KvError `invalid-argument` where nothing is known of it. */
  repairProgress(id: number): RepairProgress
}

/** A plan with what it costs; undefined: this node holds nothing to tell by. */
export interface PlanWithEstimate extends ChangePlan {
  /** Of all copies that have to be made, by what this node holds. */
  readonly bytes: number | undefined
  /** How long streaming them takes, at the rate of this node. */
  readonly durationMs: number | undefined
}

export interface StopVerdict {
  readonly safe: boolean
  /** Why not, for people; empty: it is safe. */
  readonly reason: string
}

/** Who the members are, how that is changed, and who may go down. */
export interface Members {
  /**
   * Asks for a change of the ring, or that one be called off. Resolves when the topology says that it is to come (or has come); the handover that
   * it takes begins by itself when its turn comes. Rejects with KvError: `invalid-argument`, which names the field, where
   * it makes no sense; `overloaded` where too many wait; `unavailable` without a majority of the voters, or without a vote
   * of this node: then it may still come. It is tried for `timeoutMs`, and not for longer than `limits.returnChangeMs`.
   */
  request(change: WantedChange, timeoutMs?: number): Promise<void>
  /** What that would come to, without doing it. Rejects with KvError as `request`, but needs no majority. */
  plan(change: WantedChange): Promise<PlanWithEstimate>
  /**
   * Lets somebody in, or not any more. Resolves when a majority has agreed and this node goes by it; doing again what is done
   * changes nothing. Rejects with KvError as `request`, `invalid-argument` also while the feature level is too low.
   */
  changeAccess(change: AccessChange, timeoutMs?: number): Promise<void>
  /**
   * Removes dead members on this node's own authority, when a majority of the voters is gone for good; or tells what would
   * come of it. What was acknowledged may be lost, and nobody must ever start the removed ones again. Rejects with
   * KvError `invalid-argument`: see `forcedRemoval`.
   */
  force(removal: ForcedRemoval, dryRun: boolean): Promise<ForcedPlan>
  /**
   * Whether a member may go down now without any slot losing its read or write quorum. Rejects with KvError
   * `invalid-argument` where it is none.
   */
  safeToStop(id: NodeId): Promise<StopVerdict>
  /** Admits nothing new from clients, until this node is started again. What runs ends; it stays a replica. Idempotent. */
  drain(): void
  /** Whether nothing new from clients is admitted. */
  readonly draining: boolean
  /** Of clients, that run here. */
  readonly operations: number
}

/** A storage node: store, clock, replication and membership, without gRPC around it. */
export interface Node {
  readonly id: NodeId
  readonly phase: NodePhase
  readonly topology: Topology | undefined
  readonly slotTable: SlotTable | undefined
  /** This node's own copy, for those who examine it; requests go through the operations below. */
  readonly localStore: Store | undefined
  /** What it measures of itself. */
  readonly instruments: Instruments
  /** Undefined while the node does not serve. */
  readonly repairs: Repairs | undefined
  readonly handovers: Handovers | undefined
  /** Undefined while the node does not serve. */
  readonly members: Members | undefined
  /** The reading for replies to clients: what a stamp given now would be at least. */
  clockReading(): Hlc
  /**
   * Merges a reading that a client sent; a node whose own wall clock nobody bears out leaves it, and gives no stamps
   * either. Returns false (and changes nothing) when it is too far ahead.
   */
  observe(hlc: Hlc): boolean
  /** Whether requests can be sent to a member now. */
  linked(id: NodeId): boolean
  liveness(member: Member): Liveness
  status(): NodeStatus
  /** Resolves when the node serves: it has a topology, its own store is open, and it listens. */
  ready(): Promise<void>

  /** Gets, puts and deletes for those who run very many, and slots as a whole. Undefined while the node does not serve: see `notServing`. */
  readonly coordinator: (DirectOperations & SlotTransfers) | undefined
  /** The live record of a key, or undefined. Rejects with KvError. */
  get(key: Uint8Array, options: OperationOptions): Promise<StoredRecord | undefined>
  /** Rejects with KvError that carries `outcome`. The bytes are given away. */
  put(key: Uint8Array, value: Uint8Array, options: PutOptions): Promise<WriteResult>
  delete(key: Uint8Array, options: OperationOptions): Promise<WriteResult>
  scan(options: ScanOptions): Promise<ScanPage>
  /** What each owner of a key holds of it; repairs nothing. Rejects with KvError as `get`, but not for owners that are silent. */
  locate(key: Uint8Array, options: OperationOptions): Promise<KeyLocation>
  snapshot(): Promise<SnapshotInfo>

  /** Refuses new requests, lets those that run finish (at most `graceMs`), closes links and the log. Idempotent. */
  stop(graceMs: number): Promise<void>
}

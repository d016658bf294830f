import type { KvError } from '../errors.js'
import type { CallOptions, Key } from '../types.js'
import type { HandoverStatus, PlannedChange } from './changes.js'
import type { CertificateStatus, ConvergenceStatus, HintStatus, StorageStatus } from './node-status.js'

/** `suspect`: it does not answer, or is not known yet; `dead`: nor did it contradict in time; `left`: it said that it stops. */
export type Liveness = 'alive' | 'suspect' | 'dead' | 'left' | 'unknown'

/**
 * `joining`: owns nothing yet and has no vote; `arrived`: owns slots, and gets its vote next; `serving`: has both;
 * `leaving`: a handover takes its slots; `left`: owns nothing any more, and goes next.
 */
export type MemberState = 'joining' | 'arrived' | 'serving' | 'leaving' | 'left' | 'unknown'

/** A member of the cluster. */
export interface Member {
  /** `[a-z0-9-]{1,63}`, unique in the cluster. */
  readonly id: string
  /** The short number that versions carry; never reused within a cluster. */
  readonly number: number
  /** `host:port`, as the cluster knows it: see `KvClientOptions.addressMap`. */
  readonly address: string
  /** What was given with `--zone`: no two owners of a slot share one, where there are enough zones. Empty: none. */
  readonly zone: string
  /** What share of the slots it takes, against the weights of the others. */
  readonly weight: number
  /** Names one life of the member's data directory. */
  readonly incarnation: string
  /** What it has and may do. */
  readonly state: MemberState
  /** The oldest and the newest feature level that its software goes by. */
  readonly levels: {
    /** The oldest one. */
    readonly min: number
    /** The newest one. */
    readonly max: number
  }
  /** As the answering node saw it. */
  readonly liveness: Liveness
  /** For how long, as far back as that node has been running. */
  readonly livenessMs: number
}

/** How many replicas keys have, and how many take part. */
export interface ReplicationSettings {
  /** Owners of each slot. */
  readonly replicationFactor: number
  /** Replicas that a read at level `quorum` asks. */
  readonly readQuorum: number
  /** Replicas that a write at level `quorum` waits for. */
  readonly writeQuorum: number
}

/** The cluster in the eyes of one node. */
export interface ClusterStatus {
  /** Who answered. */
  readonly nodeId: string
  /** 32 hex digits; empty while the node is forming. */
  readonly clusterId: string
  /** Of the topology that the node goes by: it rises with each change. 0: none yet. */
  readonly epoch: number
  /** All members, the answering one too. */
  readonly members: readonly Member[]
  /** The same for all members. */
  readonly replication: ReplicationSettings
  /** Of the software that the node runs. */
  readonly serverVersion: string
  /** Since the node's process has started. */
  readonly uptimeMs: number
  /** The node's own. */
  readonly storage: StorageStatus
  /** Without peers while the node is forming. */
  readonly convergence: ConvergenceStatus
  /** For each member that has missed something since the answering node started, or before and has not got it yet. */
  readonly hints: readonly HintStatus[]
  /** The node waits for the nodes named to it, to found a cluster with them. */
  readonly forming: boolean
  /** How the handover stands that runs; undefined: none does. */
  readonly handover: HandoverStatus | undefined
  /** Changes that wait for the handover before them. */
  readonly planned: readonly PlannedChange[]
  /** The node takes no operations of clients, until it is started again. */
  readonly draining: boolean
  /** What all members go by: see `Operator.raiseLevel`. */
  readonly featureLevel: number
  /** Operations of clients that run at the node. */
  readonly operations: number
  /** What the node speaks TLS with; empty: it does not. */
  readonly certificates: readonly CertificateStatus[]
  /** Why certificates that were replaced on the node's disk are not used; empty: they are, or none were. */
  readonly certificateProblem: string
}

/** What one member said about itself, or why it did not. */
export type MemberStatus =
  | {
      /** It has answered. */
      readonly ok: true
      /** As the cluster knows it. */
      readonly address: string
      /** The member's. */
      readonly id: string
      /** In its own eyes. */
      readonly status: ClusterStatus
    }
  | {
      /** It has not. */
      readonly ok: false
      /** As the cluster knows it. */
      readonly address: string
      /** The member's. */
      readonly id: string
      /** Why there is no status of it. */
      readonly error: KvError
    }

/** A snapshot of one node's store: what the node reads at its next start, before the rest of its log. */
export interface SnapshotTaken {
  /** Whose it is. */
  readonly nodeId: string
  /** Everything up to this position of the node's log is in it. */
  readonly sequence: number
  /** Tombstones and expired records included. */
  readonly records: number
  /** Size of the file. */
  readonly bytes: number
  /** How long the node took, in milliseconds; 0 where nothing had changed since its newest snapshot. */
  readonly durationMs: number
}

/** What a repair is to make equal; what is left out is all of it. */
export interface RepairOptions extends CallOptions {
  /** One slot, which the node must own. */
  readonly slot?: number | undefined
  /** Only with the member of this id. */
  readonly node?: string | undefined
}

/** How far a repair has come: one node's comparison of its copy with those of other members. */
export interface RepairProgress {
  /** Who compares. */
  readonly nodeId: string
  /** Nothing more comes after this. */
  readonly done: boolean
  /** Members to be compared with. */
  readonly members: number
  /** Those with which that is over, whether it got to its end or not. */
  readonly membersDone: number
  /** Slots that differed from those of some member, counted once for each member. */
  readonly slotsDiffering: number
  /** Of these, those that have been made equal. */
  readonly slotsRepaired: number
  /** Slots that are lost on one side: they are refilled, and not compared. */
  readonly slotsSkipped: number
  /** Records that the node fetched because it lacked them or had older ones. */
  readonly recordsPulled: number
  /** Records that it sent because the other side did. */
  readonly recordsPushed: number
  /** Of these records. */
  readonly bytes: number
  /** Members with which it did not get to its end, and why. */
  readonly obstacles: readonly {
    /** The member. */
    readonly nodeId: string
    /** A sentence for people. */
    readonly reason: string
  }[]
}

/** Who belongs to the cluster and who owns which slot. */
export interface ClusterTopology {
  /** 32 hex digits. */
  readonly clusterId: string
  /** Rises with each change. */
  readonly epoch: number
  /** The same for all slots. */
  readonly replication: ReplicationSettings
  /** All of them, those without slots too. */
  readonly members: readonly Member[]
  /** How many slots the keys are spread over: a power of two. */
  readonly slots: number
  /** The owners of a slot, 0 to slots - 1, the preferred one first; while a handover runs, those that are read. */
  owners(slot: number): readonly Member[]
  /** How the handover stands that runs; undefined: none does. */
  readonly handover: HandoverStatus | undefined
  /** Changes that wait for the handover before them. */
  readonly planned: readonly PlannedChange[]
  /**
   * While a handover runs, the owners of a slot on its other side: until its step `switch` those to come, then those
   * from before. Nobody while none runs.
   */
  otherOwners(slot: number): readonly Member[]
}

/** Where a key lives. */
export interface Partition<K extends Key = Key> {
  /** As it was given. */
  readonly key: K
  /** murmur3_32 of the key's bytes, unsigned. */
  readonly hash: number
  /** The upper bits of the hash. */
  readonly slot: number
  /** The preferred one first. */
  readonly owners: readonly Member[]
}

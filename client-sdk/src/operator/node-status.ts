/** A certificate that the answering node speaks TLS with. */
export interface CertificateStatus {
  /** `node`: its own; `authority`: of those that it trusts, the one that expires first. */
  readonly kind: string
  /** Whose it is, for people. */
  readonly subject: string
  /** From when on it holds; Unix milliseconds. */
  readonly validFromMs: number
  /** Until when; Unix milliseconds. */
  readonly expiresAtMs: number
}

/** The answering node's own store. */
export interface StorageStatus {
  /** Live keys. */
  readonly entries: number
  /** Keys that were deleted, and whose deletion is kept until all owners know of it. */
  readonly tombstones: number
  /** Memory of the table, which holds keys and values. */
  readonly tableBytes: number
  /** Size of the log's files. */
  readonly logBytes: number
  /** How many files these are. */
  readonly logSegments: number
  /** The log position of the newest record. */
  readonly lastSequence: number
  /** The log position that the newest snapshot covers; 0: none. */
  readonly snapshotSequence: number
  /** The node refuses writes: its disk is full. */
  readonly readOnly: boolean
  /** Slots of which the node has lost something, and which it does not answer for until they are refilled. */
  readonly lostSlots: number
  /** Why the refill does not get on just now; empty: it does, or nothing is lost. */
  readonly refillObstacle: string
  /**
   * What was deleted or had expired up to this moment (Unix milliseconds) is collected in all slots of the node; 0: in
   * one of them nothing has been yet.
   */
  readonly floorMs: number
  /** Why tombstones stay in slots of which the node is the first owner; empty: they do not, or are too young. */
  readonly floorObstacle: string
}

/** How the answering node's copy compares with those of the other members. */
export interface ConvergenceStatus {
  /** One for each other member. */
  readonly peers: readonly PeerConvergence[]
  /** Records that the node has fetched since it started, because it lacked them or had older ones. */
  readonly recordsPulled: number
  /** Records that it has sent, because the other side did. */
  readonly recordsPushed: number
}

/** How the answering node's copy compares with that of one other member. */
export interface PeerConvergence {
  /** The other one. */
  readonly nodeId: string
  /** How long ago a comparison with it last got to its end; undefined: none has since the answering node started. */
  readonly comparedMsAgo: number | undefined
  /** Slots that were found to differ and have not been made equal. */
  readonly differingSlots: number
  /** Why the last comparison did not get to its end; empty: it did. */
  readonly obstacle: string
}

/** Acknowledged writes that another member has missed, and that the answering node keeps for it. */
export interface HintStatus {
  /** For whom. */
  readonly nodeId: string
  /** How many wait. */
  readonly hints: number
  /** What these take on disk. */
  readonly bytes: number
  /** Since the oldest was written; 0 where none waits. */
  readonly oldestMsAgo: number
  /** Since the answering node started: the member gets what they say by comparison, later. */
  readonly dropped: number
}

/** The answering node's own store. */
export interface StorageStatus {
  /** Live keys. */
  readonly entries: number
  readonly tombstones: number
  readonly tableBytes: number
  readonly logBytes: number
  readonly logSegments: number
  readonly lastSequence: number
  /** The log position that the newest snapshot covers; 0: none. */
  readonly snapshotSequence: number
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
  readonly peers: readonly PeerConvergence[]
  /** Records that the node has fetched and sent since it started, because they were missing or older here or there. */
  readonly recordsPulled: number
  readonly recordsPushed: number
}

export interface PeerConvergence {
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
  readonly bytes: number
  /** Since the oldest was written; 0 where none waits. */
  readonly oldestMsAgo: number
  /** Since the answering node started: the member gets what they say by comparison, later. */
  readonly dropped: number
}

/** What the client has done so far, and what it is doing. Counters start at 0 and only rise. */
export interface ClientStats {
  /** Operations on keys that were accepted (each key of getMany and putMany counts). A counter. */
  readonly operations: number
  /** Operations that were accepted and failed in the end. A counter. */
  readonly failed: number
  /** Attempts beyond the first that were sent to a node. A counter. */
  readonly retries: number
  /** Messages of sessions, each with any number of operations. A counter. */
  readonly messagesSent: number
  /** The same, each with any number of results. A counter. */
  readonly messagesReceived: number
  /** Operations that wait for their results now: see `maxInFlight`. */
  readonly pending: number
  /** Bytes of their keys and values, and a little for each: see `maxInFlightBytes`. */
  readonly pendingBytes: number
  /** Of these operations, those that no node works on: they wait for a connection, for company, for a pause to end or a token. */
  readonly queued: number
  /** Repetitions that the budget allows at once: 1,000 at most, a tenth of one for each operation, 50 each second. */
  readonly retryTokens: number
  /** The topology that requests are routed by; 0: none yet. */
  readonly epoch: number
  /** Endpoints and members, those to which there is no connection too. */
  readonly nodes: readonly NodeStats[]
}

/** The client's line to one node. Counters start at 0 when the client first hears of the node. */
export interface NodeStats {
  /** `host:port`, as it is reached from here. */
  readonly address: string
  /** The member's id; undefined: no member, or not known to be one. */
  readonly id: string | undefined
  /** `down`: avoided until a connection in the background succeeds, or because it takes no more operations. */
  readonly state: 'idle' | 'connecting' | 'up' | 'down'
  /** Operations sent to it and not yet answered. */
  readonly inFlight: number
  /** Operations that wait to be sent to it. */
  readonly queued: number
  /** Attempts that were sent to it. A counter. */
  readonly sent: number
  /** Attempts that it answered with an error, or that were lost with a connection to it. A counter. */
  readonly failed: number
  /** From sending an operation to its result in milliseconds, smoothed over the last samples; undefined: none yet. */
  readonly latencyMs: number | undefined
}

/** What the client has done so far, and what it is doing. All counters start at 0 and only rise. */
export interface ClientStats {
  /** Operations on keys that were accepted (each key of getMany and putMany counts). */
  readonly operations: number
  /** Of these, how many wait for their result now. */
  readonly pending: number
  readonly failed: number
  /** Attempts beyond the first that were sent to a node. */
  readonly retries: number
  readonly messagesSent: number
  readonly messagesReceived: number
  /** The topology that requests are routed by; 0: none yet. */
  readonly epoch: number
  readonly nodes: readonly NodeStats[]
}

export interface NodeStats {
  readonly address: string
  /** `down`: avoided until a connection in the background succeeds. */
  readonly state: 'idle' | 'connecting' | 'up' | 'down'
  /** Operations sent to it and not yet answered. */
  readonly inFlight: number
}

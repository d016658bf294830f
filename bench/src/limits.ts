/** Every named limit of the benchmark, unit last. */
export const limits = {
  /** Of the errors of all rounds, so many are shown word for word. */
  errorExamplesMax: 5,

  secondsMax: 3600,
  /** What the client accepts at a time by default. */
  inFlightMax: 16_384,
  keysMax: 100_000_000,
  openRateMax: 1_000_000,
  valueBytesMax: 1_048_576,
  /** Of the values of the operations that are in flight at a time: more would measure the memory of this machine. */
  inFlightBytesMax: 536_870_912,

  roundsMax: 99,
  overloadFactorMax: 100,
  /** Writes that a flood has in flight while it loads its keys. */
  floodLoadInFlight: 256,
  /** What a flood counts as one piece of its time. */
  floodIntervalMs: 250,
  /** What fell due while the flood's process stood still for longer than this is not asked for any more. */
  floodLateMs: 100,
  /** Of so many operations of a flood, how long one takes to fail is measured: a closure for each would cost more than the rest. */
  floodTimedEach: 64,
  /** What an operation may take. */
  operationMs: 30_000,

  nodesMax: 9,
  nodeReadyMs: 60_000,
  /** Between two questions whether a peer is ready, and how long a peer's write may wait for its replica. */
  peerPollMs: 20,
  peerWaitMs: 10_000,
  /** A node that was told to stop is killed after this long. */
  nodeStopMs: 15_000,
  /** Lines of a node's log that are kept, to be shown when it fails. */
  logLinesMax: 20,
} as const

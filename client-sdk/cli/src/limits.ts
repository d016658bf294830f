/** Every named limit of `kv`, unit last. */
export const limits = {
  /**
   * A line of JSON: a value of the largest message that a server takes (4 MiB), each byte escaped as `\u0000`, and some
   * room for the key. A longer line is a bad line.
   */
  lineBytesMax: 33_554_432,
  /** A value from standard input or a file: nothing over one message can be accepted, whatever a server is set to. */
  valueBytesMax: 4_194_304,
  /** Puts of an import that may wait for their acknowledgement at a time, and how many of them by default. */
  importInFlightMax: 16_384,
  importInFlight: 256,
  /** The bytes of their lines. One line always fits. */
  importInFlightBytesMax: 67_108_864,
  /** How many lines an import reads beyond the first one that is not acknowledged yet. */
  importAheadLinesMax: 65_536,
  /** How long an import waits for one put before it tries again, and before it gives up for good. */
  importRecordTimeoutMs: 30_000,
  importGiveUpAfterMs: 300_000,
  /** Pause before a put is tried again: doubles from the first to the second, with full jitter. */
  retryPauseMs: 100,
  retryPauseMsMax: 3_000,
  /** Bad lines that are named one by one; the rest is only counted. */
  badLinesNamedMax: 10,
  /** Entries that an export asks for at a time, and the text that it gathers before it writes. */
  exportPageEntries: 4_096,
  exportChunkChars: 1_048_576,
  /** How often the place of an import or export is written down. */
  checkpointIntervalMs: 1_000,
  /** Bytes read at a time, and gathered before they are written. */
  readChunkBytes: 262_144,
  writeChunkBytes: 65_536,
  /** How long a backup or a restore waits for one call, unless told, and how long it goes on where nothing succeeds. */
  backupCallMs: 30_000,
  backupGiveUpAfterMs: 300_000,
  /** After so long it says why it tries again, and again after so long. */
  backupSilentMs: 10_000,
  backupTellEveryMs: 300_000,
  /** What one request restores: as much as a node takes. */
  restoreRecordsMax: 1024,
  restoreBytesMax: 524_288,
  /** Such requests under way at a time, and puts where what is there is overwritten. */
  restoreWorkers: 3,
  restorePuts: 256,
  /** How often progress is shown on a terminal, and elsewhere. */
  progressTerminalMs: 150,
  progressPlainMs: 5_000,
  /** How long a node may take over a snapshot, unless told: as long as the SDK waits for anything. */
  snapshotMs: 600_000,
  /** Characters of a value that `scan` shows on a terminal. */
  shownValueCharsMax: 120,
  /** As long as the SDK waits for anything. */
  callMsMax: 600_000,
  /** How often the cluster is asked how far it is with a change, how long one answer may take, and without one for how long. */
  changePollMs: 500,
  changeAnswerMs: 5_000,
  changeSilenceMs: 60_000,
  /** How long a drain waits for what runs, unless told. */
  drainMs: 60_000,
  /** Keys of a load test, inserted ones included, and inserts that may wait for an earlier one (a power of two). */
  benchKeysMax: 100_000_000,
  benchInsertWindow: 65_536,
  /** Names of keys that are kept rather than made for each operation: about 50 bytes each. */
  benchKeyNamesMax: 1_000_000,
  /** The largest value: what a node accepts. */
  benchValueBytesMax: 1_048_576,
  benchClientsMax: 256,
  /** Operations at a time, of all clients. */
  benchInFlightMax: 16_384,
  /** Operations started per second by an open loop, and those whose time has come that may wait for room. */
  benchRateMin: 0.001,
  benchRateMax: 1_000_000,
  /** How often a set of workloads is repeated. */
  benchRunsMax: 1_000,
  benchBacklogMax: 1_048_576,
  benchSecondsMax: 86_400,
  /** Errors of one workload after which it ends: a store that refuses everything is not measured to the end. */
  benchErrorsMax: 1_000,
  /** Of these, so many are told word for word. */
  benchErrorExamplesMax: 5,
  /** Operations at a time while the keys are loaded, the bytes of their values, and how long that may take. */
  benchLoadInFlight: 256,
  benchLoadBytesMax: 33_554_432,
  benchLoadMs: 3_600_000,
  /** Places where scans begin. */
  benchCursorsMax: 65_536,
  /** How long the store may take to be reached. */
  benchConnectMs: 60_000,
  /** Throughput and latency are told by intervals: of at least so long, and at most so many. */
  benchIntervalMs: 1_000,
  benchIntervalsMax: 600,
  /** How often a watched status is asked for, unless told, and how often it may be. */
  watchIntervalMs: 1_000,
  watchIntervalMsMin: 100,
  watchIntervalMsMax: 86_400_000,
  /** How long members may take over one look at them, so that a silent one does not hold up the picture. */
  watchAnswerMs: 1_000,
  /** The longest command that the shell takes, multi-line values included: a value of the largest size, each byte escaped. */
  shellCommandCharsMax: 8_388_608,
  /** Lines that the shell remembers, and characters of one. */
  shellHistoryLinesMax: 1_000,
  shellHistoryLineCharsMax: 4_096,
  /** Keys that Tab offers, how many it looks at for them, and how long that may take. */
  shellKeysOffered: 50,
  shellKeysMs: 1_500,
  /** Nodes of `kv dev`, all of which share one process. */
  devNodesMax: 9,
  /** How long the shell tries to learn at its start whose shell it is. */
  shellGreetingMs: 2_000,
} as const

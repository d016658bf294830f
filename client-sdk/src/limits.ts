/** Every named limit of the client, unit last. The first block is the store's own: a node refuses what passes it. */
export const limits = {
  /** How far above the node's clock of now a write may still be stamped: how long a request may be under way. */
  stampWindowMs: 2_000,
  /** Keys are 1 to 1,024 bytes. */
  keyBytesMax: 1024,
  /** Values are 0 to 1 MiB. */
  valueBytesMax: 1_048_576,
  /** A hundred years. */
  ttlMsMax: 3_153_600_000_000,
  /** The longest that a call may take, and what it may take by default. */
  timeoutMsMax: 600_000,
  timeoutMsDefault: 5000,
  /** Entries of one page of a scan. */
  pageEntriesMax: 4096,

  /** One gRPC message. A batch closes long before; the slack is for what surrounds the largest value. */
  messageBytesMax: 4_259_840,
  /** One SessionRequest closes at this size or number, or when it leaves. */
  batchBytesMax: 1_048_576,
  batchOpsMax: 1024,
  /** Where a node owes answers to so many operations, more wait for company until it answers: so many, and so long. */
  gatherFrom: 16,
  gatherOpsMax: 64,
  gatherMs: 1,
  /** What an operation costs on the wire over its key and value, at most. */
  operationOverheadBytes: 96,

  /** Operations, and bytes of their keys and values, that wait for results at a time; more are `overloaded`. */
  inFlightOpsDefault: 16_384,
  inFlightOpsMax: 1_048_576,
  inFlightBytesDefault: 67_108_864,
  /** Of these, what one getMany or putMany uses at a time. */
  manyOpsMax: 1024,
  manyBytesMax: 16_777_216,

  /** What a node may send on one connection before this client has read it; on one stream it is one message. */
  connectionWindowBytes: 8_519_680,
  /** What Node holds for one connection, in 2^20 bytes, before it refuses streams: well above the windows. */
  sessionMegabytesMax: 128,
  /** A connection is asked whether it lives so often, and dropped when it has not answered until the next time. */
  keepaliveMs: 7_500,

  endpointsMax: 256,
  connectTimeoutMsDefault: 2000,
  connectTimeoutMsMax: 60_000,
  /** How often the health of the connections is looked at. */
  sweepIntervalMs: 100,
  /** A node that owes answers and has said nothing for this long is asked whether it lives. */
  stallMs: 500,
  /** And has this long to say so. */
  probeTimeoutMs: 500,
  /** Pauses between attempts to reach a node that is down grow between these; jittered. */
  reconnectMsMin: 50,
  reconnectMsMax: 2000,
  /** A connection to a node that is not a member (a seed) is closed after this long without use. */
  idleConnectionMs: 30_000,

  /** Pauses before an operation is tried again grow between these; jittered. */
  retryMsMin: 10,
  retryMsMax: 500,
  /** Repetitions cost one token each: every operation earns a tenth, every second earns some, and so many can be saved. */
  retryTokensPerOperation: 0.1,
  retryTokensPerSecond: 50,
  retryTokensMax: 1000,

  /** One page may take a third of its time, and at least this, before another node is asked. */
  scanAttemptMsMin: 1000,

  /** Records that a node restores by one request. */
  restoreRecordsMax: 1024,

  /** How often a node is asked how far it has come with a repair. */
  repairPollMs: 250,

  /** One attempt to fetch the topology from one node, and all attempts of one round. */
  topologyAttemptMs: 1000,
  topologyRoundMs: 5000,
  /** A round starts after a random pause up to the first, and not sooner after the last round than the second. */
  topologyJitterMs: 50,
  topologyPauseMsMin: 200,
  topologyPauseMsMax: 2000,
  /** A token that was refused so soon after it was asked for is not asked for again. */
  tokenRenewMsMin: 1000,
  /** How long a change of who may call waits for members to hear of it, and how often they are asked. */
  accessSpreadMs: 2000,
  accessPollMs: 25,

  slotsMax: 65_536,
  membersMax: 65_535,
} as const

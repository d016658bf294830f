/**
 * Every named limit of the store, unit last. At a limit the caller is told (`invalid-argument` for what can never
 * fit, `overloaded` for what may fit later); nothing is dropped in silence.
 */
export const limits = {
  /** Keys are 1 to 1,024 bytes. */
  keyBytesMax: 1024,
  /** Values are 0 to 1 MiB. */
  valueBytesMax: 1_048_576,
  /** A hundred years. Expiry is absolute and must fit 48 bits of milliseconds with room to spare. */
  ttlMsMax: 3_153_600_000_000,
  /** One gRPC message, in and out; a batch closes before it would pass this. */
  messageBytesMax: 4_194_304,
  /** A batch to a peer or client closes at this size, or when the event loop turns. */
  batchBytesMax: 1_048_576,
  /** What waits to be sent on one link before new requests to that peer are refused as overloaded. */
  linkQueueBytesMax: 33_554_432,
  /** Operations that one node coordinates at a time, and the bytes of their keys and values. */
  coordinatedOpsMax: 65_536,
  coordinatedBytesMax: 268_435_456,
  /** Requests of one session in flight. */
  sessionOpsMax: 16_384,
  /** Default and largest time that a request may take. */
  requestTimeoutMs: 5_000,
  requestTimeoutMsMax: 600_000,
  /** One frame of the log holds one commit group: header, then at most this much payload. */
  logFrameBytesMax: 16_777_216,
  /** What waits for the log before commits are refused as overloaded. */
  logQueueBytesMax: 134_217_728,
  /** A segment of the log is closed when it has passed this size. */
  logSegmentBytes: 67_108_864,
  /** Entries and bytes of one page of a scan. */
  scanPageEntriesMax: 4096,
  scanPageEntriesDefault: 512,
  scanPageBytesMax: 1_048_576,
  /** Nodes in a cluster. */
  membersMax: 256,
} as const

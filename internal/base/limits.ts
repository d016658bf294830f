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
  /** What one link holds unsent before `send` asks its caller to wait for `drain`. */
  linkSendMarkBytes: 1_048_576,
  /** A connection that does not answer a ping, sent when it has been idle this long, within the timeout is dead. */
  keepaliveTimeMs: 10_000,
  keepaliveTimeoutMs: 5_000,
  /** HTTP: the request line and all headers, a body as JSON (a value in base64, and what is around it), and all bodies under way. */
  httpHeaderBytesMax: 16_384,
  httpJsonBytesMax: 1_400_832,
  httpBodiesBytesMax: 268_435_456,
  /** How long HTTP waits for a request's headers, for all of it, and for the next on a connection. */
  httpHeadersTimeoutMs: 10_000,
  httpRequestTimeoutMs: 30_000,
  httpKeepAliveMs: 60_000,
  /** A connection on which nothing goes either way for so long is closed: longer than `requestTimeoutMsMax`. */
  httpSilenceMsMax: 660_000,
  /** A file with certificates or a key. */
  tlsFileBytesMax: 1_048_576,
  /** Such files are looked at so often for whether they have changed. */
  tlsFilesPollMs: 2_000,
  /** A certificate that expires within the first is warned of, again after the second. */
  certificateWarnMs: 2_592_000_000,
  certificateWarnAgainMs: 86_400_000,
  /** Connections at a time of one listener of HTTP. */
  httpConnectionsMax: 1024,
  /** Connections at a time of the port for clients and nodes, and of each door from one address (of IPv6: the first 64 bits). */
  connectionsMax: 4096,
  connectionsPerAddressMax: 1024,
  httpConnectionsPerAddressMax: 512,
  /** Requests of one connection that have not been answered to the end. */
  httpPipelinedMax: 64,
  /** A connection from a client on which nothing has been called for so long is closed. */
  connectionIdleMs: 300_000,
  /** Calls at a time on one connection from a client, and the headers of one of them. */
  connectionStreamsMax: 1024,
  callHeaderBytesMax: 16_384,
  /** Bytes of messages that have not come to their end yet, of all calls, and how long one message may take to do so. */
  receivedBytesMax: 268_435_456,
  messageMsMax: 30_000,
  /** Who has not taken after so long what waited is cut off. It is looked at so often; if it is there so long after, its connection ends. */
  readerStallMs: 60_000,
  slowCheckMs: 1_000,
  cutGraceMs: 5_000,
  /** Bytes of answers that clients have not taken, and of those made in one turn of the event loop. Links between nodes have bounds of their own. */
  answerBytesMax: 268_435_456,
  answerTurnBytesMax: 4_194_304,
  /** Callers who watch a node's health, in all and from one address. */
  healthWatchersMax: 1024,
  healthWatchersPerAddressMax: 256,
  /** Scans of one node at a time. */
  scansMax: 256,
  /** Operations that one node coordinates at a time, and the bytes of their keys and of all values that they hold. */
  coordinatedOpsMax: 65_536,
  coordinatedBytesMax: 268_435_456,
  /** Requests of this node that one peer has not answered yet. */
  peerPendingMax: 131_072,
  /** A read asks the owners that it spared at first when the asked ones have not answered after this long. */
  readHedgeMs: 30,
  /** How often deadlines and hedges of running operations are looked at. */
  operationTickMs: 10,
  /** Long work gives way where that tick is later than this: the event loop has not turned. */
  overdueMs: 5,
  /** An owner that goes by another epoch is asked again after this long, then after longer and longer pauses. */
  askAgainMsMin: 10,
  askAgainMsMax: 100,
  /**
   * An operation without a quorum asks owners so often whose links have just broken, or are only being made: for about four
   * seconds, in which a call fails at the latest. Not a time, because that would be over when this process has stood still.
   */
  ownerReturnAsksMax: 40,
  /** How often one write may be stamped again because newer versions kept appearing. */
  writeAttemptsMax: 16,
  /** How long a write that is acknowledged waits for more owners to say what it replaced. */
  replacedWaitMs: 200,
  /** The same for a stretch of a slot, which takes longer to read. */
  scanHedgeMs: 250,
  /** Slots that one page of a scan reads side by side: at first, and at most, when that goes fast. */
  scanSlotsAtFirst: 16,
  scanSlotsMax: 64,
  /** Slots read side by side that take longer than this are too many at a time. */
  scanSlotsMs: 50,
  /** A page ends after this time with what it has: well before the SDK gives up on its node. */
  scanPageMs: 500,
  /** Requests of one session in flight. */
  sessionOpsMax: 16_384,
  /** A message of a session up to this size is copied once, and not each key and value. It is the size of Node's pool. */
  sessionCopyBytesMax: 8_192,
  /** Sessions of one node. */
  sessionsMax: 4096,
  /** Results that a session holds for a client that does not read them: from here on no more requests are read. */
  sessionResultBytesMark: 8_388_608,
  /** From here on values are withheld and the results are `overloaded`; the second is for all sessions together. */
  sessionResultBytesMax: 67_108_864,
  resultBytesMax: 268_435_456,
  /** Default and largest time that a request may take. */
  requestTimeoutMs: 5_000,
  requestTimeoutMsMax: 600_000,
  /** A write to a file up to this size is made in the turn that asks for it: it takes 20 µs at most. */
  diskWriteAtOnceBytesMax: 65_536,
  /** One frame of the log holds one commit group: header, then at most this much payload. */
  logFrameBytesMax: 16_777_216,
  /** So many commits that wait for a sync wait for company, turn by turn of the event loop, and at most for so long. */
  logGatherFrom: 2,
  logGatherMs: 1,
  /** What waits for the log before commits are refused as overloaded. */
  logQueueBytesMax: 134_217_728,
  /** A segment of the log is closed when it has passed this size. */
  logSegmentBytes: 67_108_864,
  /** The log's file is extended by this much at a time, so that fdatasync need not allocate blocks for each group. */
  logPreallocateBytes: 4_194_304,
  /** Segments that are not needed any more and are kept for their blocks: what the log grows by between snapshots. */
  logSparesMax: 4,
  /** Where the disk had no room for blocks ahead of time, they are asked for again only after so long. */
  logRoomRetryMs: 1_000,
  /** Encoded groups up to this size keep their buffer for the next group. */
  logBufferKeptBytesMax: 4_194_304,
  /** A log that is idle for so long is sealed: its last group can then no longer be taken for a torn write. */
  logSealIdleMs: 20,
  /** A full disk is tried again so often. */
  logHealIntervalMs: 1_000,
  /** Files are read in pieces of this size when the store is opened or verified. */
  readChunkBytes: 1_048_576,
  /** A block of a snapshot is closed when it has passed the first size, and never passes the second. */
  snapshotBlockBytes: 262_144,
  snapshotBlockBytesMax: 4_194_304,
  /** The buffer of a snapshot that is being written begins with so much, and doubles. */
  snapshotBufferBytesMin: 65_536,
  /** Work on a snapshot gives way after so much time on an idle node, or so many bytes, whichever comes first. */
  snapshotSliceMs: 10,
  /** The same while commits come, and then it rests so many times as long as it has worked, but at most for so long. */
  snapshotBusySliceMs: 1,
  snapshotRestFactor: 3,
  snapshotRestMsMax: 30,
  snapshotSliceBytes: 1_048_576,
  /** A snapshot is synced at least so often while it is written, so that its last sync does not hold up the log's. */
  snapshotSyncBytes: 8_388_608,
  /** Kept files are read back so soon after a start or a snapshot, so long after the last time, and so slowly. */
  scrubDelayMs: 60_000,
  scrubIntervalMs: 3_600_000,
  scrubBytesPerSecond: 8_388_608,
  /** Recovery tells how far it has come so often. */
  recoveryReportMs: 1_000,
  /** Bytes of records that the table may move in one slice of compaction. */
  compactionSliceBytes: 262_144,
  /** Where something can expire, the store looks so often for what has. */
  expiryIntervalMs: 1_000,
  /** Expired values that the store takes away, or stale traces of them that it passes over, in one slice. */
  expirySliceRecords: 512,
  /** Payload of one document (identity, topology). */
  documentBytesMax: 1_048_576,
  /** Entries and bytes of one page of a scan. */
  scanPageEntriesMax: 4096,
  scanPageEntriesDefault: 512,
  scanPageBytesMax: 1_048_576,
  /** Bytes of records on one page of a backup, and of one request to restore some; a single record may be larger. */
  backupPageBytesMax: 524_288,
  /** Slots that are read side by side for one page. */
  backupSlotsMax: 16,
  /** A segment of a backup is closed when it has passed this size. */
  backupSegmentBytes: 67_108_864,
  restoreBytesMax: 524_288,
  restoreRecordsMax: 1024,
  /** Pages and requests of backups that one node works on at a time. */
  backupCallsMax: 4,
  /** Where a write quorum has a restored record, the other owners are waited for so long: one may know that it was deleted. */
  restoreOthersMs: 1_000,
  /** Records and bytes of one message with copies of slots. */
  refillPageEntriesMax: 4096,
  refillPageBytesMax: 131_072,
  /** What a refill takes from other nodes in a second. */
  refillBytesPerSecond: 16_777_216,
  /** Another node that has not answered a refill for so long is asked no further. */
  refillReplyMs: 5_000,
  /** A refill that does not get on is tried again after the first, then after ever longer, up to the second. */
  refillBackoffMsMin: 100,
  refillBackoffMsMax: 10_000,
  /** Where nothing is lost it is looked again after so long; a new topology is looked at at once. */
  refillIdleMs: 60_000,
  /** A refill tells how far it has come so often. */
  refillReportMs: 1_000,
  /** Slots that a handover or a refill copies together, in one message from each source and again after a crash; and such lots at a time. */
  copySlotsMax: 256,
  copyLanes: 4,
  /** While clients are served, whoever merges copies rests so many times as long as it has worked, but never for longer than this. */
  copyRestRatio: 3,
  copyRestMsMax: 500,
  /** Progress of a handover is made durable so often, and when there is no more. */
  handoverProgressMs: 200,
  /** What a handover streams to a node in a second unless told otherwise. */
  streamBytesPerSecond: 67_108_864,
  /** A node to which nothing is streamed looks again so often; it is also told. */
  handoverIdleMs: 60_000,
  /** While a handover runs, members tell each other how far they are so often. */
  handoverReportMs: 1_000,
  /** A step that is due is taken by the member whose turn it is; each other one waits for so much longer than the one before. */
  handoverTurnMs: 1_000,
  /** A handover begins so long after the last newcomer or wish, so that it takes with it what comes together. */
  handoverGatherMs: 1_000,
  /** How long one step of a handover is proposed before it is looked at again. */
  handoverProposeMs: 10_000,
  /** Slots that a node owns no more are emptied so many at a time, and then it rests. */
  emptiedSlotsMax: 64,
  emptiedPauseMs: 50,
  /** After so long no operation runs that began before this node: `requestTimeoutMsMax`, and clocks that run apart. */
  refillForgetMs: 660_000,
  /** A member is compared with again after so long, where all was well; `antiEntropySettleMs` is in one round. */
  antiEntropyIntervalMs: 5_000,
  /** Slots that differ are looked at again after so long, and so often in all, to tell what is missing from writes under way. */
  antiEntropySettleMs: 1_000,
  antiEntropyLooksMax: 5,
  /** Slots that writes leave in doubt: so many are gone through all the same, by turns. */
  antiEntropyDoubtfulMax: 32,
  /** A comparison that did not get to its end is repeated after the first, then after ever longer, up to the second. */
  antiEntropyBackoffMsMin: 500,
  antiEntropyBackoffMsMax: 30_000,
  /** Another member that has not answered one request for so long is given up for this time. */
  antiEntropyReplyMs: 5_000,
  /** While more than this waits on the link, client requests go first; it is looked at again after so long. */
  antiEntropyQueueBytesMax: 1_048_576,
  antiEntropyYieldMs: 20,
  /** What one node moves in a second, in both directions and for all members, to make replicas equal. */
  antiEntropyBytesPerSecond: 8_388_608,
  /** Going through slots gives way after so long. */
  antiEntropySliceMs: 5,
  /** Slots that others want gone through; more are refused as overloaded. */
  antiEntropyScansMax: 4096,
  /** Slots that are made equal side by side; the keys and versions of one page of one of them. */
  antiEntropySlotsMax: 32,
  antiEntropyPageEntriesMax: 4096,
  antiEntropyPageBytesMax: 262_144,
  /** Records that travel together, and their bytes unless one alone has more. */
  antiEntropyBatchRecordsMax: 128,
  antiEntropyBatchBytesMax: 262_144,
  /** Repairs that were asked for and wait or run, and those that are over and may still be asked about. */
  repairsMax: 16,
  repairsKeptMax: 64,
  /** A node founded alone waits so long for its own answer at an address that `--peers` names. */
  ownAddressAnswerMs: 5_000,
  /** Requests about the next topology that wait for the disk; who is not answered asks again. */
  registerRequestsMax: 64,
  /** One round of the agreement on a topology, and the pause before the next. */
  registerRoundMs: 2_000,
  registerBackoffMsMin: 20,
  registerBackoffMsMax: 1_000,
  /** How long a returning node's change of the topology is tried before it is told that there is no majority. */
  returnChangeMs: 10_000,
  /** How long a moved node's wish for its new address is believed; it ends where another has been reached there, content, for so long. */
  addressWishMs: 5_000,
  addressTakenMs: 8_000,
  /** Whether the former life of a returning node is linked to others: so long they have to answer, and so often they are asked. */
  returnAnswerMs: 1_000,
  returnAskIntervalMs: 250,
  /** Members that do not say within this time what their copies are worth are taken for down. */
  standingAnswerMs: 2_000,
  /** What waits to be written into files of hints, for all members (a broken link may leave a second's writes), and the frame it becomes. */
  hintBufferBytesMax: 33_554_432,
  hintFrameBytes: 262_144,
  /** So often hints are written and synced, old ones dropped, and members looked at that may have come back. */
  hintIntervalMs: 1_000,
  /** A file of hints is closed when it has passed this size, or has been open for so long. */
  hintFileBytes: 8_388_608,
  hintFileMsMax: 60_000,
  /** Files of hints for one member, and for all. */
  hintOwnerBytesMax: 268_435_456,
  hintBytesMax: 1_073_741_824,
  /** Hints that have waited for so long are left to anti-entropy, which moves the newest of each key only. */
  hintAgeMsMax: 600_000,
  /** Where the disk has less room than this, hints give theirs back; it is looked at again after so long. */
  hintReserveBytes: 268_435_456,
  hintRetryMs: 10_000,
  /** What one node hands over in a second, and how long a member may take for one frame. */
  hintBytesPerSecond: 16_777_216,
  hintReplyMs: 5_000,
  /** A member that does not take its hints is tried again after the first, then after ever longer, up to the second. */
  hintBackoffMsMin: 500,
  hintBackoffMsMax: 30_000,
  /** Fresh writes that were stamped so long before a replica's clock reading are refused, and twice the drift bound more. */
  floorHorizonMs: 600_000,
  /** All owners must hold the same twice, so far apart: longer than any request lives (`requestTimeoutMsMax`). */
  floorAgreementMs: 660_000,
  /** Between two rounds of the collection of tombstones. */
  floorIntervalMs: 60_000,
  /** An owner that has not answered a round for so long is not waited for. */
  floorReplyMs: 5_000,
  /** Slots that a round compares side by side. */
  floorSlotsMax: 8,
  /** Failure detection wants to be told of the time so often. */
  swimTickMs: 50,
  /** Any of its messages; of it, what rumours that travel along may take, and what header and lists of numbers may. */
  swimMessageBytesMax: 8_192,
  swimPiggybackBytesMax: 1_024,
  swimHeaderBytesMax: 2_048,
  /** What a node tells all others about itself. */
  swimMetaBytesMax: 128,
  /** Refutations are counted in 48 bits. */
  swimRefutationMax: 281_474_976_710_655,
  /** Members that are asked to try a member that does not answer, and pings that one node makes for others at a time. */
  swimHelpersMax: 3,
  swimErrandsMax: 1_024,
  /** A node that has reason to doubt itself waits up to this much and one times as long for others. */
  swimHealthMax: 7,
  /** A suspicion runs so many times as long if nobody confirms it; so many accusers are named with it at most. */
  swimSuspicionMaxMult: 6,
  swimAccusersMax: 8,
  /** Each node that has a rumour sends it so many times the decimal logarithm of the number of members, rounded up. */
  swimRetransmitMult: 4,
  /** What two members know is compared so often; a dead one is asked so often, in clusters above ten in proportion less. */
  swimSyncIntervalMs: 30_000,
  swimRejoinIntervalMs: 5_000,
  /** Dead members are told of rumours for so long. */
  swimGossipToDeadMs: 30_000,
  /** Who opens a link to a node greets within this; it waits for the answer for a fraction of it (a probe's interval and timeout). */
  greetingMsMax: 10_000,
  /** Links with the cluster's secret still to be proved, in all and from one address: a machine with many nodes opens three for each. */
  linksProvingMax: 256,
  linksProvingPerAddressMax: 64,
  /** Addresses of which it is remembered that no link to them is trusted, and how often those are told of that call in vain. */
  distrustedMax: 512,
  distrustReportMs: 10_000,
  /** A link for gossip on which nothing is said for so long is closed. */
  gossipIdleMs: 60_000,
  /** Messages that wait for such a link to be made, and bytes that it may hold unsent: what is beyond is lost, as gossip may be. */
  gossipWaitingMax: 16,
  gossipUnsentBytesMax: 65_536,
  /** Messages that are taken from one member in a second; the rest is passed over. */
  gossipReceivedPerSecondMax: 500,
  /** How long a stopping node waits at most for links on which to take its leave. */
  gossipFarewellMs: 500,
  /** A member that is said to go by a newer topology is asked for it so often. */
  gossipTopologyAskMs: 1_000,
  /** Members that have been away for long are looked at so often; each voter proposes so much later than the one before it. */
  replaceCheckMs: 5_000,
  replaceTurnMs: 10_000,
  /** How long members have to say whether somebody is away, and how long a change that replaces one is tried. */
  replaceAnswerMs: 2_000,
  replaceChangeMs: 10_000,
  /** A process that stood still says nothing about who is away for so many times as long as one that is dead takes to be found out. */
  replaceDoubtFactor: 2,
  /** What a stopping node gives running requests to finish, and then its connections to close. */
  shutdownGraceMs: 10_000,
  /** Latencies are told for the window that is open and the one before it. */
  latencyWindowMs: 10_000,
  /** Events of a node that it remembers for those who look at it. */
  nodeEventsMax: 256,
  /** Changes of the ring that wait in the topology for a handover, and that one handover carries out. */
  plannedChangesMax: 64,
  /** Former members that the topology remembers, so that they are told when they wake up. */
  removedMembersMax: 256,
  /** Nodes in a cluster. */
  membersMax: 256,
  /** Whom the members have agreed to let in, the prefixes of one of them, and what all of it may take in the topology. */
  principalsMax: 1024,
  principalPrefixesMax: 64,
  accessListBytesMax: 262_144,
  /** How often a node looks whether its auth file has changed, and whether somebody has expired. */
  accessCheckMs: 1_000,
  /** Of calls that come by the hundreds the audit log tells the first, and again the first after so long without any. */
  auditRunMs: 60_000,
  /** Who has signed in over HTTP is asked again after so long, and may have signed in at one node so many times at once. */
  loginMs: 43_200_000,
  loginsOfOneMax: 16,
  /** Of a request to sign in: a token and what is around it. */
  loginBytesMax: 1024,
  /** Copies of a key. */
  replicationFactorMax: 7,
  /** Virtual nodes of a member, and its shares of the data in units of the lightest. */
  virtualNodesMax: 1000,
  weightMax: 1000,
  /** Pages that may look at one node's feed, how often they are told, and how long one that left may take to come back. */
  feedStreamsMax: 64,
  feedIntervalMs: 1_000,
  feedLingerMs: 10_000,
  /** A feed on which nothing is said for so long says that it is still there. */
  feedHeartbeatMs: 15_000,
  /** A view of the feed waits so long for what members tell of themselves; one that is silent for longer does not answer. */
  feedGatherMs: 500,
  feedSilentMs: 2_500,
  /** How long one member may take to tell another its figures. */
  memberCallMs: 1_000,
  /** What members have told of themselves is told to callers of HTTP for so long, before they are asked again. */
  memberFiguresMs: 1_000,
  /** How long the owners of a key may take to say what they hold of it, when a page asks. */
  locateMs: 2_000,
} as const

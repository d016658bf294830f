export { ChunkReader } from './chunk-reader.js'
export { corruption, type Damage } from './corruption.js'
export { createDurably, directoryOf, removeIfThere, syncDirectory, syncFile } from './durable.js'
export { type DecodedFrameHeader, decodeFrameHeader, encodeFrameHeader, frameHeaderBytes } from './frame.js'
export type { Appended, Group } from './group.js'
export { WriteAheadLog } from './log.js'
export { type LogDirectory, logDirectory, readLogDirectory, segmentPath } from './log-directory.js'
export {
  checkSegment,
  type GroupVisitor,
  type LogTail,
  type ReplayRequest,
  replayedBytes,
  replayLog,
} from './log-reader.js'
export { type HeaderLayout, newerFormat, refuseNewerFormat } from './newer-format.js'
export type { FsyncPolicy, WalOptions } from './options.js'
export {
  type DecodedSegmentHeader,
  encodeSegmentHeader,
  formatVersion,
  readHex16,
  segmentTag,
  writeHex16,
} from './segment-header.js'
export {
  type Fault,
  type FaultKind,
  type FileOrigin,
  type GroupTaker,
  type LogSurvey,
  listIfThere,
  type SegmentReport,
  surveyLog,
} from './verify.js'
export type { SequenceRange, SequenceSet } from './verify-sequences.js'

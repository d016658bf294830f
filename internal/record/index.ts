export {
  decodeRecord,
  decodeRecords,
  encodedRecordBytes,
  encodeRecord,
  encodeRecords,
  RecordFormatError,
  recordLengthAt,
} from './codec.js'
export {
  decodeEntries,
  decodeFloor,
  type Entry,
  emptiedSlot,
  encodedFloorBytes,
  encodeFloor,
  entryLengthAt,
  type Floor,
  floorTombstone,
  floorVersion,
  isDeadAtFloor,
  isFloor,
  isFloorAt,
  isFloorVersion,
} from './floor.js'
export { compareRecords, isLive, type StoredRecord } from './record.js'

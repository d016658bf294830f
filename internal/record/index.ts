export {
  decodeRecord,
  decodeRecords,
  encodedRecordBytes,
  encodeRecord,
  encodeRecords,
  RecordFormatError,
  recordLengthAt,
} from './codec.js'
export { compareRecords, isLive, type StoredRecord } from './record.js'

export type { Disk } from '../env/index.js'
export { encodedRecordBytes, encodeRecords, isLive, type StoredRecord } from '../record/index.js'
export { BackupReader, type RecordVisitor } from './backup-reader.js'
export { type BackupOrigin, BackupWriter } from './backup-writer.js'
export {
  type BackupTotals,
  type CatalogueEntry,
  listBackups,
  type ManifestHead,
  type MissingSegment,
  type Newest,
  newestName,
  newestOf,
  removeBackup,
  totalsOf,
} from './catalogue.js'
export { BackupDamage, BackupOfLaterRelease, BackupRefused, BackupUnreadable } from './damage.js'
export { type Manifest, packedDigests, placesOf, readManifest, type SegmentFile, type SlotPlace } from './manifest.js'
export { isBackupName } from './names.js'
export { type BackupCheck, type CheckOptions, type KnownSlots, verifyBackup } from './verify.js'

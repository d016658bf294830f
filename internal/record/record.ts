import { compareBytes } from '../base/index.js'
import { compareVersions, type Version } from '../hlc/index.js'

/**
 * One write of one key, as it is logged, stored, sent and repaired. Immutable; whoever makes one gives its bytes away.
 * A record whose expiry has passed equals a tombstone of the same version, on every replica alike.
 */
export interface StoredRecord extends Version {
  readonly key: Uint8Array
  readonly tombstone: boolean
  /** Absolute Unix milliseconds, decided once by the coordinator; 0: never. */
  readonly expiresAtMs: number
  /** Empty for a tombstone. */
  readonly value: Uint8Array
}

/** Whether a reader sees a value in it. */
export function isLive(record: Pick<StoredRecord, 'tombstone' | 'expiresAtMs'>, nowMs: number): boolean {
  return !record.tombstone && (record.expiresAtMs === 0 || record.expiresAtMs > nowMs)
}

/**
 * The total order of the records of one key: version, then (only where two different writes carry one version, which
 * no correct node produces) tombstone above value, earlier expiry above later, then the value's bytes. Positive when
 * `a` wins. Merging by it is commutative, associative and idempotent.
 */
export function compareRecords(a: StoredRecord, b: StoredRecord): number {
  const byVersion = compareVersions(a, b)
  if (byVersion !== 0) return byVersion
  if (a.tombstone !== b.tombstone) return a.tombstone ? 1 : -1
  if (a.expiresAtMs !== b.expiresAtMs) {
    if (a.expiresAtMs === 0) return -1
    if (b.expiresAtMs === 0) return 1
    return b.expiresAtMs - a.expiresAtMs
  }
  return compareBytes(a.value, b.value)
}

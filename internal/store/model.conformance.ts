import { assert, KvError } from '../base/index.js'
import { compareVersions } from '../hlc/index.js'
import { compareRecords, type StoredRecord } from '../record/index.js'
import { slotCount } from '../slots/index.js'
import type { CommitResult, Store } from './index.js'

/** One call of `commit`. The times count events of the test; `never` is no time at all. */
interface ModelCommit {
  readonly records: readonly StoredRecord[]
  readonly submittedAt: number
  ackedAt: number
  /** It was certainly not written. */
  refused: boolean
  /** A start showed that a crash had taken it: from then on it must stay away. */
  lostAt: number
}

const never = Number.POSITIVE_INFINITY

function keyOf(record: StoredRecord): string {
  return new TextDecoder('latin1').decode(record.key)
}

/** What a crash at a known moment may have left. */
export interface Moment {
  /** The number of the event: commits of later ones cannot be there. */
  readonly at: number
  /** What was acknowledged up to this event must be there; later acknowledgements say nothing. */
  readonly promisedAt: number
}

/** `Store.commitOne` with a promise. */
export function commitAlone(
  store: Store,
  record: StoredRecord,
  wantPrevious = false,
  fresh = true,
): Promise<CommitResult> {
  return new Promise((resolve, reject) => {
    store.commitOne(record, wantPrevious, fresh, { committed: resolve, commitFailed: reject })
  })
}

/**
 * What a store may hold, told from what was asked of it and what it answered. Every write has a version of its own.
 * After a crash:
 *
 * - what was promised is there, or something higher;
 * - a record is there as it was written, byte for byte; nothing else is there;
 * - a commit is in one frame: all its records are there or none is;
 * - the log is cut at one place: if a commit is there, so are all that came before it;
 * - what was refused, and what an earlier crash has taken, is not there.
 */
export class CommitModel {
  readonly #commits: ModelCommit[] = []
  readonly #byKey = new Map<string, { record: StoredRecord; commit: number }[]>()
  readonly #purgeTimeMs: () => number
  /** The number of the event under way. */
  at = 0

  /** `purgeTimeMs`: as the store was told, or later; left out: nothing is purged. */
  constructor(purgeTimeMs: () => number = () => 0) {
    this.#purgeTimeMs = purgeTimeMs
  }

  /** Commits and notes what the store answers; rejects with nothing but what the caller must look at. */
  async commit(store: Store, records: readonly StoredRecord[]): Promise<readonly CommitResult[] | KvError> {
    const index = this.#commits.length
    const commit: ModelCommit = { records, submittedAt: this.at, ackedAt: never, refused: false, lostAt: never }
    this.#commits.push(commit)
    for (const record of records) {
      const written = this.#byKey.get(keyOf(record)) ?? []
      this.#byKey.set(keyOf(record), written)
      assert(!written.some((other) => compareVersions(record, other.record) === 0), 'versions are used once')
      written.push({ record, commit: index })
    }
    try {
      // One record by itself goes the way of clients' writes.
      const results = records.length === 1 ? [await commitAlone(store, records[0]!)] : await store.commit(records)
      assert(results.length === records.length, 'a result for each record')
      commit.ackedAt = this.at
      return results
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      if (error.outcome === 'not-applied') commit.refused = true
      return error
    }
  }

  get commits(): number {
    return this.#commits.length
  }

  /** How many of them were certainly not written. */
  get refused(): number {
    return this.#commits.filter((commit) => commit.refused).length
  }

  /** Throws where the store does not hold what it may hold after a crash at that moment. */
  check(store: Store, moment: Moment): void {
    const found = contentsOf(store)
    let last = -1
    for (const [key, record] of found) {
      const commit = this.#written(key, record)
      if (commit === undefined || this.#commits[commit]!.submittedAt > moment.at) {
        throw new Error(`${tell(record)} was never written`)
      }
      if (this.#commits[commit]!.refused) throw new Error(`${tell(record)} was refused`)
      if (this.#commits[commit]!.lostAt <= moment.at) throw new Error(`${tell(record)} has come back after its loss`)
      if (compareVersions(record, store.highestVersion) > 0) throw new Error(`${tell(record)} is above highestVersion`)
      last = Math.max(last, commit)
    }
    for (const [index, commit] of this.#commits.entries()) {
      if (commit.submittedAt > moment.at || commit.refused || commit.lostAt <= moment.at) continue
      if (commit.ackedAt <= moment.promisedAt) this.#checkThere(found, commit, 'was acknowledged and is gone')
      else if (index <= last) this.#checkThere(found, commit, `is gone, but commit ${last}, not before it, is there`)
    }
  }

  /** The same store goes on from what it holds now: that is promised, and what it does not hold is lost for good. */
  goOnFrom(store: Store): void {
    const found = contentsOf(store)
    for (const commit of this.#commits) {
      if (commit.refused || commit.lostAt !== never) continue
      if (commit.records.some((record) => isAbove(record, found.get(keyOf(record))))) commit.lostAt = this.at
      else commit.ackedAt = Math.min(commit.ackedAt, this.at)
    }
  }

  #checkThere(found: ReadonlyMap<string, StoredRecord>, commit: ModelCommit, trouble: string): void {
    for (const record of commit.records) {
      if (isAbove(record, found.get(keyOf(record)))) throw new Error(`${tell(record)} ${trouble}`)
    }
  }

  /** Nothing is purged before its time. */
  #mayBe(record: StoredRecord, found: StoredRecord): boolean {
    return record.tombstone === found.tombstone || record.expiresAtMs <= this.#purgeTimeMs()
  }

  /** The commit that wrote just this; undefined: nobody did. */
  #written(key: string, found: StoredRecord): number | undefined {
    return this.#byKey.get(key)?.find(({ record }) => isSameWrite(record, found) && this.#mayBe(record, found))?.commit
  }
}

/**
 * Whether it is the same write. A store may have thrown the value of an expired one away: what is left then is a
 * tombstone of the same version and expiry, until a start brings the value back.
 */
export function isSameWrite(a: StoredRecord, b: StoredRecord): boolean {
  if (compareRecords(a, b) === 0) return true
  const purged = a.expiresAtMs !== 0 && a.expiresAtMs === b.expiresAtMs && a.tombstone !== b.tombstone
  return purged && compareVersions(a, b) === 0
}

function isAbove(record: StoredRecord, found: StoredRecord | undefined): boolean {
  return found === undefined || compareRecords(record, found) > 0
}

function tell(record: StoredRecord): string {
  const kind = record.tombstone ? 'tombstone' : `${record.value.length} bytes`
  return `${keyOf(record)}@${record.lo} (${kind}${record.expiresAtMs === 0 ? '' : ', with an expiry'})`
}

/** Every record of a store by its key, each also read as `get` reads it. */
export function contentsOf(store: Store): Map<string, StoredRecord> {
  const found = new Map<string, StoredRecord>()
  for (let slot = 0; slot < slotCount; slot++) {
    store.scanSlot(slot as Parameters<Store['scanSlot']>[0], (record) => {
      const got = store.get(record.key)
      assert(got !== undefined && compareRecords(got, record) === 0, 'a scan and a get agree')
      found.set(keyOf(record), got)
    })
  }
  const { entries, tombstones } = store.statistics()
  assert(entries + tombstones === found.size, 'statistics count what is there')
  return found
}

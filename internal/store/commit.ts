import { invalidArgument, type KvError, limits } from '../base/index.js'
import type { Clock } from '../env/index.js'
import { type Floor, isLive, type StoredRecord } from '../record/index.js'
import type { Appended } from '../wal/index.js'
import type { Highest } from './highest.js'
import { type MergeOutcome, Met } from './met.js'
import type { CommitResult, CommitWaiter } from './store.js'
import type { Table } from './table/table.js'
import { applyFloor } from './table/table-floors.js'
import { prefetchKeysMax } from './table/table-prefetch.js'

/** Throws KvError `invalid-argument` for a record that the formats on disk cannot hold. */
export function checkRecord(record: StoredRecord): void {
  const { key, value, expiresAtMs } = record
  if (key.length === 0 || key.length > limits.keyBytesMax) throw invalidArgument('key', `has ${key.length} bytes`)
  if (value.length > limits.valueBytesMax) throw invalidArgument('value', `has ${value.length} bytes`)
  if (record.tombstone && value.length > 0) throw invalidArgument('value', 'a tombstone has none')
  if (!Number.isSafeInteger(expiresAtMs) || expiresAtMs < 0 || expiresAtMs > 2 ** 48) {
    throw invalidArgument('expiresAtMs', `must be a whole number up to 2^48, got ${expiresAtMs}`)
  }
  if (record.hi >>> 0 !== record.hi || record.lo >>> 0 !== record.lo || record.node >>> 0 !== record.node) {
    throw invalidArgument('version', 'must be three unsigned 32-bit numbers')
  }
}

/** The result of every record that nothing was known of before. */
const created: CommitResult = Object.freeze({ applied: true, seen: undefined, existed: false, previous: undefined })

/** Puts durable records into the table and says what became of them. */
export class Applier {
  readonly table: Table
  readonly highest: Highest
  readonly #clock: Clock
  readonly #met: Met = new Met()
  /** Called when a commit's records are in the table: they may have left something to be done. */
  readonly onApplied: () => void
  /** The last group of the log that is in the table. */
  sequence: number

  constructor(table: Table, highest: Highest, clock: Clock, sequence: number, onApplied: () => void) {
    this.table = table
    this.highest = highest
    this.#clock = clock
    this.sequence = sequence
    this.onApplied = onApplied
  }

  /**
   * The result of a record that need not be logged, because the table holds a higher one or the very same; undefined:
   * it must be logged.
   */
  alreadySettled(record: StoredRecord): CommitResult | undefined {
    const outcome = this.table.wouldMerge(record, this.#met)
    return outcome === 'applied' ? undefined : unmoved(outcome, this.#met)
  }

  /** Puts a durable record into the table. */
  apply(record: StoredRecord, wantPrevious: boolean): CommitResult {
    const met = this.#met
    this.highest.raise(record)
    const outcome = this.table.merge(record, met, wantPrevious)
    if (outcome !== 'applied') return unmoved(outcome, met)
    if (!met.found) return created
    return { applied: true, seen: met.version, existed: this.#wasLive(), previous: met.previous }
  }

  /** Whether what the last record replaced was live. The clock is read only for what can have expired. */
  #wasLive(): boolean {
    const met = this.#met
    return isLive(met, met.expiresAtMs === 0 ? 0 : this.#clock.wallMs())
  }
}

/** The stored record is not lower. The very same counts as applied; what it once replaced is not known any more. */
function unmoved(outcome: MergeOutcome, met: Met): CommitResult {
  return { applied: outcome === 'same', seen: met.version, existed: false, previous: undefined }
}

/** One call of `commit`, from the log's point of view. Results that are known before are kept in `results`. */
export class PendingCommit implements Appended {
  readonly #applier: Applier
  readonly #records: readonly StoredRecord[]
  readonly #wantPrevious: readonly boolean[] | undefined
  readonly #results: (CommitResult | undefined)[]
  readonly #resolve: (results: readonly CommitResult[]) => void
  readonly #reject: (error: KvError) => void

  constructor(
    applier: Applier,
    commit: {
      readonly records: readonly StoredRecord[]
      readonly wantPrevious: readonly boolean[] | undefined
      readonly results: (CommitResult | undefined)[]
    },
    resolve: (results: readonly CommitResult[]) => void,
    reject: (error: KvError) => void,
  ) {
    this.#applier = applier
    this.#records = commit.records
    this.#wantPrevious = commit.wantPrevious
    this.#results = commit.results
    this.#resolve = resolve
    this.#reject = reject
  }

  durable(sequence: number): void {
    const applier = this.#applier
    const results = this.#results
    for (let i = 0; i < results.length; i++) {
      if (i % prefetchKeysMax === 0) applier.table.prefetchKeysOf(this.#records, i, results.length)
      results[i] ??= applier.apply(this.#records[i]!, this.#wantPrevious?.[i] === true)
    }
    applier.sequence = sequence
    applier.onApplied()
    this.#resolve(results as readonly CommitResult[])
  }

  failed(error: KvError): void {
    this.#reject(error)
  }
}

/**
 * The records of the calls of `commitOne` in one group of the log: what applying them reads from memory is read for many
 * at a time (`table-prefetch.ts`).
 */
export class WriteRun {
  readonly records: StoredRecord[] = []
  /** The group has been told what became of it: what joins it now is of another one, in the same object. */
  ended = false
}

/** One call of `commitOne`, from the log's point of view. */
export class PendingWrite implements Appended {
  readonly #applier: Applier
  readonly #run: WriteRun
  /** Where its record is in the run. */
  readonly #place: number
  readonly #wantPrevious: boolean
  readonly #waiter: CommitWaiter

  /** Adds the record to the run. */
  constructor(applier: Applier, run: WriteRun, record: StoredRecord, wantPrevious: boolean, waiter: CommitWaiter) {
    this.#applier = applier
    this.#run = run
    this.#place = run.records.push(record) - 1
    this.#wantPrevious = wantPrevious
    this.#waiter = waiter
  }

  durable(sequence: number): void {
    const applier = this.#applier
    const { records } = this.#run
    const place = this.#place
    this.#run.ended = true
    if (place % prefetchKeysMax === 0) applier.table.prefetchKeysOf(records, place, records.length)
    const result = applier.apply(records[place]!, this.#wantPrevious)
    applier.sequence = sequence
    applier.onApplied()
    this.#waiter.committed(result)
  }

  failed(error: KvError): void {
    this.#run.ended = true
    this.#waiter.commitFailed(error)
  }
}

/** One call of `raiseFloors` or `emptySlots`, from the log's point of view. */
export class PendingFloors implements Appended {
  readonly #applier: Applier
  readonly #floors: readonly Floor[]
  readonly #resolve: () => void
  readonly #reject: (error: KvError) => void

  constructor(applier: Applier, floors: readonly Floor[], resolve: () => void, reject: (error: KvError) => void) {
    this.#applier = applier
    this.#floors = floors
    this.#resolve = resolve
    this.#reject = reject
  }

  durable(sequence: number): void {
    for (const floor of this.#floors) applyFloor(this.#applier.table, floor)
    this.#applier.sequence = sequence
    this.#applier.onApplied()
    this.#resolve()
  }

  failed(error: KvError): void {
    this.#reject(error)
  }
}

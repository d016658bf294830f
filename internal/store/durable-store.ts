import { assert, KvError, limits, type Slot } from '../base/index.js'
import type { Timer } from '../env/index.js'
import type { Hash64 } from '../hash/index.js'
import type { Version } from '../hlc/index.js'
import { emptiedSlot, encodedFloorBytes, encodedRecordBytes, type Floor, type StoredRecord } from '../record/index.js'
import { slotOf } from '../slots/index.js'
import type { Group, WriteAheadLog } from '../wal/index.js'
import { Applier, checkRecord, PendingCommit, PendingFloors, PendingWrite, WriteRun } from './commit.js'
import { diskFailure } from './disk-failure.js'
import type { LostSlots } from './lost-slots.js'
import { writeManifest } from './manifest.js'
import type { Recovered } from './recovery.js'
import { Scrub } from './repair/scrub.js'
import { Snapshots } from './snapshot/snapshots.js'
import type {
  CommitOptions,
  CommitResult,
  CommitWaiter,
  Digest,
  PastDigest,
  SnapshotInfo,
  Store,
  StoreOptions,
  StoreStatistics,
} from './store.js'
import { digestOfNothing, digestUpTo } from './table/slot-digests.js'
import type { Table } from './table/table.js'
import { headerBytes } from './table/table-layout.js'
import { prefetchKeysMax } from './table/table-prefetch.js'

/** The table, with a log in front of every change and snapshots behind. */
export class DurableStore implements Store {
  readonly #options: StoreOptions
  readonly #table: Table
  readonly #log: WriteAheadLog
  readonly #applier: Applier
  readonly #snapshots: Snapshots
  readonly #lost: LostSlots
  readonly #scrub: Scrub
  #upkeepScheduled = false
  #expiryTimer: Timer | undefined
  /** There may be more expired values than the last slice has purged. */
  #purging = false
  #commits = 0
  /** Of the group that a single record has joined last; it keeps their records until the next one begins. */
  #run: WriteRun = new WriteRun()
  #runGroup: Group | undefined
  /** Slots of which the log must still say that they have no floor. */
  #cleared: readonly Slot[]
  #clearing: Promise<void> = Promise.resolve()
  /** Slots that will be emptied when what is on its way to the log is durable, and how often. */
  readonly #emptying = new Map<Slot, number>()
  #closing: Promise<void> | undefined

  constructor(options: StoreOptions, log: WriteAheadLog, recovered: Recovered) {
    const { table, highest, sequence } = recovered
    this.#options = options
    this.#table = table
    this.#log = log
    this.#lost = recovered.lost
    this.#cleared = recovered.cleared
    const applier = new Applier(table, highest, options.clock, sequence, () => this.#scheduleUpkeep())
    this.#applier = applier
    const load = { commits: () => this.#commits, waiting: () => log.busy }
    const source = { table, log, sequence: () => applier.sequence, highest: () => highest.version, load }
    this.#snapshots = new Snapshots(options, source, recovered, () => this.#scrub.filesHaveChanged())
    this.#scrub = new Scrub(options, { log, snapshots: this.#snapshots })
    // Replaying the log may have left more dead than it compacted.
    this.#scheduleUpkeep()
    if (this.#lost.accepted.length > 0) this.#forgetAccepted()
  }

  get highestVersion(): Version {
    return this.#applier.highest.version
  }

  commit(records: readonly StoredRecord[], options: CommitOptions = {}): Promise<readonly CommitResult[]> {
    const { wantPrevious, fresh = false } = options
    this.#commits++
    if (this.#cleared.length > 0) void this.#clearFloors()
    return new Promise<readonly CommitResult[]>((resolve, reject) => {
      const results: (CommitResult | undefined)[] = []
      let bytes = 0
      for (let i = 0; i < records.length; i++) {
        if (!fresh && i % prefetchKeysMax === 0) this.#table.prefetchKeysOf(records, i, records.length)
        const record = records[i]!
        checkRecord(record)
        const settled = fresh ? undefined : this.#alreadySettled(record)
        results.push(settled)
        if (settled === undefined) bytes += encodedRecordBytes(record)
      }
      if (bytes === 0) {
        this.#log.checkAlive()
        resolve(results as CommitResult[])
        return
      }
      const group = this.#log.groupFor(bytes)
      for (let i = 0; i < records.length; i++) if (results[i] === undefined) group.add(records[i]!)
      group.join(new PendingCommit(this.#applier, { records, wantPrevious, results }, resolve, reject))
    })
  }

  commitOne(record: StoredRecord, wantPrevious: boolean, fresh: boolean, waiter: CommitWaiter): void {
    this.#commits++
    if (this.#cleared.length > 0) void this.#clearFloors()
    let settled: CommitResult | undefined
    try {
      settled = this.#joined(record, wantPrevious, fresh, waiter)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      waiter.commitFailed(error)
      return
    }
    if (settled !== undefined) waiter.committed(settled)
  }

  /** Has a record join the log, or returns what is known of it already. Throws as `commit` rejects. */
  #joined(record: StoredRecord, wantPrevious: boolean, fresh: boolean, waiter: CommitWaiter): CommitResult | undefined {
    checkRecord(record)
    const settled = fresh ? undefined : this.#alreadySettled(record)
    if (settled !== undefined) {
      this.#log.checkAlive()
      return settled
    }
    const group = this.#log.groupFor(encodedRecordBytes(record))
    group.add(record)
    if (group !== this.#runGroup || this.#run.ended) {
      this.#run = new WriteRun()
      this.#runGroup = group
    }
    group.join(new PendingWrite(this.#applier, this.#run, record, wantPrevious, waiter))
    return undefined
  }

  /** What need not be logged, unless its slot is being emptied: what is in the table then will be gone. */
  #alreadySettled(record: StoredRecord): CommitResult | undefined {
    return this.#isBeingEmptied(record) ? undefined : this.#applier.alreadySettled(record)
  }

  async raiseFloors(floors: readonly Floor[]): Promise<void> {
    const raised = floors.filter(({ slot, floorMs }) => floorMs > this.floorMs(slot))
    if (raised.length === 0) return
    void this.#clearFloors()
    await this.#setFloors(raised)
  }

  async emptySlots(slots: readonly Slot[]): Promise<void> {
    // What is on its way to the log may be theirs.
    const emptied = this.#log.busy ? slots : slots.filter((slot) => this.#table.holds(slot))
    if (emptied.length === 0) return
    // What is committed from now on comes behind it in the log, whatever the table still shows.
    for (const slot of emptied) this.#emptying.set(slot, (this.#emptying.get(slot) ?? 0) + 1)
    try {
      await this.#setFloors(emptied.map(emptiedSlot))
    } finally {
      for (const slot of emptied) {
        const waiting = this.#emptying.get(slot)! - 1
        if (waiting > 0) this.#emptying.set(slot, waiting)
        else this.#emptying.delete(slot)
      }
    }
  }

  #isBeingEmptied({ key }: StoredRecord): boolean {
    return this.#emptying.size > 0 && this.#emptying.has(slotOf(key))
  }

  /** Rejects with KvError. */
  async #setFloors(floors: readonly Floor[]): Promise<void> {
    assert(
      floors.every(({ floorMs }) => Number.isSafeInteger(floorMs) && floorMs >= 0 && floorMs < 2 ** 48),
      'a floor is a moment',
    )
    const group = this.#log.groupFor(floors.length * encodedFloorBytes)
    await new Promise<void>((resolve, reject) => {
      for (const floor of floors) group.addFloor(floor)
      group.join(new PendingFloors(this.#applier, floors, resolve, reject))
    })
  }

  /**
   * Has the log say which floors recovery has taken away, before anything else is added: replayed, it would raise them
   * again over what fills the slots anew. If that cannot be written, nothing that comes behind it can, and the
   * next call tries again.
   */
  #clearFloors(): Promise<void> {
    if (this.#cleared.length === 0) return this.#clearing
    const cleared = this.#cleared
    this.#cleared = []
    this.#clearing = this.#setFloors(cleared.map((slot) => ({ slot, floorMs: 0 }))).catch((error: unknown) => {
      this.#cleared = cleared
      this.#clearing = Promise.resolve()
      throw error
    })
    // Whoever waits for it is told; the others find their own commits refused.
    this.#clearing.catch(() => undefined)
    return this.#clearing
  }

  /** The document need not name slots whose loss was accepted once the log says that they have no floor. */
  #forgetAccepted(): void {
    this.#clearFloors()
      .then(() => this.#lost.forgetAccepted(() => this.#log.sync()))
      .catch((error: unknown) => {
        // It is said again at the next start, and the log's own failure has been told.
        if (!(error instanceof KvError)) diskFailure(error, this.#log, 'the list of lost slots')
      })
  }

  settled(): Promise<void> {
    return this.#log.settled()
  }

  async synced(): Promise<void> {
    await this.settled()
    if (this.#closing !== undefined) throw new KvError('closed', 'the store is closed')
    await this.#log.sync()
  }

  tombstonesIn(slot: Slot): number {
    return this.#table.tombstonesIn(slot)
  }

  holds(slot: Slot): boolean {
    return this.#table.holds(slot)
  }

  floorMs(slot: Slot): number {
    // What is raised while a slot is being emptied comes behind that in the log, as what is committed does.
    return this.#emptying.has(slot) ? 0 : this.#table.floorMs(slot)
  }

  digestUpTo(slot: Slot, upToMs: number): PastDigest {
    return this.#emptying.has(slot) ? { hi: 0, lo: 0, dead: 0 } : digestUpTo(this.#table, slot, upToMs)
  }

  get(key: Uint8Array): StoredRecord | undefined {
    return this.#table.get(key)
  }

  prefetch(keys: readonly Uint8Array[], from: number, to: number): void {
    this.#table.prefetch(keys, from, to)
  }

  getVersion(key: Uint8Array): Version | undefined {
    return this.#table.getVersion(key)
  }

  scanSlot(slot: Slot, visit: (record: StoredRecord) => void): void {
    this.#table.scanSlot(slot, visit)
  }

  digest(slot: Slot, into?: Hash64): Digest {
    // Who is told that another node holds the same takes nothing from it, and what is here now will be gone.
    return this.#emptying.has(slot) ? digestOfNothing(into) : this.#table.digest(slot, into)
  }

  get changes(): number {
    return this.#table.changes
  }

  isLost(slot: Slot): boolean {
    return this.#lost.has(slot)
  }

  get lostCount(): number {
    return this.#lost.count
  }

  lostSlots(): readonly Slot[] {
    return this.#lost.list()
  }

  async refilled(slots: readonly Slot[]): Promise<void> {
    if (this.#closing !== undefined) throw new KvError('closed', 'the store is closed')
    await this.#clearFloors()
    await this.#tellLost((sync) => this.#lost.refilled(slots, sync))
  }

  async lose(slots: readonly Slot[]): Promise<void> {
    if (this.#closing !== undefined) throw new KvError('closed', 'the store is closed')
    await this.#tellLost((sync) => this.#lost.lose(slots, sync))
  }

  async #tellLost(tell: (sync: () => Promise<void>) => Promise<void>): Promise<void> {
    try {
      await tell(() => this.#log.sync())
    } catch (error) {
      throw diskFailure(error, this.#log, 'the list of lost slots')
    }
  }

  snapshot(): Promise<SnapshotInfo> {
    return this.#snapshots.snapshot()
  }

  statistics(): StoreStatistics {
    return {
      entries: this.#table.entries,
      tombstones: this.#table.tombstones,
      tableBytes: this.#table.bytes,
      dataBytes: this.#table.liveBytes - (this.#table.entries + this.#table.tombstones) * headerBytes,
      logBytes: this.#log.bytes,
      logSegments: this.#log.segments,
      logAppendedBytes: this.#log.appendedBytes,
      lastSequence: this.#log.lastSequence,
      snapshotSequence: this.#snapshots.newestSequence,
      readOnly: this.#log.readOnly,
      lostSlots: this.#lost.count,
      rottenFiles: this.#scrub.rottenFiles,
      scrubbedBytes: this.#scrub.bytes,
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#expiryTimer?.cancel()
    await this.#scrub.stop()
    await this.#snapshots.stop()
    await this.#lost.idle()
    if (await this.#log.close()) await this.#noteReached()
  }

  /** From now on a log that ends before this is damaged; else one whose end is cut off would look like none. */
  async #noteReached(): Promise<void> {
    const { disk, clusterId, incarnation, log } = this.#options
    try {
      await writeManifest(disk, { clusterId, incarnation, reached: this.#applier.sequence })
    } catch (error) {
      // The one that is there stays true: it says less.
      log.warn('could not note how far the log reaches', { cause: String(error) })
    }
  }

  /** What writes leave to be done, a slice in each turn of the event loop, as long as there is some. */
  #scheduleUpkeep(): void {
    if (this.#upkeepScheduled) return
    this.#upkeepScheduled = true
    this.#options.clock.defer(() => {
      this.#upkeepScheduled = false
      if (this.#closing !== undefined) return
      this.#snapshots.logHasGrown()
      if (this.#purging) this.#purging = this.#table.expireStep(this.#purgeTimeMs(), limits.expirySliceRecords)
      // Behind the purge: what its last slice left dead would otherwise lie there until the next write.
      const compacting = this.#table.compactStep(limits.compactionSliceBytes)
      if (compacting || this.#purging) this.#scheduleUpkeep()
      this.#armExpiry()
    })
  }

  /** Looks again for what has expired in a while: only where something can, so an idle store sets no timers. */
  #armExpiry(): void {
    const { clock, purgeTimeMs } = this.#options
    if (purgeTimeMs === undefined || this.#expiryTimer !== undefined || !this.#table.hasExpiries) return
    this.#expiryTimer = clock.setTimer(limits.expiryIntervalMs, () => {
      this.#expiryTimer = undefined
      this.#purging = true
      this.#scheduleUpkeep()
    })
  }

  #purgeTimeMs(): number {
    return this.#options.purgeTimeMs?.() ?? 0
  }
}

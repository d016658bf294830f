import { type KvError, limits } from '../base/index.js'
import type { DiskError, Timer } from '../env/index.js'
import { removeIfThere, syncDirectory } from './durable.js'
import type { Group } from './group.js'
import { GroupQueue } from './group-queue.js'
import { type ClosedSegment, logDirectory, segmentPath } from './log-directory.js'
import { fatal, isFull, type LogState, refusal, unavailable } from './log-errors.js'
import type { LogTail } from './log-reader.js'
import type { WalOptions } from './options.js'
import { SegmentFile } from './segment-file.js'

interface SyncWaiter {
  readonly resolve: () => void
  readonly reject: (error: KvError) => void
}

/**
 * The write-ahead log. Commits join the open group; one write and one fdatasync make a group durable; whatever arrives
 * meanwhile is the next group. Group n+1 is written only after group n's fdatasync (so that damage can be told from a
 * torn write, FORMAT.md), which also makes groups grow with load, without a timer that anybody would have to tune.
 *
 * Rejected: a sync of its own per commit (one commit per 100 µs); a fixed group window (an idle log would wait for
 * nothing); writing groups ahead of the sync (faster by one write, but a lost group with a good one behind it would
 * then be a legal crash, and damage could no longer be seen).
 *
 * One worker performs all operations on the segment, one after the other; everything else sets a wish and wakes it.
 */
export class WriteAheadLog {
  readonly #options: WalOptions
  #segment: SegmentFile
  readonly #closed: ClosedSegment[]
  #state: LogState = 'open'
  readonly #queue = new GroupQueue()
  #lastSequence: number
  /** Frames that were written and not yet synced. */
  #unsynced = 0
  /** The last frame is a group's: nothing behind it proves yet that it was durable. */
  #unsealed = false
  #appendedBytes = 0
  /** False from the moment on which the worker has seen that nothing is left; later wishes start a new one. */
  #working = false
  #worker: Promise<void> = Promise.resolve()
  #wakeScheduled = false
  readonly #syncWaiters: SyncWaiter[] = []
  #syncDue = false
  #sealDue = false
  #healDue = false
  #syncTimer: Timer | undefined
  #sealTimer: Timer | undefined
  #healTimer: Timer | undefined
  #closing: Promise<void> | undefined

  private constructor(options: WalOptions, segment: SegmentFile, tail: LogTail) {
    this.#options = options
    this.#segment = segment
    this.#closed = [...tail.closed]
    this.#lastSequence = tail.lastSequence
    this.#unsealed = tail.unsealed
  }

  /** Takes the log over at the tail that `replayLog` found: cuts what is torn, or creates the first segment. */
  static async open(options: WalOptions, tail: LogTail): Promise<WriteAheadLog> {
    if (tail.torn) {
      const path = segmentPath(tail.last!.number)
      options.log.warn('cut the torn end of the log', { path, offset: tail.position, lastSequence: tail.lastSequence })
    }
    // The last segment's name may have survived the former process without having been made durable.
    await syncDirectory(options.disk, logDirectory)
    const segment =
      tail.last === undefined
        ? await SegmentFile.create(options, 1, 1, 0)
        : await SegmentFile.resume(options, tail.last, tail)
    await segment.reserve(1)
    const log = new WriteAheadLog(options, segment, tail)
    if (log.#unsealed) log.#armSeal()
    return log
  }

  /** Of the last frame, whatever its kind. */
  get lastSequence(): number {
    return this.#lastSequence
  }

  get readOnly(): boolean {
    return this.#state === 'read-only'
  }

  get segments(): number {
    return this.#closed.length + 1
  }

  /** Of all segments, up to their last frames. */
  get bytes(): number {
    let bytes = this.#segment.position
    for (const segment of this.#closed) bytes += segment.bytes
    return bytes
  }

  /** Bytes of frames written since it was opened: only grows. */
  get appendedBytes(): number {
    return this.#appendedBytes
  }

  /**
   * The group that takes the next `bytes` of records. The caller adds just these and joins it, in the same turn.
   * Throws KvError, nothing having been written: `overloaded`, `read-only`, `unavailable`, `closed`, or
   * `invalid-argument` for what no frame can hold.
   */
  groupFor(bytes: number): Group {
    if (this.#state !== 'open') throw refusal(this.#state, 'not-applied')
    const group = this.#queue.groupFor(bytes)
    this.#wake()
    return group
  }

  /** Resolves when everything that has been written so far is synced. Rejects with KvError if it cannot be. */
  sync(): Promise<void> {
    if (this.#state === 'failed' || this.#state === 'closed') return Promise.reject(refusal(this.#state))
    if (this.#unsynced === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#syncWaiters.push({ resolve, reject })
      this.#syncDue = true
      this.#wake()
    })
  }

  /**
   * Removes the segments that hold nothing above `sequence`, oldest first and each one durably before the next: after
   * a crash the rest is still without a gap. Throws DiskErrors.
   */
  async trim(sequence: number): Promise<void> {
    for (;;) {
      const oldest = this.#closed[0]
      const next = this.#closed[1]?.firstSequence ?? this.#segment.firstSequence
      if (oldest === undefined || next > sequence + 1) return
      await removeIfThere(this.#options.disk, segmentPath(oldest.number))
      await syncDirectory(this.#options.disk, logDirectory)
      this.#closed.shift()
    }
  }

  /** Something else broke on which the log depends: as if its own disk had failed. */
  abandon(error: Error): void {
    this.#fail(error)
  }

  /** Refuses what comes from now on, waits for what came before, seals and closes. Idempotent; never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const wasOpen = this.#state === 'open'
    if (this.#state !== 'failed') this.#state = 'closed'
    for (const timer of [this.#syncTimer, this.#sealTimer, this.#healTimer]) timer?.cancel()
    this.#start()
    await this.#worker
    if (this.#state === 'closed') {
      try {
        if (this.#unsynced > 0) await this.#syncSegment()
        if (wasOpen && this.#unsealed) await this.#seal()
      } catch (error) {
        this.#fail(error)
      }
    }
    try {
      await this.#segment.close()
    } catch (error) {
      // Everything acknowledged is synced; a close can lose nothing of it.
      this.#options.log.warn('closing the log failed', { cause: String(error) })
    }
  }

  #wake(): void {
    if (this.#working || this.#wakeScheduled) return
    this.#wakeScheduled = true
    // Everything that arrives in this turn of the event loop joins the first group.
    this.#options.clock.defer(() => {
      this.#wakeScheduled = false
      this.#start()
    })
  }

  #start(): void {
    if (this.#working) return
    this.#working = true
    this.#worker = this.#work().catch((error: unknown) => {
      this.#working = false
      this.#fail(error)
    })
  }

  async #work(): Promise<void> {
    // A group whose waiters have not been told yet: the next group's write is started first, so that the disk does not
    // stand still while this one is applied.
    let durable: Group | undefined
    for (;;) {
      const job = this.#nextJob()
      if (durable !== undefined) this.#settle(durable)
      durable = undefined
      if (job !== undefined) durable = await job
      else if (this.#queue.empty) break
    }
    this.#working = false
  }

  /** Starts what has to be done next. Resolves with a group if it became durable; handles its own disk errors. */
  #nextJob(): Promise<Group | undefined> | undefined {
    if (this.#state === 'failed') return undefined
    if (this.#syncDue) return this.#guarded(() => this.#syncSegment())
    const group = this.#queue.take()
    if (group !== undefined) return this.#commit(group)
    if (this.#healDue) return this.#guarded(() => this.#heal())
    if (this.#sealDue) return this.#guarded(() => this.#seal())
    return undefined
  }

  async #guarded(job: () => Promise<void>): Promise<undefined> {
    try {
      await job()
    } catch (error) {
      this.#fail(error)
    }
    return undefined
  }

  async #commit(group: Group): Promise<Group | undefined> {
    const { fsync } = this.#options
    try {
      await this.#writeGroup(group)
    } catch (error) {
      if (isFull(error)) await this.#becomeReadOnly(group, error)
      else this.#fail(error, group)
      return undefined
    }
    if (fsync !== 'always') {
      if (fsync === 'interval') this.#syncTimer ??= this.#timer(this.#options.fsyncIntervalMs, () => this.#wantSync())
      return group
    }
    try {
      await this.#syncSegment()
    } catch (error) {
      this.#fail(error, group)
      return undefined
    }
    this.#armSeal()
    return group
  }

  async #writeGroup(group: Group): Promise<void> {
    if (this.#segment.full) await this.#roll()
    // No await where none is needed: the write is under way before the group before this one is applied.
    if (!this.#segment.hasReserved(group.frameBytes)) await this.#segment.reserve(group.frameBytes)
    const sequence = this.#lastSequence + 1
    const { bytes, headerCrc } = group.frame(sequence, this.#segment.number, this.#unsynced)
    await this.#segment.append(bytes, headerCrc)
    this.#lastSequence = sequence
    this.#appendedBytes += bytes.length
    this.#unsynced++
    this.#unsealed = true
  }

  #settle(group: Group): void {
    // Another part of the disk may have failed while this group was being synced.
    if (this.#state === 'failed') group.failed(unavailable(undefined, 'unknown'))
    else group.durable()
    this.#queue.recycle(group)
  }

  async #syncSegment(): Promise<void> {
    this.#syncDue = false
    const waiters = this.#syncWaiters.splice(0)
    try {
      await this.#segment.sync()
    } catch (error) {
      for (const waiter of waiters) waiter.reject(unavailable(error))
      throw error
    }
    this.#unsynced = 0
    for (const waiter of waiters) waiter.resolve()
  }

  /**
   * The full segment is made durable, then its successor, and only then the mark that there is one. The mark may be
   * lost in a crash or for want of room: it only makes the loss of the successor visible.
   */
  async #roll(): Promise<void> {
    const old = this.#segment
    if (this.#unsynced > 0) await this.#syncSegment()
    const next = this.#lastSequence + 1
    this.#segment = await SegmentFile.create(this.#options, old.number + 1, next, old.lastCrc)
    this.#closed.push({ number: old.number, firstSequence: old.firstSequence, bytes: old.position })
    try {
      await old.appendMark('end', next, 0)
      await old.sync()
    } catch (error) {
      if (!isFull(error)) throw error
      this.#options.log.warn('no room for the end mark of a log segment', { segment: old.number })
    } finally {
      await old.close()
    }
  }

  #armSeal(): void {
    if (this.#sealTimer !== undefined) return
    const armedAt = this.#lastSequence
    this.#sealTimer = this.#timer(limits.logSealIdleMs, () => {
      this.#sealTimer = undefined
      if (this.#state !== 'open' || !this.#unsealed) return
      if (this.#lastSequence !== armedAt || !this.#queue.empty) return this.#armSeal()
      this.#sealDue = true
      this.#wake()
    })
  }

  async #seal(): Promise<void> {
    this.#sealDue = false
    if (!this.#unsealed || this.#state === 'read-only') return
    try {
      await this.#segment.appendMark('seal', this.#lastSequence + 1, this.#unsynced)
    } catch (error) {
      if (!isFull(error)) throw error
      // A seal is worth nobody's refusal. The next group, or the next start, proves as much.
      return this.#segment.cutBack()
    }
    this.#lastSequence++
    this.#unsealed = false
    await this.#syncSegment()
  }

  #wantSync(): void {
    this.#syncTimer = undefined
    if (this.#unsynced === 0) return
    this.#syncDue = true
    this.#wake()
    this.#armSeal()
  }

  /** The disk has no room for this group: as if it had never come. Room is looked for from time to time. */
  async #becomeReadOnly(group: Group, error: DiskError): Promise<void> {
    try {
      await this.#segment.cutBack()
    } catch (cutError) {
      this.#fail(cutError, group)
      return
    }
    this.#options.log.error('the disk is full: read-only until there is room', { cause: error.message })
    if (this.#state === 'open') this.#state = 'read-only'
    const refused = refusal(this.#state, 'not-applied')
    group.failed(refused)
    this.#queue.rejectAll(refused)
    this.#armHeal()
  }

  #armHeal(): void {
    if (this.#state !== 'read-only') return
    this.#healTimer = this.#timer(limits.logHealIntervalMs, () => {
      this.#healDue = true
      this.#wake()
    })
  }

  async #heal(): Promise<void> {
    this.#healDue = false
    if (this.#state !== 'read-only') return
    if (!(await this.#segment.findRoom())) return this.#armHeal()
    this.#state = 'open'
    this.#options.log.info('the disk has room again: writable')
  }

  /** Ends everything. `group` is the one that was being written: nobody can say what became of it. */
  #fail(cause: unknown, group?: Group): void {
    const error = fatal(cause)
    group?.failed(unavailable(error, 'unknown'))
    const first = this.#state !== 'failed'
    this.#state = 'failed'
    this.#queue.rejectAll(unavailable(error, 'not-applied'))
    for (const waiter of this.#syncWaiters.splice(0)) waiter.reject(unavailable(error))
    if (first) this.#options.onFatal(error)
  }

  #timer(delayMs: number, fire: () => void): Timer {
    return this.#options.clock.setTimer(delayMs, fire)
  }
}

import { limits } from '../base/index.js'
import type { DiskError, Timer } from '../env/index.js'
import { Gathering, nextTurn } from './gathering.js'
import type { Group } from './group.js'
import { GroupQueue } from './group-queue.js'
import { IdleTimer } from './idle-timer.js'
import { segmentPath } from './log-directory.js'
import { fatal, isFull, type LogState, refusal, unavailable } from './log-errors.js'
import type { LogTail } from './log-reader.js'
import { LogSegments } from './log-segments.js'
import type { WalOptions } from './options.js'
import { SyncWaiters } from './sync-waiters.js'

/**
 * The write-ahead log. Commits join the open group; one write and one fdatasync make a group durable; whatever arrives
 * meanwhile is the next group. Group n+1 is written only after group n's fdatasync (so that damage can be told from a
 * torn write, FORMAT.md), which also makes groups grow with load; and under load the next group waits for those who are
 * coming in (`Gathering`).
 *
 * Rejected: a sync of its own per commit (one commit per 100 µs); a fixed group window (an idle log would wait for
 * nothing); writing groups ahead of the sync (faster by one write, but a lost group with a good one behind it would
 * then be a legal crash, and damage could no longer be seen).
 *
 * One worker writes, syncs and cuts the current segment, one after the other; everything else sets a wish and wakes it.
 * What is done to other files, and to blocks that no frame has reached yet, is done beside it (`LogSegments`).
 */
export class WriteAheadLog {
  readonly #options: WalOptions
  readonly #segments: LogSegments
  #state: LogState = 'open'
  readonly #queue = new GroupQueue()
  readonly #gathering: Gathering
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
  readonly #syncWaiters = new SyncWaiters()
  #syncDue = false
  #sealDue = false
  #healDue = false
  readonly #sealTimer: IdleTimer
  #syncTimer: Timer | undefined
  #healTimer: Timer | undefined
  #closing: Promise<boolean> | undefined

  private constructor(options: WalOptions, segments: LogSegments, tail: LogTail) {
    this.#options = options
    this.#segments = segments
    this.#lastSequence = tail.lastSequence
    this.#unsealed = tail.unsealed
    this.#gathering = new Gathering(options.clock, () => this.#mayWait())
    const unsealedUpTo = (): number | undefined => (this.#unsealed ? this.#lastSequence : undefined)
    this.#sealTimer = new IdleTimer(options.clock, limits.logSealIdleMs, unsealedUpTo, () => this.#wantSeal())
  }

  /** Takes the log over at the tail that `replayLog` found: cuts what is torn, or creates the first segment. */
  static async open(options: WalOptions, tail: LogTail): Promise<WriteAheadLog> {
    if (tail.torn) {
      const path = segmentPath(tail.last!.number)
      options.log.warn('cut the torn end of the log', { path, offset: tail.position, lastSequence: tail.lastSequence })
    }
    // Nothing runs behind anybody's back before the first commit, so there is a log to fail.
    const segments = await LogSegments.open(options, tail, (error) => log.#fail(error))
    const log = new WriteAheadLog(options, segments, tail)
    log.#sealTimer.arm()
    return log
  }

  /** Of the last frame, whatever its kind. */
  get lastSequence(): number {
    return this.#lastSequence
  }

  /** Commits are waiting to be written or synced. */
  get busy(): boolean {
    return this.#working || this.#wakeScheduled
  }

  get readOnly(): boolean {
    return this.#state === 'read-only'
  }

  /** Throws, as `groupFor` does, where nothing is acknowledged any more; a disk that is full is no reason. */
  checkAlive(): void {
    if (this.#state === 'failed' || this.#state === 'closed') throw refusal(this.#state, 'not-applied')
  }

  /** Numbers of segments that nobody writes to any more and that are kept, oldest first, for `checkSegment`. */
  get settledSegments(): readonly number[] {
    return this.#segments.settled
  }

  get segments(): number {
    return this.#segments.count
  }

  /** Of all segments, up to their last frames. */
  get bytes(): number {
    return this.#segments.bytes
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
    this.#syncDue = true
    this.#wake()
    return this.#syncWaiters.wait()
  }

  /** Resolves when everybody who has joined a group so far has been told what became of it. */
  settled(): Promise<void> {
    return new Promise((resolve) => this.#queue.whenSettled(resolve))
  }

  /** Drops the segments that hold nothing above `sequence`; a few are kept for their blocks. Throws DiskErrors. */
  trim(sequence: number): Promise<void> {
    return this.#segments.trim(sequence)
  }

  /**
   * Gives the disk back what is there only to save time, for whoever finds it full. Whether that was anything. Throws
   * DiskErrors.
   */
  giveBackRoom(): Promise<boolean> {
    return this.#segments.giveBack()
  }

  /** Something else broke on which the log depends: as if its own disk had failed. */
  abandon(error: Error): void {
    this.#fail(error)
  }

  /** Refuses what comes, waits for what came before, seals and closes. Idempotent, never rejects; false: it has failed. */
  close(): Promise<boolean> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<boolean> {
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
      await this.#segments.close()
    } catch (error) {
      this.#options.log.warn('closing the log failed, of which everything is synced', { cause: String(error) })
    }
    return this.#state === 'closed'
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
    for (;;) {
      await this.#gathering.run()
      const job = this.#nextJob()
      // In the turn that saw that nothing is left: a later wish finds nobody at work.
      if (job === undefined) break
      const durable = await job
      if (durable === undefined) continue
      this.#settle(durable)
      // Most of those who commit are among them: with what they bring next, one sync does instead of two. Writers that
      // each wait for their commit would otherwise stay in two groups for ever, each with half of them.
      await nextTurn(this.#options.clock)
    }
    this.#working = false
  }

  /** How many commits may wait for company, as `Gathering` asks. */
  #mayWait(): number {
    return this.#options.fsync === 'always' && this.#state === 'open' && !this.#syncDue ? this.#queue.mayWait : 0
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
    const { fsync, fsyncIntervalMs, clock } = this.#options
    try {
      await this.#writeGroupWhereItFits(group)
    } catch (error) {
      if (isFull(error)) await this.#becomeReadOnly(group, error)
      else this.#fail(error, group)
      return undefined
    }
    if (fsync !== 'always') {
      if (fsync === 'interval') this.#syncTimer ??= clock.setTimer(fsyncIntervalMs, () => this.#wantSync())
      return group
    }
    try {
      await this.#syncSegment()
    } catch (error) {
      this.#fail(error, group)
      return undefined
    }
    this.#sealTimer.arm()
    return group
  }

  async #writeGroupWhereItFits(group: Group): Promise<void> {
    try {
      await this.#writeGroup(group)
    } catch (error) {
      if (!isFull(error)) throw error
      await this.#segments.current.cutBack()
      if (!(await this.#segments.giveBack())) throw error
      this.#options.log.warn('the disk is full: gave back the spares of the log')
      await this.#writeGroup(group)
    }
  }

  async #writeGroup(group: Group): Promise<void> {
    if (this.#segments.current.full) await this.#roll()
    const segment = this.#segments.current
    // No await where none is needed: the write is under way before the group before this one is applied.
    if (!segment.hasReserved(group.frameBytes)) await segment.reserve(group.frameBytes)
    const sequence = this.#lastSequence + 1
    const { bytes, headerCrc } = group.frame(sequence, segment.tag, this.#unsynced)
    await segment.append(bytes, headerCrc)
    this.#lastSequence = sequence
    this.#appendedBytes += bytes.length
    this.#unsynced++
    this.#unsealed = true
    this.#segments.makeRoomAhead()
  }

  async #roll(): Promise<void> {
    if (this.#unsynced > 0) await this.#syncSegment()
    await this.#segments.advance(this.#lastSequence + 1)
  }

  #settle(group: Group): void {
    // Another part of the disk may have failed while this group was being synced.
    if (this.#state === 'failed') group.failed(unavailable(undefined, 'unknown'))
    else group.durable()
    this.#queue.recycle(group)
  }

  async #syncSegment(): Promise<void> {
    this.#syncDue = false
    const waiters = this.#syncWaiters.take()
    try {
      await this.#segments.sync()
    } catch (error) {
      for (const waiter of waiters) waiter.reject(unavailable(error))
      throw error
    }
    this.#unsynced = 0
    for (const waiter of waiters) waiter.resolve()
  }

  #wantSeal(): void {
    // The groups that wait prove as much, and arm it anew.
    if (this.#state !== 'open' || !this.#queue.empty) return
    this.#sealDue = true
    this.#wake()
  }

  async #seal(): Promise<void> {
    this.#sealDue = false
    if (!this.#unsealed || this.#state === 'read-only') return
    try {
      await this.#segments.current.appendMark('seal', this.#lastSequence + 1, this.#unsynced)
    } catch (error) {
      if (!isFull(error)) throw error
      // A seal is worth nobody's refusal. The next group, or the next start, proves as much.
      return this.#segments.current.cutBack()
    }
    this.#lastSequence++
    this.#unsealed = false
    await this.#syncSegment()
  }

  #wantSync(): void {
    this.#syncTimer = undefined
    this.#sealTimer.arm()
    if (this.#unsynced === 0) return
    this.#syncDue = true
    this.#wake()
  }

  /** The disk has no room for this group: as if it had never come. Room is looked for from time to time. */
  async #becomeReadOnly(group: Group, error: DiskError): Promise<void> {
    try {
      await this.#segments.current.cutBack()
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
    this.#healTimer = this.#options.clock.setTimer(limits.logHealIntervalMs, () => {
      this.#healDue = true
      this.#wake()
    })
  }

  async #heal(): Promise<void> {
    this.#healDue = false
    if (this.#state !== 'read-only') return
    if (!(await this.#segments.findRoom())) return this.#armHeal()
    // A failure or a close may have come meanwhile.
    if (this.#state !== 'read-only') return
    this.#state = 'open'
    this.#options.log.info('the disk has room again: writable')
    // What was acknowledged just before the disk was full may not have been proven since.
    this.#sealTimer.arm()
  }

  /** Ends everything. `group` is the one that was being written: nobody can say what became of it. */
  #fail(cause: unknown, group?: Group): void {
    const error = fatal(cause)
    group?.failed(unavailable(error, 'unknown'))
    const first = this.#state !== 'failed'
    this.#state = 'failed'
    this.#queue.rejectAll(unavailable(error, 'not-applied'))
    for (const waiter of this.#syncWaiters.take()) waiter.reject(unavailable(error))
    if (first) this.#options.onFatal(error)
  }
}

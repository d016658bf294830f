import { FatalError, KvError } from '../../base/index.js'
import { DiskError, type Timer } from '../../env/index.js'
import type { Version } from '../../hlc/index.js'
import type { WriteAheadLog } from '../../wal/index.js'
import { diskFailure } from '../disk-failure.js'
import type { Recovered } from '../recovery.js'
import type { SnapshotInfo, StoreOptions } from '../store.js'
import type { Table } from '../table/table.js'
import { copyAsideSnapshot, removeSnapshotsExcept, setAsideSnapshot, takeSnapshot } from './snapshot-files.js'
import type { ForegroundLoad } from './snapshot-pace.js'

/** The newest and one older: what is found rotten has a predecessor, and the log reaches back to that one. */
const generationsKept = 2
/**
 * After a snapshot that failed, one that replaces what is rotten is tried again so often; and for want of room, the
 * log's growth alone does not start one for so long.
 */
const retryMs = 10_000

export interface SnapshotSource {
  readonly table: Table
  readonly log: WriteAheadLog
  /** Everything in the log up to this frame is in the table. */
  readonly sequence: () => number
  readonly highest: () => Version
  readonly load: ForegroundLoad
}

/**
 * Decides when snapshots are taken (by time, by bytes of log, on demand; never two at once), and drops what they make
 * superfluous: the log is trimmed only once a new snapshot has been read back, and only up to the older of the two
 * that are kept.
 */
export class Snapshots {
  readonly #options: StoreOptions
  readonly #source: SnapshotSource
  /** Sequences, newest first, of those that are not known to be damaged. */
  #generations: readonly number[]
  /**
   * Kept snapshots that are known to be damaged. They have their names until a fresh one is there: what is left of them
   * may be all that the next start has.
   */
  #rotten: readonly number[]
  #replacing: Timer | undefined
  /** A closed segment of the log, the newest that is known to be damaged: no start may need it any more. */
  #rottenSegment: number | undefined
  readonly #taken: () => void
  #newest: SnapshotInfo | undefined
  /** What `sequence()` says as long as the table is as the newest one has it. It may be higher, by marks of the log. */
  #newestCovers: number
  #running: Promise<SnapshotInfo> | undefined
  #stopped = false
  #timer: Timer | undefined
  /** `log.appendedBytes` when the newest one was begun; negative: bytes that were there before the log was opened. */
  #bytesAtNewest: number
  #notBeforeMs = 0

  /** `taken` is called when other files are kept than before. */
  constructor(options: StoreOptions, source: SnapshotSource, recovered: Recovered, taken: () => void) {
    this.#options = options
    this.#taken = taken
    this.#source = source
    this.#newest = recovered.snapshot
    this.#newestCovers = recovered.unchanged ? recovered.sequence : this.newestSequence
    this.#generations = recovered.generations
    this.#bytesAtNewest = -recovered.replayedBytes
    this.#rotten = recovered.rotten
    this.#armTimer()
    if (this.#rotten.length > 0) this.#replaceAfter(0)
  }

  /** 0: none yet, or none that is good. */
  get newestSequence(): number {
    return this.#newest?.sequence ?? 0
  }

  /** Sequences of the kept ones that are not known to be damaged, newest first. */
  get generations(): readonly number[] {
    return this.#generations
  }

  /** This kept snapshot is damaged: it stops counting, and a fresh one is taken as soon as possible. */
  replace(sequence: number): void {
    if (!this.#generations.includes(sequence)) return
    this.#generations = this.#generations.filter((kept) => kept !== sequence)
    this.#rotten = [...this.#rotten, sequence]
    if (this.#newest?.sequence === sequence) {
      this.#newest = undefined
      this.#newestCovers = 0
    }
    this.#replaceAfter(0)
  }

  /**
   * This closed segment of the log is damaged: behind a snapshot that contains all of it no start needs it. That one
   * is the only generation for a while, because the log does not go on from any older one.
   */
  replaceSegment(number: number): void {
    this.#rottenSegment = Math.max(this.#rottenSegment ?? 0, number)
    this.#replaceAfter(0)
  }

  /** To be called when the log has grown: starts a snapshot when it has grown by enough since the last. */
  logHasGrown(): void {
    const { snapshotWalBytes, clock } = this.#options
    if (snapshotWalBytes === 0 || this.#running !== undefined) return
    if (this.#source.log.appendedBytes - this.#bytesAtNewest < snapshotWalBytes) return
    if (clock.monotonicMs() >= this.#notBeforeMs) this.#takeUnasked()
  }

  /**
   * A snapshot of everything that is visible now, or the one that is just being taken: see its `sequence`. If nothing
   * has changed since the newest, that one. Rejects with KvError: `read-only` where the disk has no room for it,
   * `closed`, `unavailable`.
   */
  snapshot(): Promise<SnapshotInfo> {
    if (this.#stopped) return Promise.reject(new KvError('closed', 'the store is closed'))
    if (this.#running !== undefined) return this.#running
    const newest = this.#newest
    if (newest !== undefined && this.#isUnchanged && !this.#hasRot) return Promise.resolve(newest)
    const { instruments } = this.#options
    instruments.snapshotRunning = true
    this.#running = this.#take().finally(() => {
      instruments.snapshotRunning = false
      this.#running = undefined
    })
    return this.#running
  }

  /** Gives up the running one, and waits until its files are closed. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#replacing?.cancel()
    if (this.#running !== undefined) await Promise.allSettled([this.#running])
  }

  #armTimer(): void {
    const { clock, snapshotIntervalMs } = this.#options
    if (snapshotIntervalMs === 0) return
    this.#timer = clock.setTimer(snapshotIntervalMs, () => {
      this.#armTimer()
      this.#takeUnasked()
    })
  }

  #takeUnasked(): void {
    if (this.#isUnchanged) return
    this.snapshot().catch((error: unknown) => {
      // What ends the process has been told by #take; the rest may succeed next time, and nothing depends on it.
      if (!this.#stopped) this.#options.log.warn('no snapshot was taken', { cause: String(error) })
    })
  }

  get #isUnchanged(): boolean {
    return this.#source.sequence() === this.#newestCovers
  }

  get #hasRot(): boolean {
    return this.#rotten.length > 0 || this.#rottenSegment !== undefined
  }

  /** Takes a fresh snapshot for the sake of what is rotten, again and again until one succeeds. */
  #replaceAfter(delayMs: number): void {
    if (this.#stopped || this.#replacing !== undefined) return
    this.#replacing = this.#options.clock.setTimer(delayMs, () => {
      this.#replacing = undefined
      const segment = this.#rottenSegment
      this.snapshot().then(
        // The one that was running when the next damage was found had begun without knowing of it. A segment that is
        // still needed behind one that knew of it is not to be tried again without a pause.
        () =>
          this.#hasRot && this.#replaceAfter(segment !== undefined && segment === this.#rottenSegment ? retryMs : 0),
        (error: unknown) => {
          if (this.#stopped) return
          this.#options.log.warn('no snapshot was taken in place of a damaged one', { cause: String(error) })
          this.#replaceAfter(retryMs)
        },
      )
    })
  }

  async #take(): Promise<SnapshotInfo> {
    const { clock } = this.#options
    const bytesAtStart = this.#source.log.appendedBytes
    const startedMs = clock.monotonicMs()
    const sequence = this.#source.sequence()
    try {
      const newest = this.#newest
      const isCurrent = newest !== undefined && newest.sequence === sequence
      if (!isCurrent && this.#rotten.includes(sequence)) await this.#keepCopy(sequence)
      const info = isCurrent ? newest : await this.#write(sequence)
      this.#bytesAtNewest = bytesAtStart
      this.#newest = info
      this.#newestCovers = sequence
      this.#generations = [sequence, ...this.#generations.filter((older) => older < sequence)].slice(0, generationsKept)
      await this.#dropSuperfluous()
      this.#taken()
      if (!isCurrent) this.#took(info, startedMs)
      return info
    } catch (error) {
      this.#options.instruments.snapshotsFailed++
      throw this.#failure(error)
    }
  }

  #took(info: SnapshotInfo, startedMs: number): void {
    const { clock, log, instruments } = this.#options
    const nowMs = clock.monotonicMs()
    const tookMs = Math.round(nowMs - startedMs)
    instruments.snapshots++
    instruments.snapshotMs = tookMs
    instruments.snapshotBytes = info.bytes
    instruments.snapshotTakenMs = nowMs
    instruments.events.add('snapshot', '', `${info.records} records, ${info.bytes} bytes, in ${tookMs} ms`)
    log.info('took a snapshot', { ...info, tookMs })
  }

  /** A fresh snapshot will replace this rotten one under its name. Evidence is not worth the failure of that. */
  async #keepCopy(sequence: number): Promise<void> {
    try {
      await copyAsideSnapshot(this.#options.disk, sequence)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      if (error.code === 'not-found') return // set aside already
      this.#options.log.warn('a damaged snapshot is replaced without a copy', { sequence, cause: error.message })
    }
  }

  async #write(sequence: number): Promise<SnapshotInfo> {
    const { disk, clock, clusterId, incarnation } = this.#options
    const { table, log, highest, load } = this.#source
    const syncLog = (): Promise<void> => log.sync()
    const stopped = (): boolean => this.#stopped
    const request = { disk, clock, clusterId, incarnation, table, sequence, highest, syncLog, stopped, load }
    try {
      return await takeSnapshot(request)
    } catch (error) {
      if (error instanceof DiskError && error.code === 'full' && (await log.giveBackRoom())) {
        return await takeSnapshot(request)
      }
      if (error instanceof FatalError && error.reason === 'corrupt') await setAsideSnapshot(disk, sequence)
      throw error
    }
  }

  async #dropSuperfluous(): Promise<void> {
    const { disk } = this.#options
    const rotten = this.#rotten
    const { log } = this.#source
    // A fresh one that was begun before the damage was found need not contain the whole segment.
    const segment = this.#rottenSegment
    const [newest] = this.#generations
    if (segment !== undefined && newest !== undefined) {
      this.#generations = [newest]
      await log.trim(newest)
      if (!log.settledSegments.includes(segment)) this.#rottenSegment = undefined
    }
    for (const sequence of rotten) if (!this.#generations.includes(sequence)) await setAsideSnapshot(disk, sequence)
    await removeSnapshotsExcept(disk, this.#generations, rotten)
    this.#rotten = this.#rotten.filter((sequence) => !rotten.includes(sequence))
    // With a single generation the log is left as it is: if it reaches back to its beginning, it is the older one.
    const older = this.#generations[generationsKept - 1]
    if (older !== undefined) await log.trim(older)
  }

  /**
   * Nothing depends on a snapshot that found no room or did not read back: the older ones and the log are all there.
   * Every other error means a disk that is not to be trusted.
   */
  #failure(error: unknown): KvError {
    if (error instanceof KvError) return error
    if (error instanceof FatalError && error.reason === 'corrupt') {
      this.#options.log.error('a new snapshot did not read back', { cause: error.message })
      return new KvError('unavailable', 'the snapshot did not read back', { cause: error })
    }
    if (error instanceof DiskError && error.code === 'full') {
      this.#notBeforeMs = this.#options.clock.monotonicMs() + retryMs
    }
    return diskFailure(error, this.#source.log, 'a snapshot')
  }
}

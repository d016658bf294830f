import { FatalError, KvError } from '../base/index.js'
import { DiskError, type Timer } from '../env/index.js'
import type { Version } from '../hlc/index.js'
import type { WriteAheadLog } from '../wal/index.js'
import { diskFailure } from './disk-failure.js'
import type { Recovered } from './recovery.js'
import { removeSnapshotsExcept, setAsideSnapshot, takeSnapshot } from './snapshot-files.js'
import type { SnapshotInfo, StoreOptions } from './store.js'
import type { Table } from './table.js'

/** The newest and one older: what is found rotten has a predecessor, and the log reaches back to that one. */
const generationsKept = 2
/** After a snapshot that failed for want of room, the log's growth alone does not start one for so long. */
const retryMs = 10_000

export interface SnapshotSource {
  readonly table: Table
  readonly log: WriteAheadLog
  /** The last group of the log that is in the table. */
  readonly sequence: () => number
  readonly highest: () => Version
}

/**
 * Decides when snapshots are taken (by time, by bytes of log, on demand; never two at once), and drops what they make
 * superfluous: the log is trimmed only once a new snapshot has been read back, and only up to the older of the two
 * that are kept.
 */
export class Snapshots {
  readonly #options: StoreOptions
  readonly #source: SnapshotSource
  /** Sequences, newest first. The first is known to be good. */
  #generations: readonly number[]
  #newest: SnapshotInfo | undefined
  #running: Promise<SnapshotInfo> | undefined
  #stopped = false
  #timer: Timer | undefined
  /** `log.appendedBytes` when the newest one was begun; negative: bytes that were there before the log was opened. */
  #bytesAtNewest: number
  #notBeforeMs = 0

  constructor(options: StoreOptions, source: SnapshotSource, recovered: Recovered) {
    this.#options = options
    this.#source = source
    this.#newest = recovered.snapshot
    this.#generations = recovered.generations
    this.#bytesAtNewest = -recovered.replayedBytes
    this.#armTimer()
  }

  /** 0: none yet. */
  get newestSequence(): number {
    return this.#newest?.sequence ?? 0
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
    if (newest !== undefined && newest.sequence === this.#source.sequence()) return Promise.resolve(newest)
    this.#running = this.#take().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Gives up the running one, and waits until its files are closed. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
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
    if (this.#source.sequence() === this.newestSequence) return
    this.snapshot().catch((error: unknown) => {
      // What ends the process has been told by #take; the rest may succeed next time, and nothing depends on it.
      if (!this.#stopped) this.#options.log.warn('no snapshot was taken', { cause: String(error) })
    })
  }

  async #take(): Promise<SnapshotInfo> {
    const { clock, log } = this.#options
    const bytesAtStart = this.#source.log.appendedBytes
    const startedMs = clock.monotonicMs()
    const sequence = this.#source.sequence()
    try {
      const info = await this.#write(sequence)
      this.#bytesAtNewest = bytesAtStart
      this.#newest = info
      this.#generations = [sequence, ...this.#generations.filter((older) => older < sequence)].slice(0, generationsKept)
      await this.#dropSuperfluous()
      log.info('took a snapshot', { ...info, tookMs: Math.round(clock.monotonicMs() - startedMs) })
      return info
    } catch (error) {
      throw this.#failure(error)
    }
  }

  async #write(sequence: number): Promise<SnapshotInfo> {
    const { disk, clock, clusterId, incarnation } = this.#options
    const { table, log, highest } = this.#source
    const syncLog = (): Promise<void> => log.sync()
    const stopped = (): boolean => this.#stopped
    try {
      return await takeSnapshot({ disk, clock, clusterId, incarnation, table, sequence, highest, syncLog, stopped })
    } catch (error) {
      if (error instanceof FatalError && error.reason === 'corrupt') await setAsideSnapshot(disk, sequence)
      throw error
    }
  }

  async #dropSuperfluous(): Promise<void> {
    await removeSnapshotsExcept(this.#options.disk, this.#generations)
    // With a single generation the older one is the empty store, and the log reaches back to its beginning.
    const older = this.#generations[generationsKept - 1]
    if (older !== undefined) await this.#source.log.trim(older)
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

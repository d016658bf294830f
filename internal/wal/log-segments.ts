import { assert } from '../base/index.js'
import { syncDirectory } from './durable.js'
import { type ClosedSegment, logDirectory } from './log-directory.js'
import type { LogTail } from './log-reader.js'
import type { WalOptions } from './options.js'
import { SegmentFile } from './segment-file.js'
import { SegmentMaker } from './segment-maker.js'

/**
 * The segments of a log, from the oldest that is kept to the next one that is being made. What happens to a file that
 * no commit is written into (the next one, the one before) happens here, beside the commits; what must end the process
 * is told to `onFailure`.
 */
export class LogSegments {
  readonly #options: WalOptions
  readonly #onFailure: (error: unknown) => void
  readonly #maker: SegmentMaker
  readonly #closed: ClosedSegment[]
  #current: SegmentFile
  /** The segment before, when nothing of this one has been synced yet. */
  #superseded: SegmentFile | undefined
  /** The segment before is getting its end mark. Never rejects. */
  #finishing: Promise<void> | undefined
  /** Number of the segment whose file is just being given away. */
  #dropping: number | undefined

  private constructor(
    options: WalOptions,
    current: SegmentFile,
    closed: readonly ClosedSegment[],
    onFailure: (error: unknown) => void,
  ) {
    this.#options = options
    this.#onFailure = onFailure
    this.#maker = new SegmentMaker(options, onFailure)
    this.#current = current
    this.#closed = [...closed]
  }

  /** Takes them over at the tail that `replayLog` found. Throws DiskErrors. */
  static async open(options: WalOptions, tail: LogTail, onFailure: (error: unknown) => void): Promise<LogSegments> {
    // Names may have survived the former process without having been made durable.
    await syncDirectory(options.disk, logDirectory)
    const current =
      tail.last === undefined
        ? await SegmentFile.createFirst(options)
        : await SegmentFile.resume(options, tail.last, tail)
    try {
      const segments = new LogSegments(options, current, tail.closed, onFailure)
      await segments.#maker.adopt(tail.spares, tail.unbegun, current.number)
      await current.reserve(1)
      return segments
    } catch (error) {
      await current.close()
      throw error
    }
  }

  /** The one that is written. */
  get current(): SegmentFile {
    return this.#current
  }

  /** Numbers of the closed ones that stay as they are, and behind which the next one's header is durable. */
  get settled(): readonly number[] {
    const isFinished = this.#superseded === undefined && this.#finishing === undefined
    const numbers = this.#closed.slice(0, isFinished ? undefined : -1).map(({ number }) => number)
    return numbers[0] === this.#dropping ? numbers.slice(1) : numbers
  }

  get count(): number {
    return this.#closed.length + 1
  }

  /** Of all, up to their last frames. */
  get bytes(): number {
    let bytes = this.#current.position
    for (const segment of this.#closed) bytes += segment.bytes
    return bytes
  }

  /**
   * Goes on in the next segment, with frame `firstSequence`. It is ready, unless the disk was slower than the commits.
   * Everything in the current one is durable.
   */
  async advance(firstSequence: number): Promise<void> {
    const old = this.#current
    assert(this.#superseded === undefined, 'a segment is left that was never synced')
    await this.#finishing
    const made = await this.#maker.take(old.number + 1)
    this.#current = await SegmentFile.begin(this.#options, made, { firstSequence, previousCrc: old.lastCrc })
    this.#closed.push({ number: old.number, firstSequence: old.firstSequence, bytes: old.position })
    this.#superseded = old
  }

  /** To be called when a group has been written: sees to the blocks of the next ones. */
  makeRoomAhead(): void {
    this.#current.growAhead()?.catch(this.#onFailure)
    // Not before this one's header is durable: of two files without a header a start could not tell which comes next.
    // With `--fsync never` that is when it is full, and the next one is made in a hurry.
    if (this.#superseded === undefined && this.#current.needsSuccessor) this.#maker.prepare(this.#current.number + 1)
  }

  /** Makes everything durable that is in the current one. Any failure is a FatalError. */
  async sync(): Promise<void> {
    const { clock, instruments } = this.#options
    const startedMs = clock.monotonicMs()
    await this.#current.sync()
    instruments.fdatasyncs++
    instruments.fdatasync.record(startedMs, clock.monotonicMs())
    const old = this.#superseded
    if (old === undefined) return
    // Only now: the mark says that the segment behind it, header and all, is durable.
    this.#superseded = undefined
    const finished = old.finish(this.#current.firstSequence).catch(this.#onFailure)
    this.#finishing = finished.finally(() => {
      this.#finishing = undefined
    })
  }

  /**
   * Drops the segments that hold nothing above `sequence`, oldest first and each one durably before the next: after a
   * crash the rest is still without a gap. Throws DiskErrors.
   */
  async trim(sequence: number): Promise<void> {
    for (;;) {
      // Its file must not become another segment while it is written.
      await this.#finishing
      const oldest = this.#closed[0]
      const next = this.#closed[1]?.firstSequence ?? this.#current.firstSequence
      if (oldest === undefined || next > sequence + 1 || oldest.number === this.#superseded?.number) return
      this.#dropping = oldest.number
      await this.#maker.keep(oldest.number)
      this.#closed.shift()
    }
  }

  /**
   * Whether the current one can grow by a whole step again, in the room of spares where there is no other: segments that
   * a snapshot has made superfluous since the disk was full are kept as such. Throws DiskErrors.
   */
  async findRoom(): Promise<boolean> {
    if (await this.#current.findRoom()) return true
    return (await this.#maker.giveBack()) && (await this.#current.findRoom())
  }

  /** See `SegmentMaker.giveBack`. */
  giveBack(): Promise<boolean> {
    return this.#maker.giveBack()
  }

  async close(): Promise<void> {
    await this.#maker.close()
    await this.#finishing
    await this.#superseded?.close()
    await this.#current.close()
  }
}

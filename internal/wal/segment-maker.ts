import { assert, limits } from '../base/index.js'
import { type DiskFile, writeFully } from '../env/index.js'
import { createDurably, removeIfThere, syncDirectory, syncFile } from './durable.js'
import { logDirectory, nextSegmentPath, readSegmentHeader, segmentPath, sparePath } from './log-directory.js'
import { isFull } from './log-errors.js'
import type { UnbegunSegment } from './log-reader.js'
import type { WalOptions } from './options.js'
import { segmentHeaderBytes } from './segment-header.js'

/** A file that has the name of a segment, durably, and has not begun: no header, and no frame of that segment. */
export interface MadeSegment {
  readonly number: number
  /** Open for writing; whoever takes it closes it. */
  readonly file: DiskFile
  /** Up to where its blocks are there. */
  readonly allocated: number
}

const noHeader = new Uint8Array(segmentHeaderBytes)

/**
 * Makes the segments of a log ahead of time, so that no commit waits for it (FORMAT.md, "Making a segment"). Keeps
 * segments that are not needed any more as spares: fdatasync of a small append costs half as much on blocks that are
 * there already. (Recycled log files: PostgreSQL's WAL, RocksDB's `recycle_log_file_num`.)
 *
 * What it holds on the disk beyond the log is bounded by `limits.logSparesMax` spares and one made segment, and is the
 * first thing to be given back when the disk is full. Errors are DiskErrors, and FatalError where a sync failed.
 */
export class SegmentMaker {
  readonly #options: WalOptions
  /** What went wrong behind everybody's back, other than a lack of room. Called at most once. */
  readonly #onFailure: (error: unknown) => void
  /** Numbers of the spares, the oldest first. */
  readonly #spares: number[] = []
  /** Spares that are getting their names. */
  #arriving = 0
  #ready: MadeSegment | undefined
  /** Settles when the one that is being made ahead of time is ready or given up; never rejects. */
  #making: Promise<void> | undefined
  /** What is given back is being removed; a segment may have one of these names only when that is done. */
  #removal: Promise<void> | undefined
  /** Somebody waits for it: make do with the blocks that are there. */
  #hurried = false
  #failure: unknown
  #notBeforeMs = 0
  #closed = false

  constructor(options: WalOptions, onFailure: (error: unknown) => void) {
    this.#options = options
    this.#onFailure = onFailure
  }

  /**
   * Takes over what a former process has left: the spares with these numbers and the file of a segment that has not
   * begun, `last` being the number of the log's last segment. Removes what cannot be a spare (FORMAT.md).
   */
  async adopt(spares: readonly number[], unbegun: UnbegunSegment | undefined, last: number): Promise<void> {
    const { disk } = this.#options
    for (const number of spares) {
      if (number < last && this.#spares.length < limits.logSparesMax) this.#spares.push(number)
      else await disk.remove(sparePath(number))
    }
    if (unbegun === undefined) return
    if (unbegun.used) {
      await disk.remove(segmentPath(unbegun.number))
      await syncDirectory(disk, logDirectory)
      return
    }
    await this.keep(unbegun.number)
    // Before all others: its own segment is the next one, and must not be kept later beside a spare of the same name.
    if (this.#spares.at(-1) === unbegun.number) this.#spares.unshift(this.#spares.pop()!)
  }

  /**
   * Begins to make segment `number`, the next one, unless that is done or under way, or the disk has had no room
   * lately. To be called as often as one likes.
   */
  prepare(number: number): void {
    if (this.#ready !== undefined || this.#making !== undefined || this.#closed) return
    if (this.#options.clock.monotonicMs() < this.#notBeforeMs) return
    this.#hurried = false
    this.#making = this.#makeAhead(number).finally(() => {
      this.#making = undefined
    })
  }

  /** Segment `number`: the one that is ready, the one under way as it is, or one that is made now. */
  async take(number: number): Promise<MadeSegment> {
    this.#hurried = true
    await this.#making
    // A snapshot may just be giving back the file of this very name: it must not remove the one that is made instead.
    await this.#removal
    if (this.#failure !== undefined) throw this.#failure
    const ready = this.#ready
    this.#ready = undefined
    assert(ready === undefined || ready.number === number, 'the next segment was made for another place in the log')
    this.#hurried = true
    return ready ?? (await this.#make(number))
  }

  /** Segment `number` is not needed any more: it becomes a spare, or is removed where there are enough. Durable. */
  async keep(number: number): Promise<void> {
    const { disk, clock } = this.#options
    const wanted =
      this.#spares.length + this.#arriving < limits.logSparesMax && clock.monotonicMs() >= this.#notBeforeMs
    if (!wanted) return await this.#remove([segmentPath(number)])
    assert(!this.#spares.includes(number), `segment ${number} is kept as a spare twice`)
    this.#arriving++
    try {
      await disk.rename(segmentPath(number), sparePath(number))
      await syncDirectory(disk, logDirectory)
      this.#spares.push(number)
    } catch (error) {
      if (!isFull(error)) throw error
      // A new name may need a block of the directory.
      await this.#remove([segmentPath(number)])
    } finally {
      this.#arriving--
    }
  }

  /**
   * Gives back the room of all spares and of the segment that was made ahead of time, and keeps from asking for any
   * for a while. Whether there was something to give back, by this call or by one that was under way.
   */
  async giveBack(): Promise<boolean> {
    const { clock } = this.#options
    this.#notBeforeMs = clock.monotonicMs() + limits.logRoomRetryMs
    this.#hurried = true
    await this.#making
    let gaveBack = false
    while (this.#removal !== undefined) {
      await this.#removal
      gaveBack = true
    }
    const paths = this.#spares.splice(0).map(sparePath)
    const ready = this.#ready
    this.#ready = undefined
    if (ready !== undefined) paths.push(segmentPath(ready.number))
    if (paths.length === 0) return gaveBack
    this.#removal = this.#discard(ready, paths)
    try {
      await this.#removal
    } finally {
      this.#removal = undefined
    }
    return true
  }

  /** Makes nothing any more. What is ready stays on the disk, for the next start. */
  async close(): Promise<void> {
    this.#closed = true
    this.#hurried = true
    await this.#making
    const ready = this.#ready
    this.#ready = undefined
    await ready?.file.close()
  }

  async #discard(ready: MadeSegment | undefined, paths: readonly string[]): Promise<void> {
    await ready?.file.close()
    await this.#remove(paths)
  }

  async #remove(paths: readonly string[]): Promise<void> {
    const { disk } = this.#options
    for (const path of paths) await removeIfThere(disk, path)
    await syncDirectory(disk, logDirectory)
  }

  async #makeAhead(number: number): Promise<void> {
    try {
      this.#ready = await this.#make(number)
    } catch (error) {
      if (isFull(error)) {
        // Nothing needs it yet: when it does, whatever there is will be asked for again.
        this.#notBeforeMs = this.#options.clock.monotonicMs() + limits.logRoomRetryMs
        return
      }
      this.#failure = error
      this.#onFailure(error)
    }
  }

  async #make(number: number): Promise<MadeSegment> {
    const { disk } = this.#options
    const path = segmentPath(number)
    const allocated = (await this.#recycle(path)) ?? (await this.#create(path))
    // Opened anew, so that errors name the file as people find it.
    return { number, file: await disk.open(path, 'write'), allocated }
  }

  async #create(path: string): Promise<number> {
    let allocated = 0
    await createDurably(this.#options.disk, nextSegmentPath, path, async (file) => {
      allocated = await this.#preallocate(file)
    })
    return allocated
  }

  /** At least the header finds its room here, so that no segment is begun in vain. */
  async #preallocate(file: DiskFile): Promise<number> {
    const { preallocateBytes, segmentBytes } = this.#options
    let size = segmentHeaderBytes
    await file.preallocate(size)
    while (size < segmentBytes && !this.#hurried) {
      size = Math.min(size + preallocateBytes, segmentBytes)
      // Step by step: many megabytes at once would hold up the log's own syncs.
      await syncFile(file)
      await file.preallocate(size)
    }
    return size
  }

  /** Gives a spare the name `path`; its size. Undefined: there is none. */
  async #recycle(path: string): Promise<number | undefined> {
    const { disk } = this.#options
    for (;;) {
      const number = this.#spares.shift()
      if (number === undefined) return undefined
      const from = sparePath(number)
      const size = await this.#clearHeader(from, number)
      if (size === undefined) {
        this.#options.log.warn('removed a spare that is not of this log', { path: from })
        await this.#remove([from])
        continue
      }
      await disk.rename(from, path)
      await syncDirectory(disk, logDirectory)
      return size
    }
  }

  /** Before the file has a segment's name: there the header of a former life would be damage. */
  async #clearHeader(path: string, number: number): Promise<number | undefined> {
    const file = await this.#options.disk.open(path, 'write')
    try {
      const size = await file.size()
      if (!(await this.#isOurs(file, number, size))) return undefined
      await writeFully(file, noHeader, 0)
      await syncFile(file)
      return size
    } finally {
      await file.close()
    }
  }

  /** A spare has the header of the segment that it was last, or none where it was made ready once and not begun. */
  async #isOurs(file: DiskFile, number: number, size: number): Promise<boolean> {
    if (size < segmentHeaderBytes) return false
    const header = await readSegmentHeader(file)
    if (typeof header === 'string') return true
    const { clusterId, incarnation } = this.#options
    return header.number === number && header.clusterId === clusterId && header.incarnation === incarnation
  }
}

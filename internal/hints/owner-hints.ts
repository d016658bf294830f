import { limits } from '../base/index.js'
import { hlcMs } from '../hlc/index.js'
import { encodedRecordBytes, type StoredRecord } from '../record/index.js'
import { frameHeaderBytes } from '../wal/index.js'
import { HintBuffer, type HintFrame } from './hint-buffer.js'
import { type HintFileReader, type HintFileWriter, type HintPage, hintHeaderBytes } from './hint-file.js'
import { type HintGround, type HintOwner, type HintUsage, OwnerFiles } from './owner-files.js'

/** A file that is not being written any more. */
interface ClosedFile {
  readonly number: number
  readonly bytes: number
  readonly hints: number
  /** The wall clock at the oldest of them. */
  readonly oldestMs: number
  /** How far it has been handed over. */
  position: number
}

/** The file that is being written. */
interface OpenFile {
  readonly writer: HintFileWriter
  readonly sinceMs: number
  readonly oldestMs: number
  hints: number
}

/** Whether everything is to be removed, and nothing taken: for want of room, or because the member is no more. */
export type Condemned = 'no' | 'for room' | 'for good'

const noRoom = 'the disk is short of room'

/**
 * The hints for one member. They are added at any time; one caller at a time writes (`write`, `discard`), and one at a
 * time reads and removes (what has `Front` in its name, and `dropBefore`), which touches closed files only. Nothing here
 * fails: what cannot be kept is dropped, counted, and `owed` says so until somebody has seen to it.
 */
export class OwnerHints {
  readonly owner: HintOwner
  /** Hints were dropped since this was last set to false: anti-entropy has to bring what they would have brought. */
  owed = false
  readonly #ground: HintGround
  readonly #usage: HintUsage
  readonly #files: OwnerFiles
  readonly #buffer = new HintBuffer()
  #bufferedSinceMs = 0
  #open: OpenFile | undefined
  readonly #closed: ClosedFile[] = []
  #nextNumber = 1
  #bytes = 0
  #count = 0
  #dropped = 0
  #condemned: Condemned = 'no'

  constructor(ground: HintGround, usage: HintUsage, owner: HintOwner) {
    this.#ground = ground
    this.#usage = usage
    this.#files = new OwnerFiles(ground, usage, owner)
    this.owner = owner
  }

  /** Hints that wait, as far as they have not been handed over; those of a file that is half done all count. */
  get count(): number {
    return this.#count
  }

  /** In files and in memory. */
  get bytes(): number {
    return this.#bytes
  }

  get condemned(): Condemned {
    return this.#condemned
  }

  /** The wall clock at the oldest hint; undefined: there is none. */
  get oldestMs(): number | undefined {
    const oldest = this.#closed[0]?.oldestMs ?? this.#open?.oldestMs
    return oldest ?? (this.#count === 0 ? undefined : this.#bufferedSinceMs)
  }

  /** Since this node started. */
  get dropped(): number {
    return this.#dropped
  }

  get empty(): boolean {
    return this.#count === 0 && this.#open === undefined
  }

  get hasFront(): boolean {
    return this.#closed.length > 0
  }

  /** Takes note of the files that an earlier life of this node has left. Those that cannot be read are removed. */
  async rescan(): Promise<void> {
    for (const number of await this.#files.numbers()) {
      this.#nextNumber = number + 1
      const survey = await this.#files.survey(number)
      if (survey === undefined || survey.flaw !== '') this.owed = true
      if (survey === undefined || survey.hints === 0) await this.#files.remove(number)
      else {
        this.#closed.push({ ...survey, position: hintHeaderBytes })
        this.#account(survey.bytes, survey.hints)
      }
    }
  }

  /** Keeps a copy of a record, where the bounds allow it. Its stamp tells how old the hint is. */
  keep(record: StoredRecord): void {
    if (this.#condemned === 'for good') return
    const bytes = encodedRecordBytes(record)
    const obstacle = this.#obstacle(bytes)
    if (obstacle !== '') {
      this.#drop(1, obstacle)
      return
    }
    if (this.#buffer.count === 0) this.#bufferedSinceMs = hlcMs(record)
    this.#buffer.add(record)
    this.#account(bytes, 1)
    this.#usage.buffered += bytes
    this.#ground.instruments.hintsWritten++
  }

  /** Takes account of a hint that is not kept because the disk is short of room. */
  dropForRoom(): void {
    this.#drop(1, noRoom)
  }

  /** From now on nothing is taken; `discard` and `dropBefore` empty it. */
  condemn(why: Exclude<Condemned, 'no'>): void {
    if (this.#condemned !== 'for good') this.#condemned = why
  }

  /** Takes hints again once everything is gone. */
  reprieve(): void {
    if (this.#condemned === 'for room' && this.empty) this.#condemned = 'no'
  }

  /** Writes what is buffered; `sync` makes it durable; `close` lets it be read, in a file of its own. */
  async write({ sync, close }: { readonly sync: boolean; readonly close: boolean }): Promise<void> {
    const oldestMs = this.#bufferedSinceMs
    for (const frame of this.#take()) await this.#append(frame, oldestMs)
    const open = this.#open
    if (open === undefined) return
    const { bytes } = open.writer
    const full = bytes >= limits.hintFileBytes || this.#nowMs() - open.sinceMs >= limits.hintFileMsMax
    if (sync || close || full) await this.#sync(open)
    if (close || full) await this.#close()
  }

  /** Gives up what no file holds, and closes the one that is being written. For those that are condemned. */
  async discard(): Promise<void> {
    for (const frame of this.#take()) this.#dropFrame(frame, this.#condemned === 'for room' ? noRoom : '')
    await this.#close()
  }

  /** Opens the oldest closed file where reading it stopped; undefined: it cannot be read, and is gone. */
  async openFront(): Promise<HintFileReader | undefined> {
    const [front] = this.#closed
    if (front === undefined) return undefined
    const reader = await this.#files.open(front.number, front.position)
    if (reader !== undefined) return reader
    await this.#dropFront('a file of them is damaged')
    return undefined
  }

  /** The next frame of the oldest closed file; undefined: there is none, or it cannot be read. */
  readFront(reader: HintFileReader): Promise<HintPage | undefined> {
    return this.#files.attempt(this.#frontPath, () => reader.next())
  }

  /** What has been read of it so far needs not be read again. */
  advanceFront({ position }: HintFileReader): void {
    const [front] = this.#closed
    if (front !== undefined) front.position = position
  }

  /** Stops reading it. `done`: there was no more to read, and the file is removed. */
  async closeFront(reader: HintFileReader, done: boolean): Promise<void> {
    const [front] = this.#closed
    await this.#files.attempt(this.#frontPath, () => reader.close())
    if (!done || front === undefined) return
    if (reader.position < front.bytes) await this.#dropFront('a file of them is damaged')
    else await this.#removeFront()
  }

  /** Removes the closed files of hints that are older than this wall clock; all of them where they are condemned. */
  async dropBefore(wallMs: number): Promise<void> {
    for (let [front] = this.#closed; front !== undefined; [front] = this.#closed) {
      if (this.#condemned === 'for good') await this.#removeFront()
      else if (this.#condemned === 'for room') await this.#dropFront(noRoom)
      else if (front.oldestMs < wallMs) await this.#dropFront('they are too old')
      else return
    }
  }

  get #frontPath(): string {
    return this.#files.path(this.#closed[0]?.number ?? 0)
  }

  async #dropFront(reason: string): Promise<void> {
    this.#drop(this.#closed[0]?.hints ?? 0, reason)
    await this.#removeFront()
  }

  async #removeFront(): Promise<void> {
    const [front] = this.#closed
    if (front === undefined) return
    await this.#files.remove(front.number)
    this.#closed.shift()
    this.#account(-front.bytes, -front.hints)
  }

  #account(bytes: number, hints: number): void {
    this.#bytes += bytes
    this.#count += hints
    this.#usage.bytes += bytes
  }

  #nowMs(): number {
    return this.#ground.clock.monotonicMs()
  }

  #obstacle(bytes: number): string {
    if (this.#condemned !== 'no') return noRoom
    if (this.#bytes + bytes > limits.hintOwnerBytesMax) return 'too many wait for this member'
    if (this.#usage.bytes + bytes > limits.hintBytesMax) return 'too many wait'
    return this.#usage.buffered + bytes > limits.hintBufferBytesMax ? 'the disk is too slow' : ''
  }

  #drop(count: number, reason: string): void {
    this.#dropped += count
    this.#ground.instruments.hintsDropped += count
    // Once for each time that anti-entropy is called upon, not for each hint.
    if (this.owed) return
    this.owed = true
    this.#ground.log.warn('hints are dropped: anti-entropy will bring what they say', { node: this.owner.id, reason })
  }

  /** Takes account of a frame that no file will hold; `reason` empty: in silence. */
  #dropFrame({ bytes, records }: HintFrame, reason: string): void {
    this.#account(frameHeaderBytes - bytes.length, -records)
    if (reason !== '') this.#drop(records, reason)
  }

  /** What is taken counts until it has been written or dropped. */
  #take(): readonly HintFrame[] {
    this.#usage.buffered -= this.#buffer.bytes
    return this.#buffer.take()
  }

  async #append(frame: HintFrame, oldestMs: number): Promise<void> {
    const open = this.#open ?? (await this.#begin(oldestMs))
    if (open === undefined) {
      this.#dropFrame(frame, 'no file can be written')
      return
    }
    const done = await this.#files.attempt(open.writer.path, async () => {
      await open.writer.append(frame.bytes, frame.records)
      return true
    })
    if (done === true) {
      open.hints += frame.records
      this.#account(frameHeaderBytes, 0)
      return
    }
    this.#dropFrame(frame, 'they cannot be written')
    await this.#close()
  }

  async #begin(oldestMs: number): Promise<OpenFile | undefined> {
    const writer = await this.#files.create(this.#nextNumber++)
    if (writer === undefined) return undefined
    this.#account(writer.bytes, 0)
    this.#open = { writer, sinceMs: this.#nowMs(), oldestMs, hints: 0 }
    return this.#open
  }

  async #sync(open: OpenFile): Promise<void> {
    const done = await this.#files.attempt(open.writer.path, async () => {
      await open.writer.sync()
      return true
    })
    // After a failed sync nobody knows what is there (see `syncFile` of the log): none of it is counted on.
    if (done !== true && this.#open === open) {
      this.#drop(open.hints, 'they cannot be made durable')
      this.#account(0, -open.hints)
      open.hints = 0
      await this.#close()
    }
  }

  async #close(): Promise<void> {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    const { writer, hints, oldestMs } = open
    await this.#files.attempt(writer.path, () => writer.close())
    if (hints > 0) {
      this.#closed.push({ number: writer.number, bytes: writer.bytes, hints, oldestMs, position: hintHeaderBytes })
      return
    }
    this.#account(-writer.bytes, 0)
    await this.#files.remove(writer.number)
  }
}

import { emptyBytes, limits } from '../../base/index.js'
import type { Disk, DiskFile } from '../../env/index.js'

/** What reading a file from front to back takes of it. */
export type ReadableFile = Pick<DiskFile, 'size' | 'read' | 'close'>

/** What came of a read that nobody may be waiting for yet. */
type Outcome = { readonly bytes: Uint8Array } | { readonly error: unknown }

/**
 * A file that is read ahead: while its reader works on a piece, the next one is on its way from the disk. Without it a
 * start that reads a snapshot waited for the disk, or for the thread that copies from the system's memory, for a
 * seventh to a quarter of its time on a busy machine. Two buffers of `limits.readChunkBytes`, or of what the file holds; a reader that jumps loses
 * what was read ahead.
 */
export class ReadAheadFile implements ReadableFile {
  readonly #file: ReadableFile
  /** What was read and not yet taken; it starts at `#position` of the file. */
  #current: Uint8Array = emptyBytes
  #position = 0
  /** The read under way, of what follows `#current`. */
  #next: Promise<Outcome> | undefined
  /** The one that `#current` lies in, and the one that `#next` fills. */
  #buffers: readonly [Uint8Array, Uint8Array] = [emptyBytes, emptyBytes]

  constructor(file: ReadableFile) {
    this.#file = file
  }

  size(): Promise<number> {
    return this.#file.size()
  }

  /** As `DiskFile.read`; but calls must not overlap. An error of the disk is thrown by the call that wants its bytes. */
  async read(into: Uint8Array, position: number): Promise<number> {
    if (position !== this.#position || this.#next === undefined) await this.#start(position)
    if (this.#current.length === 0) await this.#advance()
    const taken = Math.min(into.length, this.#current.length)
    into.set(this.#current.subarray(0, taken))
    this.#current = this.#current.subarray(taken)
    this.#position += taken
    return taken
  }

  async close(): Promise<void> {
    await this.#next
    await this.#file.close()
  }

  async #start(position: number): Promise<void> {
    await this.#next
    if (this.#buffers[0].length === 0) {
      // One byte more than there is: so a file that has grown is seen, and a small one costs little.
      const bytes = Math.min(limits.readChunkBytes, (await this.#file.size()) + 1)
      this.#buffers = [new Uint8Array(bytes), new Uint8Array(bytes)]
    }
    this.#position = position
    this.#current = emptyBytes
    this.#next = this.#readInto(this.#buffers[1], position)
  }

  async #advance(): Promise<void> {
    const outcome = await this.#next!
    if ('error' in outcome) {
      this.#next = undefined
      throw outcome.error
    }
    const [free, filled] = this.#buffers
    this.#buffers = [filled, free]
    this.#current = outcome.bytes
    this.#next = this.#readInto(free, this.#position + outcome.bytes.length)
  }

  /** Never rejects: whoever wants these bytes is told, and if nobody does, there is nothing to tell. */
  #readInto(buffer: Uint8Array, position: number): Promise<Outcome> {
    return this.#file.read(buffer, position).then(
      (got) => ({ bytes: buffer.subarray(0, got) }),
      (error: unknown) => ({ error }),
    )
  }
}

/** The same disk for one who reads files from front to back. */
export function readingAhead(disk: Pick<Disk, 'open'>): { open(path: string, mode: 'read'): Promise<ReadableFile> } {
  return { open: async (path, mode) => new ReadAheadFile(await disk.open(path, mode)) }
}

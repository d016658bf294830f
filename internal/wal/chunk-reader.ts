import { limits } from '../base/index.js'
import { type DiskFile, readFully } from '../env/index.js'

/** Reads a file from front to back in large pieces, whatever the size of what is asked for; memory stays bounded. */
export class ChunkReader {
  /** Of the file, when the reader was made. */
  readonly size: number
  readonly #file: Pick<DiskFile, 'read'>
  #buffer = new Uint8Array(0)
  #start = 0
  #end = 0

  private constructor(file: Pick<DiskFile, 'read'>, size: number) {
    this.#file = file
    this.size = size
  }

  static async over(file: Pick<DiskFile, 'size' | 'read'>): Promise<ChunkReader> {
    return new ChunkReader(file, await file.size())
  }

  /**
   * `length` bytes at `position`, fewer where the file ends. The view holds until the next call. The caller has
   * checked `length` against a limit: this is where memory is taken for it.
   */
  async view(position: number, length: number): Promise<Uint8Array> {
    if (position < this.#start || position + length > this.#end) await this.#fill(position, length)
    const from = position - this.#start
    return this.#buffer.subarray(from, Math.min(from + length, this.#end - this.#start))
  }

  async #fill(position: number, length: number): Promise<void> {
    const capacity = Math.min(Math.max(limits.readChunkBytes, length), this.size)
    const available = Math.max(0, Math.min(capacity, this.size - position))
    // What is already in memory is kept; the rest is read behind it.
    const kept = position >= this.#start && position < this.#end ? this.#end - position : 0
    const rest = this.#buffer.subarray(position - this.#start, position - this.#start + kept)
    if (this.#buffer.length !== capacity) {
      const bigger = new Uint8Array(capacity)
      bigger.set(rest)
      this.#buffer = bigger
    } else {
      this.#buffer.set(rest)
    }
    this.#start = position
    this.#end = position + kept
    if (available > kept) {
      const got = await readFully(this.#file, this.#buffer.subarray(kept, available), position + kept)
      this.#end = position + kept + got
    }
  }
}

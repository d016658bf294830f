const slabBytes = 8192
/** Above this, what an ArrayBuffer of its own costs is small beside filling it. */
const sharedBytesMax = 1024

/**
 * Copies of bytes for callers to keep. Small ones share slabs: a 100 B copy took 50 ns this way and 270 ns with an
 * ArrayBuffer of its own. No byte of a slab is handed out twice; a copy that is kept keeps its slab, 8 KiB, alive.
 */
export class CopySlab {
  #slab: Uint8Array<ArrayBuffer> = new Uint8Array(slabBytes)
  #used = 0

  /** Where the last `put` went: a second result that costs no object. */
  buffer: ArrayBuffer = this.#slab.buffer

  /** What the last `touch` read. Nobody needs it; without it the reads would be optimised away. */
  touched = 0

  /**
   * Announces that the record at `words[at]` will be copied, by reading a word from each of its first three cache
   * lines (64 B): these reads wait for memory together, where comparing the key and then copying would wait in turn.
   */
  touch(words: Uint32Array, at: number): void {
    const last = words.length - 1
    this.touched = (words[at]! ^ words[Math.min(at + 16, last)]! ^ words[Math.min(at + 32, last)]!) | 0
  }

  /** Copies `from[start, end)` into `buffer` and returns the offset there. */
  put(from: Uint8Array<ArrayBuffer>, start: number, end: number): number {
    const length = end - start
    if (length > sharedBytesMax) {
      this.buffer = from.slice(start, end).buffer
      return 0
    }
    if (this.#used + length > slabBytes) {
      this.#slab = new Uint8Array(slabBytes)
      this.#used = 0
    }
    const at = this.#used
    this.#slab.set(from.subarray(start, end), at)
    this.#used = at + length
    this.buffer = this.#slab.buffer
    return at
  }
}

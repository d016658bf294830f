const slabBytes = 8192
/** Above this, what an ArrayBuffer of its own costs is small beside filling it. */
const sharedBytesMax = 1024

/**
 * Copies of bytes for callers to keep. Small ones share slabs: a 100 B copy took 50 ns this way and 270 ns with an
 * ArrayBuffer of its own. No byte of a slab is handed out twice; a copy that is kept keeps its slab, 8 KiB, alive.
 */
export class CopySlab {
  #slab: Uint32Array<ArrayBuffer> = new Uint32Array(slabBytes / 4)
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

  /** Copies `length` bytes from byte `start` of a chunk into `buffer` and returns the offset there. */
  put(words: Uint32Array<ArrayBuffer>, start: number, length: number): number {
    if (length > sharedBytesMax) {
      this.buffer = words.buffer.slice(start, start + length)
      return 0
    }
    const first = start >>> 2
    const last = (start + length + 3) >>> 2
    if (this.#used + last - first > slabBytes / 4) {
      this.#slab = new Uint32Array(slabBytes / 4)
      this.#used = 0
      this.buffer = this.#slab.buffer
    }
    const slab = this.#slab
    let to = this.#used
    const offset = to * 4 + (start & 3)
    for (let word = first; word < last; word++) slab[to++] = words[word]!
    this.#used = to
    this.buffer = slab.buffer
    return offset
  }
}

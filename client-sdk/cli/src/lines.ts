/** One line of input. The newline is not part of it; a carriage return before the newline is. */
export interface Line {
  /** From 1. */
  readonly number: number
  /** A view of the chunk that it came in where the line did not span chunks: copy what outlives the next chunk. */
  readonly bytes: Buffer
  /** Offset of the first byte behind the line's newline. */
  readonly end: number
  /** The line passed the limit; `bytes` is empty. */
  readonly tooLong: boolean
}

/** Where a splitter starts: in the middle of an input when it is resumed. */
export interface LinePosition {
  /** How many lines lie before. */
  readonly lines: number
  /** How many bytes lie before. */
  readonly offset: number
}

const newline = 0x0a
const empty = Buffer.alloc(0)

/**
 * Cuts chunks into lines. Holds at most `lineBytesMax` bytes: what a longer line brings beyond that is passed over, and
 * the line is reported as too long.
 */
export class LineSplitter {
  readonly #lineBytesMax: number
  #lines: number
  #offset: number
  #held: Buffer[] = []
  #heldBytes = 0
  #tooLong = false

  constructor(lineBytesMax: number, from: LinePosition = { lines: 0, offset: 0 }) {
    this.#lineBytesMax = lineBytesMax
    this.#lines = from.lines
    this.#offset = from.offset
  }

  /** The lines that `chunk` completes. */
  push(chunk: Buffer): Line[] {
    const lines: Line[] = []
    let start = 0
    for (;;) {
      const end = chunk.indexOf(newline, start)
      if (end < 0) break
      this.#hold(chunk.subarray(start, end))
      this.#offset += end + 1 - start
      lines.push(this.#take())
      start = end + 1
    }
    if (start < chunk.length) {
      this.#hold(chunk.subarray(start))
      this.#offset += chunk.length - start
    }
    return lines
  }

  /** The last line, if the input did not end with a newline. */
  end(): Line[] {
    return this.#heldBytes > 0 || this.#tooLong ? [this.#take()] : []
  }

  #hold(part: Buffer): void {
    if (this.#tooLong || part.length === 0) return
    if (this.#heldBytes + part.length > this.#lineBytesMax) {
      this.#tooLong = true
      this.#held = []
      this.#heldBytes = 0
      return
    }
    this.#held.push(part)
    this.#heldBytes += part.length
  }

  #take(): Line {
    const bytes = this.#held.length === 1 ? this.#held[0]! : this.#held.length === 0 ? empty : Buffer.concat(this.#held)
    const line = { number: ++this.#lines, bytes, end: this.#offset, tooLong: this.#tooLong }
    this.#held = []
    this.#heldBytes = 0
    this.#tooLong = false
    return line
  }
}

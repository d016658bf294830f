/** The bytes are no message of the schema. */
export class WireError extends Error {
  override readonly name = 'WireError'
}

/** How a field is encoded: the lower three bits of its tag. */
export const wireType = { varint: 0, fixed64: 1, delimited: 2, fixed32: 5 } as const

/** The tag of a field: its number and how it is encoded. */
export function tagOf(field: number, type: number): number {
  return (field << 3) | type
}

/** Reads the encoding of Protocol Buffers, field by field, without making an object for anything. */
export class WireReader {
  readonly bytes: Buffer
  /** Where the next thing to read begins. */
  at = 0
  /** The upper half of the last 64-bit number. */
  hi = 0
  /** Parts of `bytes` may be kept as they are. */
  lasting = false

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  /** The lower 32 bits of a number of up to 64, unsigned; the upper ones are in `hi`. */
  varint(end: number): number {
    let lo = 0
    this.hi = 0
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.at >= end) throw new WireError(`cut short at byte ${this.at}`)
      const byte = this.bytes[this.at++]!
      const bits = byte & 0x7f
      if (shift < 28) lo |= bits << shift
      else if (shift === 28) {
        lo |= bits << 28
        this.hi = bits >>> 4
      } else this.hi |= bits << (shift - 32)
      if (byte < 0x80) {
        this.hi >>>= 0
        return lo >>> 0
      }
    }
    throw new WireError(`a number of over 64 bits at byte ${this.at}`)
  }

  /** A number of 64 bits, unsigned; beyond 2^53 only about right. */
  varint64(end: number): number {
    const lo = this.varint(end)
    return this.hi * 2 ** 32 + lo
  }

  /** The lower half of eight bytes; the upper one is in `hi`. */
  fixed64(end: number): number {
    const start = this.#advance(8, end)
    this.hi = this.bytes.readUInt32LE(start + 4)
    return this.bytes.readUInt32LE(start)
  }

  /** The end of a field with a length, which begins at `at`. */
  delimited(end: number): number {
    const length = this.varint(end)
    if (this.hi !== 0 || length > end - this.at) throw new WireError(`cut short at byte ${this.at}`)
    return this.at + length
  }

  /** Passes over a field that the schema does not know. */
  skip(tag: number, end: number): void {
    switch (tag & 7) {
      case wireType.varint:
        this.varint(end)
        return
      case wireType.fixed64:
        this.#advance(8, end)
        return
      case wireType.delimited:
        this.at = this.delimited(end)
        return
      case wireType.fixed32:
        this.#advance(4, end)
        return
      default:
        throw new WireError(`an unknown encoding at byte ${this.at}`)
    }
  }

  #advance(bytes: number, end: number): number {
    const start = this.at
    if (bytes > end - start) throw new WireError(`cut short at byte ${start}`)
    this.at = start + bytes
    return start
  }
}

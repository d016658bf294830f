import { limits } from '../base/index.js'
import { encodedRecordBytes, encodeRecord, type StoredRecord } from '../record/index.js'
import { frameHeaderBytes } from '../wal/index.js'

/** Records that are to become one frame, behind the room for its header. */
export interface HintFrame {
  readonly bytes: Uint8Array
  readonly records: number
}

const firstCapacity = 4096

/** Hints that no file holds yet, encoded: a record that is kept here holds on to none of the bytes it came with. */
export class HintBuffer {
  #full: HintFrame[] = []
  #open = new Uint8Array(0)
  #length = frameHeaderBytes
  #records = 0
  #bytes = 0
  #count = 0

  /** Encoded records. */
  get bytes(): number {
    return this.#bytes
  }

  get count(): number {
    return this.#count
  }

  add(record: StoredRecord): void {
    const size = encodedRecordBytes(record)
    if (this.#records > 0 && this.#length + size > frameHeaderBytes + limits.hintFrameBytes) this.#closeFrame()
    if (this.#length + size > this.#open.length) {
      const bigger = new Uint8Array(Math.max(firstCapacity, 2 * this.#open.length, this.#length + size))
      bigger.set(this.#open.subarray(0, this.#length))
      this.#open = bigger
    }
    this.#length = encodeRecord(record, this.#open, this.#length)
    this.#records++
    this.#bytes += size
    this.#count++
  }

  /** Gives everything away, in order. */
  take(): readonly HintFrame[] {
    if (this.#records > 0) this.#closeFrame()
    const frames = this.#full
    this.#full = []
    this.#bytes = 0
    this.#count = 0
    return frames
  }

  #closeFrame(): void {
    this.#full.push({ bytes: this.#open.subarray(0, this.#length), records: this.#records })
    this.#open = new Uint8Array(0)
    this.#length = frameHeaderBytes
    this.#records = 0
  }
}

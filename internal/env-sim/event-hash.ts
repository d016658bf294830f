import { hashText } from './random.js'

const view = new DataView(new ArrayBuffer(8))

/** A running fingerprint of everything that has happened, in order: two 32-bit lanes mixed with different constants. */
export class EventHash {
  #high: number
  #low: number

  constructor(seed: string) {
    this.#high = hashText(seed)
    this.#low = hashText(`${seed}/low`)
  }

  fold(word: number): void {
    let high = Math.imul(this.#high ^ word, 0x85ebca6b)
    high = (high << 13) | (high >>> 19)
    let low = Math.imul(this.#low ^ word, 0xc2b2ae35)
    low = (low << 17) | (low >>> 15)
    this.#high = (Math.imul(high, 5) + 0x52dce729) | 0
    this.#low = (Math.imul(low, 5) + (high ^ 0x38495ab5)) | 0
  }

  /** Folds all 64 bits of a number. */
  foldNumber(value: number): void {
    view.setFloat64(0, value)
    this.fold(view.getUint32(0))
    this.fold(view.getUint32(4))
  }

  /** 16 hex digits. */
  toString(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0')
    return hex(this.#high) + hex(this.#low)
  }
}

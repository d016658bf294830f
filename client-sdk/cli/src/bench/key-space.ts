import { limits } from '../limits.js'

/**
 * The keys that there are: numbers from 0. Inserts add to them at the end; a key can be read once it and all before it
 * are acknowledged, as with YCSB's acknowledged counter.
 */
export class KeySpace {
  #issued: number
  #readable: number
  /** For keys from `#readable` on, in a ring: 1 where the insert is acknowledged. */
  readonly #acked = new Uint8Array(limits.benchInsertWindow)

  /** @param loaded - keys that are there from the start, at least 1 */
  constructor(loaded: number) {
    this.#issued = loaded
    this.#readable = loaded
  }

  /** Keys that can be read: 0 up to but not this. */
  get readable(): number {
    return this.#readable
  }

  /** The next key to insert; undefined where too many inserts, or one for too long, wait for their acknowledgement. */
  issue(): number | undefined {
    if (this.#issued - this.#readable >= this.#acked.length || this.#issued >= limits.benchKeysMax) return undefined
    return this.#issued++
  }

  /**
   * The insert of this key is over. One that failed counts as well: whether its key is there is then not known, and the
   * verification allows for both.
   */
  ended(key: number): void {
    const mask = this.#acked.length - 1
    this.#acked[key & mask] = 1
    while (this.#readable < this.#issued && this.#acked[this.#readable & mask] === 1) {
      this.#acked[this.#readable & mask] = 0
      this.#readable++
    }
  }
}

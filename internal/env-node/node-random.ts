import { getRandomValues } from 'node:crypto'
import { assert } from '../base/index.js'
import type { Random } from '../env/index.js'

/** A system call gives this many at once. */
const poolWords = 1024

/** What one call of getRandomValues may fill. */
const fillBytesMax = 65_536

/** The system's generator, asked for many numbers at a time. */
export class NodeRandom implements Random {
  readonly #pool = new Uint32Array(poolWords)
  #next = poolWords

  u32(): number {
    if (this.#next === poolWords) {
      getRandomValues(this.#pool)
      this.#next = 0
    }
    return this.#pool[this.#next++]!
  }

  float(): number {
    const high = this.u32() >>> 5
    const low = this.u32() >>> 6
    return (high * 0x4000000 + low) / 0x20000000000000
  }

  bytes(length: number): Uint8Array {
    assert(Number.isSafeInteger(length) && length >= 0, `cannot make ${length} bytes`)
    const bytes = new Uint8Array(length)
    for (let at = 0; at < length; at += fillBytesMax) getRandomValues(bytes.subarray(at, at + fillBytesMax))
    return bytes
  }
}

import { assert } from '../base/index.js'
import type { Random } from '../env/index.js'

/** Names a run: the same seed gives the same run, bit for bit. */
export type Seed = number | string

/** 32-bit FNV-1a over UTF-16 units, then finalised: turns a label into a well-spread number. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return scramble(hash)
}

/** A bijection of 32-bit numbers in which every input bit moves about half of the output bits. */
function scramble(value: number): number {
  let x = value | 0
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b)
  return (x ^ (x >>> 16)) >>> 0
}

/**
 * A seeded generator: xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom number generators"), which has
 * a period of 2^128 - 1 and is made of 32-bit steps only.
 */
export class SimRandom implements Random {
  readonly #label: string
  #a: number
  #b: number
  #c: number
  #d: number

  constructor(seed: Seed) {
    this.#label = String(seed)
    let state = hashText(this.#label)
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0
      return scramble(state)
    }
    this.#a = next()
    this.#b = next()
    this.#c = next()
    this.#d = next() | 1 // the all-zero state is the one that never leaves itself
  }

  u32(): number {
    const scaled = Math.imul(this.#b, 5)
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9)
    const shifted = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= shifted
    this.#d = (this.#d << 11) | (this.#d >>> 21)
    return result >>> 0
  }

  float(): number {
    const high = this.u32() >>> 5
    const low = this.u32() >>> 6
    return (high * 0x4000000 + low) / 0x20000000000000
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i += 4) {
      const word = this.u32()
      for (let k = 0; k < 4 && i + k < length; k++) bytes[i + k] = word >>> (8 * k)
    }
    return bytes
  }

  /** Uniform whole number in [0, bound). `bound` is 1 to 2^32. */
  below(bound: number): number {
    assert(Number.isInteger(bound) && bound >= 1 && bound <= 0x100000000, `no whole number is below ${bound}`)
    return Math.floor(this.float() * bound)
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + this.float() * (high - low)
  }

  /** true with the given probability; 0 never, 1 always. */
  chance(probability: number): boolean {
    return this.float() < probability
  }

  /** One of the items, each as likely. */
  pick<T>(items: readonly T[]): T {
    assert(items.length > 0, 'nothing to pick from')
    return items[this.below(items.length)]!
  }

  /**
   * An independent generator that depends on this one's seed and the label only, not on what has been drawn: a new
   * consumer changes nothing for the others.
   */
  fork(label: string): SimRandom {
    return new SimRandom(`${this.#label}/${label}`)
  }
}

/**
 * A seeded generator of pseudo-random numbers, xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom number
 * generators", 2021): 32-bit steps, no allocation, the same numbers for the same seed on every machine. Not for secrets.
 */
export class LoadRandom {
  #a: number
  #b: number
  #c: number
  #d: number

  /** @param seed - any text; different texts give unrelated numbers */
  constructor(seed: string) {
    // FNV-1a over the text, then four steps of splitmix32, which never leaves all four words zero in practice.
    let state = 0x811c9dc5
    for (let i = 0; i < seed.length; i++) state = Math.imul(state ^ seed.charCodeAt(i), 0x01000193)
    const word = (): number => {
      state = (state + 0x9e3779b9) | 0
      return mix32(state)
    }
    this.#a = word()
    this.#b = word()
    this.#c = word()
    this.#d = word() | 1
  }

  /** 0 up to but not 2^32. */
  uint32(): number {
    const five = Math.imul(this.#b, 5)
    const result = Math.imul((five << 7) | (five >>> 25), 9)
    const shifted = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= shifted
    this.#d = (this.#d << 11) | (this.#d >>> 21)
    return result >>> 0
  }

  /** 0 up to but not 1, in steps of 2^-53. */
  unit(): number {
    const high = this.uint32() >>> 5
    const low = this.uint32() >>> 6
    return (high * 67_108_864 + low) / 9_007_199_254_740_992
  }

  /** 0 up to but not `bound`, a whole number of at most 2^32. */
  below(bound: number): number {
    return Math.floor(this.unit() * bound)
  }
}

/** Scatters 32 bits: the finalizer of MurmurHash3 (Appleby), which is a permutation. Signed. */
export function mix32(value: number): number {
  let mixed = value ^ (value >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed ^= mixed >>> 13
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

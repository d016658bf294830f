import type { KeySpace } from './key-space.js'
import { type LoadRandom, mix32 } from './random.js'

/** How keys are chosen. */
export type DistributionName = 'uniform' | 'hot-cold' | 'zipfian' | 'latest' | 'sequential'

export const distributionNames: readonly DistributionName[] = ['uniform', 'hot-cold', 'zipfian', 'latest', 'sequential']

/** Draws keys; no draw allocates. */
export interface Distribution {
  /** A key that can be read. */
  next(): number
}

/** The skew of YCSB's Zipfian distributions. */
export const zipfianTheta = 0.99

/** Share of the operations that go to the hot keys, and share of the keys that are hot. */
export const hotOperations = 0.9
export const hotKeys = 0.1

/** How many items YCSB's scrambled Zipfian draws from, whatever the number of keys: so the skew does not depend on it. */
const scrambledItems = 10_000_000_000

/** Makes the distribution of this name over `keys`, which may grow meanwhile. */
export function makeDistribution(name: DistributionName, keys: KeySpace, random: LoadRandom): Distribution {
  switch (name) {
    case 'uniform':
      return new Uniform(keys, random)
    case 'hot-cold':
      return new HotCold(keys, random)
    case 'zipfian':
      return new ScrambledZipfian(keys, random)
    case 'latest':
      return new Latest(keys, random)
    case 'sequential':
      return new Sequential(keys)
    default:
      return name satisfies never
  }
}

/** Each key as likely as any other. */
class Uniform implements Distribution {
  readonly #keys: KeySpace
  readonly #random: LoadRandom

  constructor(keys: KeySpace, random: LoadRandom) {
    this.#keys = keys
    this.#random = random
  }

  next(): number {
    return this.#random.below(this.#keys.readable)
  }
}

/** Nine in ten operations on the first tenth of the keys, the others on the rest; in either part each key alike. */
class HotCold implements Distribution {
  readonly #keys: KeySpace
  readonly #random: LoadRandom

  constructor(keys: KeySpace, random: LoadRandom) {
    this.#keys = keys
    this.#random = random
  }

  next(): number {
    const keys = this.#keys.readable
    const hot = Math.max(1, Math.floor(keys * hotKeys))
    if (hot === keys || this.#random.unit() < hotOperations) return this.#random.below(hot)
    return hot + this.#random.below(keys - hot)
  }
}

/**
 * Sum of `i ** -theta` for i from 1 to `items`: the first thousand one by one, the rest by the Euler-Maclaurin formula,
 * whose error is then below the precision of a double.
 */
export function zeta(items: number, theta: number = zipfianTheta): number {
  const summed = Math.min(items, 1000)
  let sum = 0
  for (let i = 1; i <= summed; i++) sum += i ** -theta
  if (items === summed) return sum
  const integral = (items ** (1 - theta) - summed ** (1 - theta)) / (1 - theta)
  const ends = (items ** -theta - summed ** -theta) / 2
  const slopes = (theta * (summed ** (-theta - 1) - items ** (-theta - 1))) / 12
  return sum + integral + ends + slopes
}

/**
 * Ranks from 0, rank r about as likely as `(r + 1) ** -theta`: Gray et al., "Quickly generating billion-record
 * synthetic databases" (SIGMOD 1994), as in YCSB.
 */
class Zipfian {
  readonly #random: LoadRandom
  readonly #alpha = 1 / (1 - zipfianTheta)
  readonly #zetaOfTwo = zeta(2)
  #items = 0
  #zeta = 0
  #eta = 0

  constructor(items: number, random: LoadRandom) {
    this.#random = random
    this.resize(items)
  }

  resize(items: number): void {
    if (items === this.#items) return
    this.#items = items
    this.#zeta = zeta(items)
    this.#eta = (1 - (2 / items) ** (1 - zipfianTheta)) / (1 - this.#zetaOfTwo / this.#zeta)
  }

  next(): number {
    const unit = this.#random.unit()
    const scaled = unit * this.#zeta
    if (scaled < 1 || this.#items === 1) return 0
    if (scaled < this.#zetaOfTwo || this.#items === 2) return 1
    const rank = Math.floor(this.#items * (this.#eta * unit - this.#eta + 1) ** this.#alpha)
    return Math.min(rank, this.#items - 1)
  }
}

/**
 * Zipfian ranks scattered over all keys, so that the popular ones do not lie together: YCSB's default.
 *
 * Where keys are added, the popular ones must stay where they are: caches would otherwise see a load whose hot keys move.
 * YCSB scatters over the keys that there will be, and draws again what is not there yet; here nobody knows how many will
 * be inserted. So each rank has its place among the keys that there were first, and goes from there as in Lamping and
 * Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014): of all ranks, as many move to a new key as make it
 * like the others, and none between old ones. Zeta is that of a fixed number of items, and does not change.
 */
class ScrambledZipfian implements Distribution {
  readonly #keys: KeySpace
  readonly #loaded: number
  readonly #ranks: Zipfian

  constructor(keys: KeySpace, random: LoadRandom) {
    this.#keys = keys
    this.#loaded = keys.readable
    this.#ranks = new Zipfian(scrambledItems, random)
  }

  next(): number {
    const rank = this.#ranks.next()
    // Ranks have more than 32 bits. Two rounds, so that the high ones scatter the low ones as well.
    let state = mix32(mix32(Math.floor(rank / 4_294_967_296) + 1) ^ (rank >>> 0))
    let key = Math.floor(((state >>> 0) / 4_294_967_296) * this.#loaded)
    const readable = this.#keys.readable
    for (let keys = this.#loaded; keys < readable; keys = key + 1) {
      state = mix32(state)
      // The number of keys at which this rank moves to the newest of them: beyond n with a probability of keys / n.
      const moved = Math.floor((keys * 4_294_967_296) / ((state >>> 0) + 1))
      if (moved >= readable) break
      key = moved
    }
    return key
  }
}

/** The newest key is the most likely one, by Zipfian ranks backwards from it. */
class Latest implements Distribution {
  readonly #keys: KeySpace
  readonly #ranks: Zipfian
  /**
   * The constants are made anew, from nothing, when the keys have grown by a thousandth: between, the difference is not to
   * be seen. YCSB adds to its sum at each insert; here it takes a thousand powers, and that once in so many inserts.
   */
  #sized: number

  constructor(keys: KeySpace, random: LoadRandom) {
    this.#keys = keys
    this.#sized = keys.readable
    this.#ranks = new Zipfian(keys.readable, random)
  }

  next(): number {
    const keys = this.#keys.readable
    if (keys - this.#sized > this.#sized / 1000) {
      this.#sized = keys
      this.#ranks.resize(keys)
    }
    return keys - 1 - this.#ranks.next()
  }
}

/** One key after the other, and then from the first again. */
class Sequential implements Distribution {
  readonly #keys: KeySpace
  #next = 0

  constructor(keys: KeySpace) {
    this.#keys = keys
  }

  next(): number {
    if (this.#next >= this.#keys.readable) this.#next = 0
    return this.#next++
  }
}

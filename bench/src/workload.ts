import { SimRandom } from '@quorumkv/internal/env-sim'

/** What an operation does. */
export type Kind = 'get' | 'put'

/** One operation on the key with this number. */
export interface Operation {
  readonly kind: Kind
  /** 0 up to but not the number of keys. */
  readonly key: number
}

/** The next operation; undefined: there are no more. */
export type Source = () => Operation | undefined

/** Shares of the operations in percent; together 100. */
export interface Mix {
  readonly getPercent: number
  readonly putPercent: number
}

/** `95/5`: reads before writes, as the names of YCSB's mixes have it. */
export function formatMix({ getPercent, putPercent }: Mix): string {
  return `${getPercent}/${putPercent}`
}

/** A put of each of `keys` keys, once and in order. */
export function loadSource(keys: number): Source {
  let key = 0
  return () => (key < keys ? { kind: 'put', key: key++ } : undefined)
}

/** Endless: each key as likely as any other, and gets and puts by their shares. The same seed gives the same operations. */
export function uniformSource(keys: number, mix: Mix, seed: string): Source {
  const random = new SimRandom(seed)
  return () => {
    const kind = random.below(100) < mix.getPercent ? 'get' : 'put'
    return { kind, key: random.below(keys) }
  }
}

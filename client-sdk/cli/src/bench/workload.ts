import { UsageError } from '../exit.js'
import { type Distribution, type DistributionName, makeDistribution } from './distribution.js'
import type { KeySpace } from './key-space.js'
import { LoadRandom } from './random.js'
import type { OperationKind } from './target.js'

/** Shares of the kinds of operation; together 1. A kind that is left out does not occur. */
export type Mix = Readonly<Partial<Record<OperationKind, number>>>

/** What is done, and to which keys. */
export interface Workload {
  readonly name: string
  readonly mix: Mix
  /** Unless another one is asked for. */
  readonly distribution: DistributionName
}

/** The workloads that have a name. `ycsb-*`: Cooper et al., "Benchmarking cloud serving systems with YCSB" (SoCC 2010). */
export const workloads: readonly Workload[] = [
  { name: 'read-heavy', mix: { read: 0.95, update: 0.05 }, distribution: 'uniform' },
  { name: 'write-heavy', mix: { read: 0.05, update: 0.95 }, distribution: 'uniform' },
  { name: 'mixed', mix: { read: 0.5, update: 0.5 }, distribution: 'uniform' },
  { name: 'mixed-80-20', mix: { read: 0.8, update: 0.2 }, distribution: 'uniform' },
  { name: 'read-only', mix: { read: 1 }, distribution: 'uniform' },
  { name: 'write-only', mix: { update: 1 }, distribution: 'uniform' },
  { name: 'ycsb-a', mix: { read: 0.5, update: 0.5 }, distribution: 'zipfian' },
  { name: 'ycsb-b', mix: { read: 0.95, update: 0.05 }, distribution: 'zipfian' },
  { name: 'ycsb-c', mix: { read: 1 }, distribution: 'zipfian' },
  { name: 'ycsb-d', mix: { read: 0.95, insert: 0.05 }, distribution: 'latest' },
  { name: 'ycsb-e', mix: { scan: 0.95, insert: 0.05 }, distribution: 'zipfian' },
  { name: 'ycsb-f', mix: { read: 0.5, readModifyWrite: 0.5 }, distribution: 'zipfian' },
]

/** Entries that a scan asks for: 1 to this, each number alike, as in YCSB's workload E. */
export const scanEntriesMax = 100

/** The workload of this name, or `70/30`: reads and updates in percent. Throws a UsageError that names `field`. */
export function parseWorkload(text: string, field: string): Workload {
  const named = workloads.find(({ name }) => name === text)
  if (named !== undefined) return named
  const match = /^(\d{1,3})\/(\d{1,3})$/.exec(text)
  const [read, update] = [Number(match?.[1]), Number(match?.[2])]
  if (read + update === 100)
    return { name: text, mix: { read: read / 100, update: update / 100 }, distribution: 'uniform' }
  const names = workloads.map(({ name }) => name).join(', ')
  throw new UsageError(
    field,
    `${field}: there is no workload ${JSON.stringify(text)}: name one of ${names}, or reads/updates in percent, such as 70/30`,
  )
}

/**
 * Draws operations. `advance` makes the next one; its parts are then read from the fields, so that no operation costs
 * an object.
 */
export interface OperationSource {
  readonly kind: OperationKind
  /** For all kinds but scans. */
  readonly key: number
  /** For scans: where to begin, 0 up to but not 1, and how many entries. */
  readonly scanStart: number
  readonly scanCount: number
  /** False: there are no more. */
  advance(): boolean
}

/** Endless operations of one workload. The same seed gives the same ones, as far as the keys grow alike. */
export class WorkloadSource implements OperationSource {
  kind: OperationKind = 'read'
  key = 0
  scanStart = 0
  scanCount = 0
  readonly #random: LoadRandom
  readonly #keys: KeySpace
  readonly #loaded: number
  readonly #distribution: Distribution
  readonly #kinds: readonly OperationKind[]
  /** Of each kind, the share of it and those before it. */
  readonly #upTo: Float64Array

  constructor(mix: Mix, distribution: DistributionName, keys: KeySpace, seed: string) {
    this.#random = new LoadRandom(seed)
    this.#keys = keys
    this.#loaded = keys.readable
    this.#distribution = makeDistribution(distribution, keys, this.#random)
    const shares = (Object.entries(mix) as [OperationKind, number][]).filter(([, share]) => share > 0)
    this.#kinds = shares.map(([kind]) => kind)
    let sum = 0
    this.#upTo = Float64Array.from(shares, ([, share]) => {
      sum += share
      return sum
    })
  }

  advance(): boolean {
    const unit = this.#random.unit()
    let index = 0
    while (index < this.#kinds.length - 1 && unit >= this.#upTo[index]!) index++
    const kind = this.#kinds[index]!
    this.kind = kind
    if (kind === 'insert') {
      const key = this.#keys.issue()
      // So many inserts wait for their end that another would have no place: an update takes its.
      if (key === undefined) this.kind = 'update'
      this.key = key ?? this.#distribution.next()
      return true
    }
    const key = this.#distribution.next()
    this.key = key
    if (kind === 'scan') {
      // As many places as there were keys first: were they told by how many there are now, the popular ones would wander.
      this.scanStart = (key % this.#loaded) / this.#loaded
      this.scanCount = 1 + this.#random.below(scanEntriesMax)
    }
    return true
  }
}

/** An update of each of `keys` keys, once and in order: loads them. */
export class LoadSource implements OperationSource {
  readonly kind = 'update'
  key = -1
  readonly scanStart = 0
  readonly scanCount = 0
  readonly #keys: number

  constructor(keys: number) {
    this.#keys = keys
  }

  advance(): boolean {
    if (this.key + 1 >= this.#keys) return false
    this.key++
    return true
  }
}

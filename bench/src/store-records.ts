import { WrongValueError } from '@quorumkv/cli/bench'
import { SimRandom } from '@quorumkv/internal/env-sim'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { Store } from '@quorumkv/internal/store'

/** The sizes that every figure of the store is about. */
export const keyBytes = 16
export const valueBytes = 100

/** Writes the key with this number, a whole number below 2^32: no two alike, and all slots alike. */
export function writeKey(number: number, into: Uint8Array): void {
  const mixed = Math.imul(number + 1, 0x9e3779b1)
  for (let byte = 0; byte < 4; byte++) {
    into[byte] = mixed >>> (8 * byte)
    into[byte + 8] = number >>> (8 * byte)
  }
}

/** Chooses keys, each as likely as any other. The same seed gives the same ones. */
export class KeyChooser {
  readonly #random: SimRandom
  readonly #keys: number

  /** Among the numbers below `keys`. */
  constructor(keys: number, seed: string) {
    this.#random = new SimRandom(seed)
    this.#keys = keys
  }

  /** The number of a key: 32 random bits, scaled. Of 10 million keys, none is favoured by more than one in 400. */
  next(): number {
    return Math.floor((this.#random.u32() / 2 ** 32) * this.#keys)
  }

  /** True and false, each as likely. */
  coin(): boolean {
    return this.#random.u32() >>> 31 === 0
  }
}

/** Throws WrongValueError unless the record is one that a batch has put under the key with this number. */
export function checkRecord(number: number, record: StoredRecord | undefined): void {
  if (record === undefined) throw new WrongValueError('missing-value', `key ${number} is missing`)
  const { value } = record
  const owner = (value[0]! | (value[1]! << 8) | (value[2]! << 16) | (value[3]! << 24)) >>> 0
  if (value.length !== valueBytes || owner !== number) {
    const what = `a value of ${value.length} B that was put under key ${owner}`
    throw new WrongValueError('wrong-value', `key ${number} has ${what}`)
  }
}

/** Versions, each above all before. */
export class Stamps {
  #hi = 26_000_000
  #lo = 0

  stamp(record: BatchRecord): void {
    this.#lo = (this.#lo + 1) >>> 0
    if (this.#lo === 0) this.#hi++
    record.hi = this.#hi
    record.lo = this.#lo
  }
}

class BatchRecord implements StoredRecord {
  hi = 0
  lo = 0
  readonly node = 1
  readonly key: Uint8Array = new Uint8Array(keyBytes)
  readonly tombstone = false
  readonly expiresAtMs = 0
  readonly value: Uint8Array

  constructor(value: Uint8Array) {
    this.value = value
  }
}

/**
 * The records of one commit at a time. They are made once and filled again when the commit before has settled, as the
 * store then holds copies: what is measured is the store, and not the making of its input.
 */
export class Batch {
  readonly #records: BatchRecord[]
  readonly #stamps: Stamps
  #length = 0

  constructor(capacity: number, stamps: Stamps, seed: string) {
    const filler = new SimRandom(seed).bytes(valueBytes)
    this.#records = Array.from({ length: capacity }, () => new BatchRecord(filler.slice()))
    this.#stamps = stamps
  }

  get length(): number {
    return this.#length
  }

  get full(): boolean {
    return this.#length === this.#records.length
  }

  /** Adds a put of the key with this number, above all puts before. The batch must not be full. */
  add(number: number): void {
    const record = this.#records[this.#length++]!
    writeKey(number, record.key)
    for (let byte = 0; byte < 4; byte++) record.value[byte] = number >>> (8 * byte)
    this.#stamps.stamp(record)
  }

  /** Commits what has been added, and is empty again when that is done. Rejects when the store refused any of it. */
  async commit(store: Store): Promise<void> {
    const records = this.full ? this.#records : this.#records.slice(0, this.#length)
    const results = await store.commit(records)
    for (const { applied } of results) if (!applied) throw new Error('the store called a newer record stale')
    this.#length = 0
  }
}

export interface FillOptions {
  readonly seed: string
  readonly stamps: Stamps
  /** Records of a commit. */
  readonly batchRecords: number
  readonly commitsInFlight: number
}

/** Puts the keys with the numbers from `from` up to but not `to`, once and in this order. */
export async function fill(store: Store, from: number, to: number, options: FillOptions): Promise<void> {
  await putMany(store, to - from, (i) => from + i, options)
}

/** Does `count` puts; the i-th is of the key with the number `keyOf(i)`. */
export async function putMany(
  store: Store,
  count: number,
  keyOf: (i: number) => number,
  { seed, stamps, batchRecords, commitsInFlight }: FillOptions,
): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    const batch = new Batch(batchRecords, stamps, seed)
    while (next < count) {
      while (next < count && !batch.full) batch.add(keyOf(next++))
      await batch.commit(store)
    }
  }
  await Promise.all(Array.from({ length: commitsInFlight }, lane))
}

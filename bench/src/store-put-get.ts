import { type FsyncPolicy, prefetchKeysMax, type Store } from '@quorumkv/internal/store'
import { openInDirectory } from './store-disk.js'
import { spread } from './store-meters.js'
import { checkRecord, fill, KeyChooser, keyBytes, putMany, Stamps, writeKey } from './store-records.js'
import { type Budget, budgets, type Measurement } from './store-report.js'

/** Puts alone, and gets alone: in batches as replication has them, which is what the budgets are about, and singly. */
export interface PutGetTask {
  readonly kind: 'put-get'
  readonly fsync: FsyncPolicy
  readonly keys: number
  /** Of each round. */
  readonly puts: number
  /** Of each round; 0: no gets. */
  readonly gets: number
  readonly rounds: number
  /** Records of a commit, and keys of a read: each of these sizes in turn. */
  readonly batches: readonly number[]
  /** Puts under way at a time, whatever the size of a commit. */
  readonly recordsInFlight: number
}

export async function measurePutGet(task: PutGetTask, directory: string, seed: string): Promise<Measurement[]> {
  const { fsync, keys, puts, gets, rounds, batches, recordsInFlight } = task
  const chooser = new KeyChooser(keys, seed)
  const stamps = new Stamps()
  const optionsOf = (batchRecords: number) => {
    return { seed, stamps, batchRecords, commitsInFlight: Math.ceil(recordsInFlight / batchRecords) }
  }
  const store = await openInDirectory(directory, { fsync, snapshots: 'on-demand' })
  const fillBatch = Math.max(...batches)
  const started = performance.now()
  await fill(store, 0, keys, optionsOf(fillBatch))
  const filled = (keys / (performance.now() - started)) * 1000
  const measured: Measurement[] = [{ name: `put, new keys, ${fillBatch} a commit`, value: filled, unit: '/s' }]
  // The disk's speed is not the store's to keep.
  const putBudget = fsync === 'never' ? budgets.putPerSecond : undefined
  for (const batch of [1, ...batches]) {
    const round = (): Promise<void> => putMany(store, puts, () => chooser.next(), optionsOf(batch))
    const budget = batch === 1 ? undefined : putBudget
    measured.push(await measureRounds(`put, over old ones, ${batch} a commit`, puts, rounds, round, budget))
  }
  if (gets > 0) {
    for (const batch of [1, ...batches]) {
      const reader = new BatchReader(store, chooser, batch)
      const budget = batch === 1 ? undefined : budgets.getPerSecond
      measured.push(await measureRounds(`get, ${batch} at a time`, gets, rounds, () => reader.gets(gets), budget))
    }
    const reader = new BatchReader(store, chooser, fillBatch)
    measured.push(
      await measureRounds(`version, ${fillBatch} at a time`, gets, rounds, () => reader.versions(gets)),
      await measureRounds('  part of it: making the key', gets, rounds, () => reader.keysAlone(gets)),
    )
  }
  await store.close()
  return measured
}

/** Reads batches of chosen keys just as `ReplicaServer` answers the reads of one message. */
class BatchReader {
  readonly #store: Store
  readonly #chooser: KeyChooser
  readonly #keys: readonly Uint8Array[]
  readonly #numbers: Uint32Array

  constructor(store: Store, chooser: KeyChooser, batch: number) {
    this.#store = store
    this.#chooser = chooser
    this.#keys = Array.from({ length: batch }, () => new Uint8Array(keyBytes))
    this.#numbers = new Uint32Array(batch)
  }

  /** Rounds `count` up to whole batches, as the others do. */
  gets(count: number): void {
    const keys = this.#keys
    for (let done = 0; done < count; done += keys.length) {
      this.#choose()
      for (let i = 0; i < keys.length; i++) {
        if (i % prefetchKeysMax === 0) this.#store.prefetch(keys, i, keys.length)
        checkRecord(this.#numbers[i]!, this.#store.get(keys[i]!))
      }
    }
  }

  versions(count: number): void {
    const keys = this.#keys
    for (let done = 0; done < count; done += keys.length) {
      this.#choose()
      for (let i = 0; i < keys.length; i++) {
        if (i % prefetchKeysMax === 0) this.#store.prefetch(keys, i, keys.length)
        if (this.#store.getVersion(keys[i]!) === undefined) throw new Error(`key ${this.#numbers[i]} is missing`)
      }
    }
  }

  keysAlone(count: number): void {
    for (let done = 0; done < count; done += this.#keys.length) this.#choose()
  }

  #choose(): void {
    for (let i = 0; i < this.#keys.length; i++) {
      const number = this.#chooser.next()
      this.#numbers[i] = number
      writeKey(number, this.#keys[i]!)
    }
  }
}

/** One round that is not measured, and then some that are. */
async function measureRounds(
  name: string,
  operations: number,
  rounds: number,
  round: () => Promise<void> | void,
  budget?: Budget,
): Promise<Measurement> {
  const perSecond: number[] = []
  for (let i = 0; i <= rounds; i++) {
    const started = performance.now()
    await round()
    if (i > 0) perSecond.push((operations / (performance.now() - started)) * 1000)
  }
  const { median, min, max } = spread(perSecond)
  return { name, value: median, unit: '/s', range: { min, max }, ...(budget && { budget }) }
}

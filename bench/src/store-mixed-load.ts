import type { Store } from '@quorumkv/internal/store'
import { GapMeter, LatencyMeter, type LatencySummary, LoopStallMeter, WindowCounter } from './store-meters.js'
import { Batch, checkRecord, KeyChooser, keyBytes, type Stamps, writeKey } from './store-records.js'

export interface MixedLoadOptions {
  /** All of them are in the store. */
  readonly keys: number
  readonly seed: string
  readonly stamps: Stamps
  readonly batchRecords: number
  readonly commitsInFlight: number
}

export interface MixedResult {
  readonly seconds: number
  readonly gets: number
  readonly puts: number
  readonly getUs: LatencySummary | undefined
  readonly putUs: LatencySummary | undefined
  /** The longest time in which no operation ended. */
  readonly gapMs: number
  readonly loopStallMs: number
}

/** One get of so many is timed: reading the clock twice costs a tenth of a get. */
const getsPerReading = 8

/**
 * Gets and puts half and half, of keys chosen uniformly. Each lane reads as it goes and collects its puts; a full batch
 * is one commit, and the lane goes on when that is done, as replication does with what arrives in one message.
 */
export class MixedLoad {
  readonly #store: Store
  readonly #options: MixedLoadOptions
  readonly #chooser: KeyChooser
  readonly #gets = new LatencyMeter()
  readonly #puts = new LatencyMeter()
  readonly #key = new Uint8Array(keyBytes)
  readonly #windows: WindowCounter | undefined
  readonly #startMs = performance.now()
  readonly #gap = new GapMeter(this.#startMs)
  #operations = 0
  #putsDone = 0
  #getsBegun = 0

  private constructor(store: Store, options: MixedLoadOptions, windows: Windows | undefined) {
    this.#store = store
    this.#options = options
    this.#chooser = new KeyChooser(options.keys, options.seed)
    this.#windows = windows && new WindowCounter(this.#startMs, windows.windowMs, windows.count)
  }

  /** Until `operations` are done; the batches that are then in flight are finished, and count. */
  static async count(store: Store, options: MixedLoadOptions, operations: number): Promise<MixedResult> {
    const stalls = await LoopStallMeter.start()
    const load = new MixedLoad(store, options, undefined)
    return load.#run(() => load.#operations < operations, stalls)
  }

  /** For so many windows of time; tells the operations per second of each, too. */
  static async timed(
    store: Store,
    options: MixedLoadOptions,
    windows: Windows,
  ): Promise<MixedResult & { readonly perSecond: readonly number[] }> {
    const stalls = await LoopStallMeter.start()
    const load = new MixedLoad(store, options, windows)
    const deadline = load.#startMs + windows.windowMs * windows.count
    const result = await load.#run(() => performance.now() < deadline, stalls)
    return { ...result, perSecond: load.#windows!.perSecond }
  }

  /** For as long as `more` says so; it is asked before each batch. */
  static async while(store: Store, options: MixedLoadOptions, more: () => boolean): Promise<MixedResult> {
    const stalls = await LoopStallMeter.start()
    return new MixedLoad(store, options, undefined).#run(more, stalls)
  }

  async #run(more: () => boolean, stalls: LoopStallMeter): Promise<MixedResult> {
    const { commitsInFlight } = this.#options
    await Promise.all(Array.from({ length: commitsInFlight }, () => this.#lane(more)))
    const seconds = (performance.now() - this.#startMs) / 1000
    return {
      seconds,
      gets: this.#operations - this.#putsDone,
      puts: this.#putsDone,
      getUs: this.#gets.summary,
      putUs: this.#puts.summary,
      gapMs: this.#gap.longestMs,
      loopStallMs: await stalls.stop(),
    }
  }

  async #lane(more: () => boolean): Promise<void> {
    const { batchRecords, stamps, seed } = this.#options
    const batch = new Batch(batchRecords, stamps, seed)
    while (more()) {
      const gets = this.#collect(batch)
      const puts = batch.length
      const begun = performance.now()
      await batch.commit(this.#store)
      const ended = performance.now()
      this.#puts.record(ended - begun, puts)
      this.#gap.mark(ended)
      this.#operations += gets + puts
      this.#putsDone += puts
      this.#windows?.add(ended, gets + puts)
    }
  }

  /** Does gets until the batch is full of puts; returns how many. */
  #collect(batch: Batch): number {
    let gets = 0
    while (!batch.full) {
      const number = this.#chooser.next()
      if (this.#chooser.coin()) {
        batch.add(number)
        continue
      }
      gets++
      if (this.#getsBegun++ % getsPerReading === 0) this.#timedGet(number)
      else this.#get(number)
    }
    return gets
  }

  #get(number: number): void {
    writeKey(number, this.#key)
    checkRecord(number, this.#store.get(this.#key))
  }

  #timedGet(number: number): void {
    const begun = performance.now()
    this.#get(number)
    const ended = performance.now()
    this.#gets.record(ended - begun)
    this.#gap.mark(ended)
  }
}

export interface Windows {
  readonly windowMs: number
  readonly count: number
}

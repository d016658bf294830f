import { assert, emptyBytes, KvError, limits } from '../base/index.js'
import type { StoredRecord } from '../record/index.js'
import { slotCount, slotOf } from '../slots/index.js'
import type { OperationOptions, PutOptions, ScanOptions, ScanPage, WriteResult } from './operations.js'
import { ReadOperation } from './read-operation.js'
import type { OperationContext, Routing } from './routing.js'
import { scanPage } from './scan.js'
import { type WriteIntent, WriteOperation } from './write-operation.js'

export interface CoordinatorOptions {
  readonly context: OperationContext
  /** Live entries in this node's store, for reading ahead in scans. */
  readonly entries: () => number
}

/** What runs, and the bytes that it holds: keys, values to be written, and values that were read for somebody. */
class Load {
  operations = 0
  bytes = 0

  fits(bytes: number): boolean {
    return this.bytes + bytes <= limits.coordinatedBytesMax
  }
}

/** One operation that was admitted, from its start to its end. */
class Admission<T> {
  readonly #load: Load
  readonly #resolve: (value: T) => void
  readonly #reject: (error: KvError) => void
  #bytes: number

  constructor(load: Load, bytes: number, resolve: (value: T) => void, reject: (error: KvError) => void) {
    this.#load = load
    this.#resolve = resolve
    this.#reject = reject
    this.#bytes = bytes
    load.operations++
    load.bytes += bytes
  }

  hold(bytes: number): boolean {
    if (!this.#load.fits(bytes)) return false
    this.#load.bytes += bytes
    this.#bytes += bytes
    return true
  }

  resolve(value: T): void {
    this.#release()
    this.#resolve(value)
  }

  reject(error: KvError): void {
    this.#release()
    this.#reject(error)
  }

  #release(): void {
    const load = this.#load
    load.operations--
    load.bytes -= this.#bytes
    assert(load.operations >= 0 && load.bytes >= 0, 'an operation ended twice')
  }
}

/**
 * Takes requests for any key and runs them on the key's owners (Dynamo's coordinator). It admits a bounded number of
 * operations and bytes; beyond that the caller is told `overloaded` at once.
 */
export class Coordinator {
  readonly #context: OperationContext
  readonly #entries: () => number
  #routing: Routing
  readonly #load = new Load()
  /** Why nothing new is admitted; undefined: it is. */
  #stopped: string | undefined

  constructor(options: CoordinatorOptions, routing: Routing) {
    this.#context = options.context
    this.#entries = options.entries
    this.#routing = routing
  }

  get operations(): number {
    return this.#load.operations
  }

  /** Operations that begin from now on use it, and those that run begin anew under it. */
  set routing(routing: Routing) {
    this.#routing = routing
    this.#context.active.reroute(routing)
  }

  get routing(): Routing {
    return this.#routing
  }

  /** Nothing new is admitted from now on; whoever asks is told `reason`. The first one stays. */
  stop(reason: string = 'this node is stopping'): void {
    this.#stopped ??= reason
  }

  get stopped(): boolean {
    return this.#stopped !== undefined
  }

  get(key: Uint8Array, options: OperationOptions): Promise<StoredRecord | undefined> {
    const routing = this.#routing
    const start = (admission: Admission<StoredRecord | undefined>): void => {
      new ReadOperation(this.#context, routing, slotOf(key), key, options, admission).start()
    }
    // Where the largest value would find no room it is not even read: that costs a copy of it.
    return this.#run(key.length, options, start, limits.valueBytesMax)
  }

  put(key: Uint8Array, value: Uint8Array, options: PutOptions): Promise<WriteResult> {
    const { ttlMs } = options
    const expiresAtMs = ttlMs === undefined ? 0 : this.#context.clock.wallMs() + ttlMs
    const returnPrevious = options.returnPrevious === true
    return this.#write({ key, value, tombstone: false, expiresAtMs, returnPrevious }, options)
  }

  delete(key: Uint8Array, options: OperationOptions): Promise<WriteResult> {
    return this.#write({ key, value: emptyBytes, tombstone: true, expiresAtMs: 0, returnPrevious: false }, options)
  }

  scan(options: ScanOptions): Promise<ScanPage> {
    const { table, replicas } = this.#routing
    const share = table.ownersPerSlot / replicas.length
    const density = this.#entries() / (slotCount * share)
    return this.#run(limits.scanPageBytesMax, options, (admission) => {
      const page = scanPage(this.#context, () => this.#routing, options, density)
      page.then(
        (result) => admission.resolve(result),
        (error: KvError) => admission.reject(error),
      )
    })
  }

  #write(intent: WriteIntent, options: OperationOptions): Promise<WriteResult> {
    const routing = this.#routing
    const bytes = intent.key.length + intent.value.length
    return this.#run(bytes, options, (admission) => {
      new WriteOperation(this.#context, routing, slotOf(intent.key), intent, options, admission).start()
    })
  }

  /** `mayHold`: bytes that it may want to hold beyond those that it has from the start. */
  #run<T>(bytes: number, options: OperationOptions, start: (admission: Admission<T>) => void, mayHold = 0): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const refusal = this.#refusal(bytes + mayHold, options)
      if (refusal === undefined) start(new Admission(this.#load, bytes, resolve, reject))
      else reject(refusal)
    })
  }

  #refusal(bytes: number, options: OperationOptions): KvError | undefined {
    const notApplied = { outcome: 'not-applied' } as const
    if (this.#stopped !== undefined) return new KvError('unavailable', this.#stopped, notApplied)
    if (options.cancellation?.cancelled === true) {
      return new KvError('cancelled', 'the caller stopped waiting', notApplied)
    }
    if (this.#context.clock.monotonicMs() >= options.deadlineMs) {
      return new KvError('timeout', 'the deadline had passed before the operation began', notApplied)
    }
    if (this.#load.operations >= limits.coordinatedOpsMax || !this.#load.fits(bytes)) {
      const running = `${this.#load.operations} operations of ${this.#load.bytes} bytes are running`
      return new KvError('overloaded', `${running}, no more are admitted`, notApplied)
    }
    return undefined
  }
}

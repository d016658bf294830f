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

/**
 * Takes requests for any key and runs them on the key's owners (Dynamo's coordinator). It admits a bounded number of
 * operations and bytes; beyond that the caller is told `overloaded` at once.
 */
export class Coordinator {
  readonly #context: OperationContext
  readonly #entries: () => number
  #routing: Routing
  #operations = 0
  #bytes = 0
  #stopping = false

  constructor(options: CoordinatorOptions, routing: Routing) {
    this.#context = options.context
    this.#entries = options.entries
    this.#routing = routing
  }

  get operations(): number {
    return this.#operations
  }

  /** Operations that begin from now on use it; running ones end under the epoch they began with. */
  set routing(routing: Routing) {
    this.#routing = routing
  }

  get routing(): Routing {
    return this.#routing
  }

  /** Nothing new is admitted from now on. */
  stop(): void {
    this.#stopping = true
  }

  get(key: Uint8Array, options: OperationOptions): Promise<StoredRecord | undefined> {
    const routing = this.#routing
    return this.#run(key.length, options, (resolve, reject) => {
      new ReadOperation(this.#context, routing, slotOf(key), key, options, { resolve, reject }).start()
    })
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
    return this.#run(limits.scanPageBytesMax, options, (resolve, reject) => {
      scanPage(this.#context, this.#routing, options, density).then(resolve, reject)
    })
  }

  #write(intent: WriteIntent, options: OperationOptions): Promise<WriteResult> {
    const routing = this.#routing
    const bytes = intent.key.length + intent.value.length
    return this.#run(bytes, options, (resolve, reject) => {
      new WriteOperation(this.#context, routing, slotOf(intent.key), intent, options, { resolve, reject }).start()
    })
  }

  #run<T>(
    bytes: number,
    options: OperationOptions,
    start: (resolve: (value: T) => void, reject: (error: KvError) => void) => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const refusal = this.#refusal(bytes, options)
      if (refusal !== undefined) {
        reject(refusal)
        return
      }
      this.#operations++
      this.#bytes += bytes
      const release = (): void => {
        this.#operations--
        this.#bytes -= bytes
        assert(this.#operations >= 0 && this.#bytes >= 0, 'an operation ended twice')
      }
      start(
        (value) => {
          release()
          resolve(value)
        },
        (error) => {
          release()
          reject(error)
        },
      )
    })
  }

  #refusal(bytes: number, options: OperationOptions): KvError | undefined {
    const notApplied = { outcome: 'not-applied' } as const
    if (this.#stopping) return new KvError('unavailable', 'this node is stopping', notApplied)
    if (options.cancellation?.cancelled === true) {
      return new KvError('cancelled', 'the caller stopped waiting', notApplied)
    }
    if (this.#context.clock.monotonicMs() >= options.deadlineMs) {
      return new KvError('timeout', 'the deadline had passed before the operation began', notApplied)
    }
    if (this.#operations >= limits.coordinatedOpsMax || this.#bytes + bytes > limits.coordinatedBytesMax) {
      const running = `${this.#operations} operations of ${this.#bytes} bytes are running`
      return new KvError('overloaded', `${running}, no more are admitted`, notApplied)
    }
    return undefined
  }
}

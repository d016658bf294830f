import { assert, emptyBytes, KvError, limits, type OperationKind } from '../base/index.js'
import type { StoredRecord } from '../record/index.js'
import { slotCount, slotOf } from '../slots/index.js'
import { type KeyLocation, LocateOperation } from './locate.js'
import { type OperationMeter, operationMeters } from './operation-meter.js'
import type { Consistency, OperationOptions, PutOptions, ScanOptions, ScanPage, WriteResult } from './operations.js'
import { ReadOperation } from './read-operation.js'
import type { OperationContext, Routing } from './routing.js'
import { scanPage } from './scan.js'
import { type WriteIntent, WriteOperation } from './write-operation.js'

export interface CoordinatorOptions {
  readonly context: OperationContext
  /** Live entries in this node's store, for reading ahead in scans. */
  readonly entries: () => number
}

const notApplied = { outcome: 'not-applied' } as const

/** What runs, and the bytes that it holds: keys, values to be written, and values that were read for somebody. */
class Load {
  operations = 0
  bytes = 0

  fits(bytes: number): boolean {
    return this.bytes + bytes <= limits.coordinatedBytesMax
  }
}

/** One operation that was admitted, from its start to its end, and the promise of its result. */
class Admission<T> {
  readonly promise: Promise<T>
  readonly #load: Load
  readonly #meter: OperationMeter | undefined
  readonly #consistency: Consistency
  readonly #startedMs: number
  #resolve!: (value: T) => void
  #reject!: (error: KvError) => void
  #bytes: number

  constructor(
    load: Load,
    bytes: number,
    meter: OperationMeter | undefined,
    { consistency }: OperationOptions,
    nowMs: number,
  ) {
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#load = load
    this.#meter = meter
    this.#consistency = consistency
    this.#startedMs = nowMs
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
    this.#meter?.succeeded(this.#startedMs)
    this.#resolve(value)
  }

  reject(error: KvError): void {
    this.#release()
    this.#meter?.failed(error, this.#consistency)
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
  readonly #meters: Readonly<Record<OperationKind, OperationMeter>>
  /** Why nothing new is admitted; undefined: it is. */
  #stopped: string | undefined

  constructor(options: CoordinatorOptions, routing: Routing) {
    this.#context = options.context
    this.#entries = options.entries
    this.#routing = routing
    this.#meters = operationMeters(options.context)
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
    const nowMs = this.#context.clock.monotonicMs()
    // Where the largest value would find no room it is not even read: that costs a copy of it.
    const meter = this.#meters.get
    const refusal = this.#refusal(key.length + limits.valueBytesMax, options, nowMs)
    if (refusal !== undefined) return meter.refused(refusal)
    const admission = new Admission<StoredRecord | undefined>(this.#load, key.length, meter, options, nowMs)
    new ReadOperation(this.#context, this.#routing, slotOf(key), key, options, admission).start(nowMs)
    return admission.promise
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
    const nowMs = this.#context.clock.monotonicMs()
    const meter = this.#meters.scan
    const refusal = this.#refusal(limits.scanPageBytesMax, options, nowMs)
    if (refusal !== undefined) return meter.refused(refusal)
    const { table, replicas } = this.#routing
    const share = table.ownersPerSlot / replicas.length
    const density = this.#entries() / (slotCount * share)
    const admission = new Admission<ScanPage>(this.#load, limits.scanPageBytesMax, meter, options, nowMs)
    scanPage(this.#context, () => this.#routing, options, density).then(
      (result) => admission.resolve(result),
      (error: KvError) => admission.reject(error),
    )
    return admission.promise
  }

  /** Asks all owners of a key what they hold. Rejects as `get`; that owners do not answer is no failure. */
  locate(key: Uint8Array, options: OperationOptions): Promise<KeyLocation> {
    const bytes = key.length + limits.replicationFactorMax * limits.valueBytesMax
    const nowMs = this.#context.clock.monotonicMs()
    const refusal = this.#refusal(bytes, options, nowMs)
    if (refusal !== undefined) return Promise.reject(refusal)
    const admission = new Admission<KeyLocation>(this.#load, bytes, undefined, options, nowMs)
    new LocateOperation(this.#context, this.#routing, slotOf(key), options, admission).start(key)
    return admission.promise
  }

  #write(intent: WriteIntent, options: OperationOptions): Promise<WriteResult> {
    const bytes = intent.key.length + intent.value.length
    const nowMs = this.#context.clock.monotonicMs()
    const meter = intent.tombstone ? this.#meters.delete : this.#meters.put
    const refusal = this.#refusal(bytes, options, nowMs)
    if (refusal !== undefined) return meter.refused(refusal)
    const admission = new Admission<WriteResult>(this.#load, bytes, meter, options, nowMs)
    new WriteOperation(this.#context, this.#routing, slotOf(intent.key), intent, options, admission).start()
    return admission.promise
  }

  /** Why an operation that may hold so many bytes is not admitted; undefined: it is. */
  #refusal(bytes: number, options: OperationOptions, nowMs: number): KvError | undefined {
    if (this.#stopped !== undefined) return new KvError('unavailable', this.#stopped, notApplied)
    if (options.cancellation?.cancelled === true) {
      return new KvError('cancelled', 'the caller stopped waiting', notApplied)
    }
    if (nowMs >= options.deadlineMs) {
      return new KvError('timeout', 'the deadline had passed before the operation began', notApplied)
    }
    if (this.#load.operations >= limits.coordinatedOpsMax || !this.#load.fits(bytes)) {
      const running = `${this.#load.operations} operations of ${this.#load.bytes} bytes are running`
      return new KvError('overloaded', `${running}, no more are admitted`, notApplied)
    }
    return undefined
  }
}

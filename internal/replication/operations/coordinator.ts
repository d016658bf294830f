import {
  assert,
  emptyBytes,
  type KvError,
  limits,
  type OperationKind,
  type OperationTrace,
  type Slot,
  stacklessError,
  type TraceWatch,
} from '../../base/index.js'
import { compareHlc, type Hlc, zeroVersion } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'
import { slotCount, slotOf } from '../../slots/index.js'
import { type ExportedPage, exportPage, type SlotExport } from '../transfer/slot-export.js'
import { type KeyLocation, LocateOperation } from './locate.js'
import { type OperationMeter, operationMeters } from './operation-meter.js'
import type {
  DirectOperations,
  GetCaller,
  OperationOptions,
  PutOptions,
  ScanOptions,
  ScanPage,
  SlotTransfers,
  WriteCaller,
  WriteResult,
} from './operations.js'
import { ReadOperation } from './read-operation.js'
import { type RestoreTally, restoreAll } from './restore-operation.js'
import type { OperationContext, Routing } from './routing.js'
import { scanPage } from './scan.js'
import type { ReadSettler, WriteSettler } from './settlers.js'
import { type WriteIntent, WriteOperation } from './write-operation.js'

export interface CoordinatorOptions {
  readonly context: OperationContext
  /** Live entries in this node's store, and bytes of all that is in it, for reading ahead. */
  readonly entries: () => number
  readonly dataBytes: () => number
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

/** One operation that was admitted, from its start to its end. */
class Admission {
  readonly #load: Load
  readonly #meter: OperationMeter | undefined
  readonly #key: Uint8Array
  readonly #options: OperationOptions
  readonly #startedMs: number
  #bytes: number
  readonly #trace: OperationTrace | undefined

  constructor(
    load: Load,
    bytes: number,
    meter: OperationMeter | undefined,
    key: Uint8Array,
    options: OperationOptions,
    nowMs: number,
    trace: OperationTrace | undefined,
  ) {
    this.#load = load
    this.#meter = meter
    this.#key = key
    this.#options = options
    this.#startedMs = nowMs
    this.#bytes = bytes
    this.#trace = trace
    load.operations++
    load.bytes += bytes
  }

  /** Undefined: nobody follows the operation. */
  get trace(): OperationTrace | undefined {
    return this.#trace
  }

  hold(bytes: number): boolean {
    if (!this.#load.fits(bytes)) return false
    this.#load.bytes += bytes
    this.#bytes += bytes
    return true
  }

  hasSucceeded(nowMs: number): void {
    this.#release()
    this.#meter?.succeeded(this.#startedMs, nowMs, this.#key, this.#options)
    this.#trace?.ended(undefined)
  }

  hasFailed(error: KvError): void {
    this.#release()
    this.#meter?.failed(this.#startedMs, this.#key, this.#options, error)
    this.#trace?.ended(error.code)
  }

  #release(): void {
    const load = this.#load
    load.operations--
    load.bytes -= this.#bytes
    assert(load.operations >= 0 && load.bytes >= 0, 'an operation ended twice')
  }
}

/** A get that was admitted. */
class AdmittedGet extends Admission implements ReadSettler {
  readonly #caller: GetCaller

  constructor(
    load: Load,
    bytes: number,
    meter: OperationMeter,
    key: Uint8Array,
    options: OperationOptions,
    nowMs: number,
    trace: OperationTrace | undefined,
    caller: GetCaller,
  ) {
    super(load, bytes, meter, key, options, nowMs, trace)
    this.#caller = caller
  }

  resolve(record: StoredRecord | undefined, nowMs: number): void {
    this.hasSucceeded(nowMs)
    this.#caller.got(record)
  }

  reject(error: KvError): void {
    this.hasFailed(error)
    this.#caller.failed(error)
  }
}

/** A put or a delete that was admitted. */
class AdmittedWrite extends Admission implements WriteSettler {
  readonly #caller: WriteCaller

  constructor(
    load: Load,
    bytes: number,
    meter: OperationMeter,
    key: Uint8Array,
    options: OperationOptions,
    nowMs: number,
    trace: OperationTrace | undefined,
    caller: WriteCaller,
  ) {
    super(load, bytes, meter, key, options, nowMs, trace)
    this.#caller = caller
  }

  resolve(result: WriteResult, nowMs: number): void {
    this.hasSucceeded(nowMs)
    this.#caller.wrote(result)
  }

  reject(error: KvError): void {
    this.hasFailed(error)
    this.#caller.failed(error)
  }
}

/**
 * Takes requests for any key and runs them on the key's owners (Dynamo's coordinator). It admits a bounded number of
 * operations and bytes; beyond that the caller is told `overloaded` at once.
 */
export class Coordinator implements DirectOperations, SlotTransfers {
  readonly #context: OperationContext
  readonly #entries: () => number
  readonly #dataBytes: () => number
  #routing: Routing
  readonly #load = new Load()
  readonly #meters: Readonly<Record<OperationKind, OperationMeter>>
  readonly #traces: TraceWatch | undefined
  /** Why nothing new is admitted; undefined: it is. */
  #stopped: string | undefined

  constructor(options: CoordinatorOptions, routing: Routing) {
    this.#context = options.context
    this.#entries = options.entries
    this.#dataBytes = options.dataBytes
    this.#routing = routing
    this.#meters = operationMeters(options.context)
    this.#traces = options.context.instruments.traces
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
    return new Promise((got, failed) => this.startGet(key, options, { got, failed }))
  }

  put(key: Uint8Array, value: Uint8Array, options: PutOptions): Promise<WriteResult> {
    return new Promise((wrote, failed) => this.startPut(key, value, options, { wrote, failed }))
  }

  delete(key: Uint8Array, options: OperationOptions): Promise<WriteResult> {
    return new Promise((wrote, failed) => this.startDelete(key, options, { wrote, failed }))
  }

  startGet(key: Uint8Array, options: OperationOptions, caller: GetCaller): void {
    const nowMs = this.#context.clock.monotonicMs()
    // Where the largest value would find no room it is not even read: that costs a copy of it.
    const meter = this.#meters.get
    const slot = slotOf(key)
    const trace = this.#traced('get', slot, key.length, options)
    const refusal = this.#refusal(key.length + limits.valueBytesMax, options, nowMs)
    if (refusal !== undefined) {
      meter.refused(refusal)
      trace?.ended(refusal.code)
      caller.failed(refusal)
      return
    }
    const admitted = new AdmittedGet(this.#load, key.length, meter, key, options, nowMs, trace, caller)
    new ReadOperation(this.#context, this.#routing, slot, key, options, admitted).start(nowMs)
  }

  startPut(key: Uint8Array, value: Uint8Array, options: PutOptions, caller: WriteCaller): void {
    const { ttlMs } = options
    const expiresAtMs = ttlMs === undefined ? 0 : this.#context.clock.wallMs() + ttlMs
    const returnPrevious = options.returnPrevious === true
    this.#write({ key, value, tombstone: false, expiresAtMs, returnPrevious }, options, caller)
  }

  startDelete(key: Uint8Array, options: OperationOptions, caller: WriteCaller): void {
    const intent = { key, value: emptyBytes, tombstone: true, expiresAtMs: 0, returnPrevious: false }
    this.#write(intent, options, caller)
  }

  async scan(options: ScanOptions): Promise<ScanPage> {
    const nowMs = this.#context.clock.monotonicMs()
    const meter = this.#meters.scan
    const { prefix } = options
    const trace = this.#traced('scan', undefined, prefix.length, options)
    const refusal = this.#refusal(limits.scanPageBytesMax, options, nowMs)
    if (refusal !== undefined) {
      meter.refused(refusal)
      trace?.ended(refusal.code)
      throw refusal
    }
    const admitted = new Admission(this.#load, limits.scanPageBytesMax, meter, prefix, options, nowMs, trace)
    trace?.attempted()
    const density = this.#entries() / this.#slotsHere
    return await this.#during(admitted, () => scanPage(this.#context, () => this.#routing, options, density))
  }

  async exportSlots(request: SlotExport, options: OperationOptions): Promise<ExportedPage> {
    const nowMs = this.#context.clock.monotonicMs()
    // Of each slot the pages of a read quorum wait for each other, and each may have a value beyond its share.
    const bytes = (request.bytesMax + limits.backupSlotsMax * limits.valueBytesMax) * this.#routing.readQuorum
    const refusal = this.#refusal(bytes, options, nowMs)
    if (refusal !== undefined) throw refusal
    const admitted = new Admission(this.#load, bytes, undefined, emptyBytes, options, nowMs, undefined)
    const bytesPerSlot = this.#dataBytes() / this.#slotsHere
    return await this.#during(admitted, () =>
      exportPage(this.#context, () => this.#routing, request, options, bytesPerSlot),
    )
  }

  async restore(records: readonly StoredRecord[], options: OperationOptions): Promise<RestoreTally> {
    const nowMs = this.#context.clock.monotonicMs()
    const bytes = records.reduce((sum, { key, value }) => sum + key.length + value.length, 0)
    const refusal = this.#refusal(bytes, options, nowMs)
    if (refusal !== undefined) throw refusal
    // What is written from now on through this node is above them; and nothing comes in that nobody could overwrite.
    const highest = records.reduce<Hlc>((high, record) => (compareHlc(record, high) > 0 ? record : high), zeroVersion)
    this.#context.raiseClock(highest)
    const admitted = new Admission(this.#load, bytes, undefined, emptyBytes, options, nowMs, undefined)
    const placed = records.map((record) => ({ slot: slotOf(record.key), record }))
    return await this.#during(admitted, () => restoreAll(this.#context, this.#routing, placed, options))
  }

  /** Asks all owners of a key what they hold. Rejects as `get`; that owners do not answer is no failure. */
  async locate(key: Uint8Array, options: OperationOptions): Promise<KeyLocation> {
    const bytes = key.length + limits.replicationFactorMax * limits.valueBytesMax
    const nowMs = this.#context.clock.monotonicMs()
    const refusal = this.#refusal(bytes, options, nowMs)
    if (refusal !== undefined) throw refusal
    const admitted = new Admission(this.#load, bytes, undefined, key, options, nowMs, undefined)
    const located = new Promise<KeyLocation>((resolve, reject) => {
      new LocateOperation(this.#context, this.#routing, slotOf(key), options, { resolve, reject }).start(key)
    })
    return await this.#during(admitted, () => located)
  }

  /** So many slots this node holds copies of, on average. */
  get #slotsHere(): number {
    const { table, replicas } = this.#routing
    return (slotCount * table.ownersPerSlot) / replicas.length
  }

  async #during<T>(admitted: Admission, work: () => Promise<T>): Promise<T> {
    try {
      const result = await work()
      admitted.hasSucceeded(this.#context.clock.monotonicMs())
      return result
    } catch (error) {
      admitted.hasFailed(error as KvError)
      throw error
    }
  }

  #write(intent: WriteIntent, options: OperationOptions, caller: WriteCaller): void {
    const bytes = intent.key.length + intent.value.length
    const nowMs = this.#context.clock.monotonicMs()
    const kind = intent.tombstone ? 'delete' : 'put'
    const meter = this.#meters[kind]
    const slot = slotOf(intent.key)
    const trace = this.#traced(kind, slot, bytes, options)
    const refusal = this.#refusal(bytes, options, nowMs)
    if (refusal !== undefined) {
      meter.refused(refusal)
      trace?.ended(refusal.code)
      caller.failed(refusal)
      return
    }
    const admitted = new AdmittedWrite(this.#load, bytes, meter, intent.key, options, nowMs, trace, caller)
    new WriteOperation(this.#context, this.#routing, slot, intent, options, admitted).start()
  }

  /** Begins to follow an operation where somebody wants that: mostly a look at two fields, and nothing is made. */
  #traced(
    kind: OperationKind,
    slot: Slot | undefined,
    bytes: number,
    { consistency: level, request }: OperationOptions,
  ): OperationTrace | undefined {
    const traces = this.#traces
    if (traces === undefined || (request?.sampled !== true && !traces.listensToOperations)) return undefined
    return traces.operation({ kind, level, slot, bytes, request })
  }

  /** Why an operation that may hold so many bytes is not admitted; undefined: it is. */
  #refusal(bytes: number, options: OperationOptions, nowMs: number): KvError | undefined {
    if (this.#stopped !== undefined) return stacklessError('unavailable', this.#stopped, notApplied)
    if (options.cancellation?.cancelled === true) {
      return stacklessError('cancelled', 'the caller stopped waiting', notApplied)
    }
    if (nowMs >= options.deadlineMs) {
      return stacklessError('timeout', 'the deadline had passed before the operation began', notApplied)
    }
    if (this.#load.operations >= limits.coordinatedOpsMax || !this.#load.fits(bytes)) {
      const running = `${this.#load.operations} operations of ${this.#load.bytes} bytes are running`
      return stacklessError('overloaded', `${running}, no more are admitted`, notApplied)
    }
    return undefined
  }
}

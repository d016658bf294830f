import type { KvError, OperationTrace } from '../../base/index.js'
import type { StoredRecord } from '../../record/index.js'
import type { WriteResult } from './operations.js'

/** Who admitted an operation, and is told how it ends: by one of the methods, once. */
interface Settler {
  /** Undefined: nobody follows the operation. */
  readonly trace: OperationTrace | undefined
  reject(error: KvError): void
  /** Counts so many more bytes that the operation holds until its end; false: there is no room for them. */
  hold(bytes: number): boolean
}

export interface ReadSettler extends Settler {
  /** The live record, or undefined. `nowMs`: the monotonic clock, which was read for the deadline. */
  resolve(record: StoredRecord | undefined, nowMs: number): void
}

export interface WriteSettler extends Settler {
  /** `nowMs`: the monotonic clock, which was read for the deadline. */
  resolve(result: WriteResult, nowMs: number): void
}

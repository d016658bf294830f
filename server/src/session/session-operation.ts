import { assert, Cancellation, emptyBytes, type KvError, type RequestName } from '@quorumkv/internal/base'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { Consistency, GetCaller, PutOptions, WriteCaller, WriteResult } from '@quorumkv/internal/replication'

/** Who began an operation, and is told how it has ended. */
export interface OperationOwner {
  got(operation: SessionOperation, record: StoredRecord | undefined): void
  wrote(operation: SessionOperation, result: WriteResult): void
  failed(operation: SessionOperation, error: unknown): void
}

/**
 * One operation of a session: what was asked for, and at the same time the options and the cancellation with which the
 * node is asked and the caller that it answers, so that there is one object for each operation and not seven.
 */
export class SessionOperation extends Cancellation implements PutOptions, GetCaller, WriteCaller {
  id = 0
  timeoutMs = 0
  kind: 'get' | 'put' | 'delete' | 'nothing' = 'nothing'
  key: Uint8Array = emptyBytes
  value: Uint8Array = emptyBytes
  /** As the schema numbers it, not yet checked. */
  consistencyNumber = 0
  returnPrevious = false
  ttlMs: number | undefined = undefined
  /** Set when the operation is begun. */
  consistency: Consistency = 'quorum'
  deadlineMs = 0
  stampAboveMs = 0
  stampLimitMs = 0
  readonly cancellation: Cancellation = this
  /** As the client has sent it, not yet checked; empty: it has not. */
  traceparent = ''
  /** How the client names its session, or this operation of it. Set when the operation is begun. */
  request: RequestName | undefined = undefined
  /** Set when the operation is begun. */
  owner: OperationOwner | undefined = undefined
  /** The next in its bucket of an OperationTable. */
  next: SessionOperation | undefined = undefined

  got(record: StoredRecord | undefined): void {
    this.owner!.got(this, record)
  }

  wrote(result: WriteResult): void {
    this.owner!.wrote(this, result)
  }

  failed(error: KvError): void {
    this.owner!.failed(this, error)
  }
}

const bucketsMin = 64

/**
 * The operations of a session that run, by id: buckets of linked operations.
 *
 * Not a Map, because its entries come and go. V8 rebuilds such a Map over and over, and once one of the discarded tables
 * is in the old generation, everything that went through it since lives until the next full collection.
 */
export class OperationTable {
  #buckets: (SessionOperation | undefined)[] = new Array(bucketsMin).fill(undefined)
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: number): SessionOperation | undefined {
    let operation = this.#buckets[this.#bucketOf(id)]
    while (operation !== undefined && operation.id !== id) operation = operation.next
    return operation
  }

  /** The id must not be in the table. */
  add(operation: SessionOperation): void {
    if (this.#size >= this.#buckets.length) this.#grow()
    this.#link(operation)
    this.#size++
  }

  /** The operation must be in the table, or have been removed by `clear`. */
  remove(operation: SessionOperation): void {
    if (this.#size === 0) return
    const bucket = this.#bucketOf(operation.id)
    let before: SessionOperation | undefined
    let at = this.#buckets[bucket]
    while (at !== undefined && at !== operation) {
      before = at
      at = at.next
    }
    assert(at === operation, 'an operation is removed from the table that it is in')
    if (before === undefined) this.#buckets[bucket] = operation.next
    else before.next = operation.next
    operation.next = undefined
    this.#size--
  }

  /** Empties the table, and then calls `visit` for each operation that was in it. */
  clear(visit: (operation: SessionOperation) => void): void {
    const buckets = this.#buckets
    this.#buckets = new Array(bucketsMin).fill(undefined)
    this.#size = 0
    for (let operation of buckets) {
      while (operation !== undefined) {
        const { next }: SessionOperation = operation
        operation.next = undefined
        visit(operation)
        operation = next
      }
    }
  }

  /** Spread, because clients choose the ids. */
  #bucketOf(id: number): number {
    return (Math.imul(id, 0x9e3779b1) >>> 16) & (this.#buckets.length - 1)
  }

  #link(operation: SessionOperation): void {
    const bucket = this.#bucketOf(operation.id)
    operation.next = this.#buckets[bucket]
    this.#buckets[bucket] = operation
  }

  #grow(): void {
    const old = this.#buckets
    this.#buckets = new Array(old.length * 2).fill(undefined)
    for (let operation of old) {
      while (operation !== undefined) {
        const { next }: SessionOperation = operation
        this.#link(operation)
        operation = next
      }
    }
  }
}

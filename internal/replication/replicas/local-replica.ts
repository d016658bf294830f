import { KvError, type OperationTrace, type PartTrace, type Slot } from '../../base/index.js'
import type { StoredRecord } from '../../record/index.js'
import type { CommitResult, CommitWaiter, Store } from '../../store/index.js'
import { readAnswer, tracedWrite } from '../operations/traced-items.js'
import { isRefilling } from '../transfer/refilling.js'
import { readSlotPage } from '../transfer/slot-page.js'
import {
  absentRead,
  lostWrite,
  type PageRequest,
  type PageWaiter,
  type ReadReply,
  type ReadWaiter,
  type Replica,
  refillingRead,
  refillingWrite,
  refusedWrite,
  type WriteReply,
  type WriteWaiter,
} from './replica.js'

/** What the store said, in the words of replication. */
export function writeReplyOf(result: CommitResult): WriteReply {
  return {
    kind: result.applied ? 'applied' : 'stale',
    seen: result.seen,
    existed: result.existed,
    previous: result.previous,
    code: undefined,
  }
}

/** Why a commit failed, in the words of replication: only what certainly was not written may be called refused. */
export function writeReplyOfFailure(error: unknown): WriteReply {
  if (!(error instanceof KvError) || error.outcome !== 'not-applied') return lostWrite
  // What is closed is this node's store; the caller, to whom the code goes, has closed nothing.
  return refusedWrite(error.code === 'closed' ? 'unavailable' : error.code)
}

/** One write on its way through this node's log. */
class LocalWrite implements CommitWaiter {
  /** Whether its slot was lost when it came. */
  readonly #refilling: boolean
  readonly #waiter: WriteWaiter
  readonly #position: number
  readonly #part: PartTrace | undefined

  constructor(refilling: boolean, waiter: WriteWaiter, position: number, part: PartTrace | undefined) {
    this.#refilling = refilling
    this.#waiter = waiter
    this.#position = position
    this.#part = part
  }

  committed(result: CommitResult): void {
    this.#tell(this.#refilling ? refillingWrite : writeReplyOf(result))
  }

  commitFailed(error: KvError): void {
    this.#tell(writeReplyOfFailure(error))
  }

  #tell(reply: WriteReply): void {
    this.#part?.ended(reply.code ?? reply.kind)
    this.#waiter.writeReplied(this.#position, reply)
  }
}

/** This node's own copy. */
export class LocalReplica implements Replica {
  readonly up = true
  readonly returning = false
  readonly doubted = false
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  lacks(slot: Slot): boolean {
    return this.#store.isLost(slot)
  }

  accepts(): boolean {
    return true
  }

  write(
    record: StoredRecord,
    wantPrevious: boolean,
    waiter: WriteWaiter,
    position: number,
    isRepair = false,
    trace?: OperationTrace,
  ): void {
    const refilling = isRefilling(this.#store, record.key)
    const part = trace === undefined ? undefined : trace.here(tracedWrite(record, isRepair))
    this.#store.commitOne(record, wantPrevious, !isRepair, new LocalWrite(refilling, waiter, position, part))
  }

  read(key: Uint8Array, full: boolean, waiter: ReadWaiter, position: number, trace?: OperationTrace): void {
    const part = trace?.here({ kind: 'get', bytes: key.length, isRepair: false })
    const reply = this.#read(key, full)
    part?.ended(readAnswer(reply))
    waiter.readReplied(position, reply)
  }

  #read(key: Uint8Array, full: boolean): ReadReply {
    if (isRefilling(this.#store, key)) return refillingRead
    const record = full ? this.#store.get(key) : undefined
    const version = full ? record : this.#store.getVersion(key)
    return version === undefined ? absentRead : { kind: 'held', version, record }
  }

  page(request: PageRequest, waiter: PageWaiter, position: number): void {
    waiter.pageReplied(position, readSlotPage(this.#store, request))
  }
}

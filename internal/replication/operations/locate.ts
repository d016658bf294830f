import { KvError, type NodeId, type Slot } from '../../base/index.js'
import { isFloorVersion, type StoredRecord } from '../../record/index.js'
import type { ReadReply, ReadWaiter, Replica } from '../replicas/replica.js'
import { ownersOf } from '../transfer/slot-quorums.js'
import { ActiveOperation } from './active-operations.js'
import type { OperationOptions } from './operations.js'
import type { OperationContext, Routing } from './routing.js'

/** What one owner holds of a key. */
export interface OwnerHolding {
  readonly id: NodeId
  /** Why it did not answer, for people; empty: it did. */
  readonly obstacle: string
  /** Its record, which may be a tombstone or have expired; undefined: it has none, or did not answer. */
  readonly record: StoredRecord | undefined
}

/** Where a key is. */
export interface KeyLocation {
  readonly slot: Slot
  /** Under which its owners are these. */
  readonly epoch: number
  /** In the order in which they are asked; while the slot moves, those of both sides. */
  readonly holdings: readonly OwnerHolding[]
}

interface LocateSettler {
  resolve(location: KeyLocation): void
  reject(error: KvError): void
}

const obstacles: Readonly<Record<Exclude<ReadReply['kind'], 'held'>, string>> = {
  failed: 'it cannot answer, or the link to it broke',
  refilling: 'it has lost part of the slot and is being refilled',
  'wrong-epoch': 'it goes by another epoch of the topology',
}

/**
 * Asks all owners of a key what they hold of it, for people who look for a difference: no quorum is waited for, nothing is
 * written back, and what has not been answered when the deadline comes is told as such.
 */
export class LocateOperation extends ActiveOperation implements ReadWaiter {
  readonly #context: OperationContext
  readonly #routing: Routing
  readonly #slot: Slot
  readonly #options: OperationOptions
  readonly #settler: LocateSettler
  readonly #replies: (ReadReply | undefined)[]
  /** Of those who could not be asked, or whose answer is not true any more. */
  readonly #obstacles: string[]
  #waiting: number
  #settled = false

  constructor(
    context: OperationContext,
    routing: Routing,
    slot: Slot,
    options: OperationOptions,
    settler: LocateSettler,
  ) {
    super()
    this.#context = context
    this.#routing = routing
    this.#slot = slot
    this.#options = options
    this.#settler = settler
    const owners = ownersOf(routing, slot)
    this.#waiting = owners.length
    this.#replies = Array.from(owners, () => undefined)
    this.#obstacles = Array.from(owners, () => '')
  }

  start(key: Uint8Array): void {
    this.#context.active.add(this)
    this.#options.cancellation?.onCancel(() => this.#cancel())
    const { replicas } = this.#routing
    const owners = ownersOf(this.#routing, this.#slot)
    for (let i = 0; i < owners.length; i++) {
      const replica = replicas[owners[i]!]!
      if (replica.up) replica.read(key, true, this, i)
      else this.#cannotReach(i)
    }
  }

  readReplied(position: number, reply: ReadReply): void {
    if (this.#settled) return
    this.#replies[position] = reply
    this.#waiting--
    if (this.#waiting === 0) this.#tell()
  }

  override tick(nowMs: number): void {
    if (nowMs >= this.#options.deadlineMs) this.#tell()
  }

  override forget(replica: Replica, slots: ReadonlySet<number>): void {
    if (!slots.has(this.#slot)) return
    const owners = ownersOf(this.#routing, this.#slot)
    for (let i = 0; i < owners.length; i++) {
      if (this.#routing.replicas[owners[i]!] === replica) this.#obstacles[i] = 'it has just lost its data'
    }
  }

  /** What was asked is told under the epoch in which it was asked. */
  override reroute(): void {}

  #cannotReach(position: number): void {
    this.#obstacles[position] = 'it cannot be reached'
    this.#waiting--
    if (this.#waiting === 0) this.#tell()
  }

  #tell(): void {
    if (this.#settled) return
    this.#end()
    const { table, epoch } = this.#routing
    const holdings = Array.from(ownersOf(this.#routing, this.#slot), (member, i): OwnerHolding => {
      const reply = this.#replies[i]
      const { id } = table.members[member]!
      const obstacle = this.#obstacles[i] || this.#obstacleIn(reply)
      return { id, obstacle, record: obstacle === '' ? heldIn(reply?.record) : undefined }
    })
    this.#settler.resolve({ slot: this.#slot, epoch, holdings })
  }

  #obstacleIn(reply: ReadReply | undefined): string {
    if (reply === undefined) return 'it did not answer in time'
    return reply.kind === 'held' ? '' : obstacles[reply.kind]
  }

  #cancel(): void {
    if (this.#settled) return
    this.#end()
    this.#settler.reject(new KvError('cancelled', 'the caller stopped waiting'))
  }

  #end(): void {
    this.#settled = true
    this.#context.active.remove(this)
    this.#options.cancellation?.onCancel(undefined)
  }
}

/** What is absent under a floor is told as a tombstone of the floor, which is no record. */
function heldIn(record: StoredRecord | undefined): StoredRecord | undefined {
  return record === undefined || isFloorVersion(record) ? undefined : record
}

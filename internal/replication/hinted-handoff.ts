import { type Instruments, limits, type NodeId, type Slot } from '../base/index.js'
import type { Clock, Log } from '../env/index.js'
import type { HintPage, HintStatus, HintStore, OwnerHints } from '../hints/index.js'
import { hlcMs } from '../hlc/index.js'
import type { StoredRecord } from '../record/index.js'
import { type Member, slotOf } from '../slots/index.js'
import type { Routing } from './operations/routing.js'
import type { ComparedReplica } from './repair/compared-replica.js'
import type { WriteReply, WriteWaiter } from './replicas/replica.js'
import { ByteRate } from './transfer/byte-rate.js'
import { Pauses } from './transfer/pauses.js'
import { ownersOf } from './transfer/slot-quorums.js'

export interface HintedHandoffOptions {
  readonly clock: Clock
  readonly log: Log
  readonly instruments: Instruments
  /** The one in force now. */
  routing(): Routing
  /** The way to another member, by its index in the routing. */
  peer(member: number): ComparedReplica
  /** Hints for this member were dropped: what they would have brought must be found by comparing. */
  leaveToAntiEntropy(node: NodeId): void
}

/** A member that did not take its hints. */
interface Refusal {
  /** When to try again, in monotonic milliseconds. */
  readonly dueMs: number
  readonly backoffMs: number
}

/**
 * Keeps acknowledged writes that an owner has missed (it was down, refused them, or its answer was lost) and hands them
 * over when it can be reached. It shortens the time in which the owner lacks them and promises nothing: whatever a hint does
 * not bring, for whatever reason, anti-entropy does.
 *
 * What is handed over has the stamp that it had, and the owner may refuse it: `stale`, because it has something newer or a
 * floor above it, is an answer like `applied`, and the hint is done with. No answer to a hint counts for any operation.
 *
 * Hints are only kept for what a client was told is stored. A write that failed may be nowhere, and its client
 * may have been told so: a hint would bring it to life.
 */
export class HintedHandoff {
  readonly #options: HintedHandoffOptions
  readonly #store: HintStore
  /** Of what is handed over. */
  readonly #pauses: Pauses
  /** Of the wait for something to hand over. */
  readonly #idle: Pauses
  /** Of the wait until it is time to write again. */
  readonly #writing: Pauses
  readonly #rate: ByteRate
  readonly #refusals = new Map<NodeId, Refusal>()

  /** `store`: with what earlier lives of this node have left. */
  constructor(options: HintedHandoffOptions, store: HintStore) {
    const { clock } = options
    this.#options = options
    this.#store = store
    this.#pauses = new Pauses(clock)
    this.#idle = new Pauses(clock)
    this.#writing = new Pauses(clock)
    this.#rate = new ByteRate(clock, this.#pauses, limits.hintBytesPerSecond)
  }

  /** A member has missed a write that was acknowledged. Copies its bytes. */
  keep({ id, incarnation }: Member, record: StoredRecord): void {
    this.#store.keep({ id, incarnation }, record)
    if (this.#store.pressing) this.#writing.endAll()
  }

  /** Works until stopped. Throws only bugs. */
  async run(): Promise<void> {
    await Promise.all([this.#writeAlways(), this.#handOverAlways()])
  }

  /** A member can be reached again. */
  returned(node: NodeId): void {
    this.#refusals.delete(node)
    this.wake()
  }

  /** The topology has changed, or a member has come. */
  wake(): void {
    this.#writing.endAll()
    this.#idle.endAll()
  }

  /** Nothing is handed over any more; hints are still kept, until `close`. Idempotent. */
  stop(): void {
    this.#pauses.stop()
    this.#idle.stop()
    this.#writing.stop()
  }

  /** Makes everything durable. After `run` has resolved; nothing may be kept after it. */
  async close(): Promise<void> {
    await this.#store.write(true, () => true)
  }

  status(): HintStatus[] {
    return this.#store.status()
  }

  /** Writes hints to disk, early when there are many, and syncs them now and then. */
  async #writeAlways(): Promise<void> {
    const { clock } = this.#options
    let syncMs = 0
    while (!this.#writing.stopped) {
      const nowMs = clock.monotonicMs()
      const sync = nowMs >= syncMs
      if (sync) syncMs = nowMs + limits.hintIntervalMs
      // A file of its own for each look at a member that refuses would make many small ones.
      await this.#store.write(sync, (hints) => !hints.hasFront && this.#peerOf(hints)?.up === true)
      if (this.#store.owners().some((hints) => hints.hasFront && this.#due(hints))) this.#idle.endAll()
      if (!this.#store.pressing) await this.#writing.pause(limits.hintIntervalMs)
    }
  }

  /** Hands over, one file after the other, so that one page is in memory at a time, whoever has come back. */
  async #handOverAlways(): Promise<void> {
    while (!this.#idle.stopped) {
      let handedOver = false
      for (const hints of this.#store.owners()) {
        await this.#dropOld(hints)
        if (this.#idle.stopped || !this.#due(hints)) continue
        if (hints.hasFront) handedOver = (await this.#handOver(hints)) || handedOver
        else if (hints.owed && hints.empty) {
          hints.owed = false
          this.#options.leaveToAntiEntropy(hints.owner.id)
        }
      }
      if (!handedOver) await this.#idle.pause(limits.hintIntervalMs)
    }
  }

  async #dropOld(hints: OwnerHints): Promise<void> {
    const { clock, log, routing } = this.#options
    const { id, incarnation } = hints.owner
    const { table } = routing()
    if (!table.members.some((member) => member.id === id && member.incarnation === incarnation)) {
      if (hints.condemned !== 'for good')
        log.info('hints for a member that is no more are removed', { node: id, incarnation })
      hints.condemn('for good')
      this.#refusals.delete(id)
    }
    await hints.dropBefore(clock.wallMs() - limits.hintAgeMsMax)
  }

  /** Looked at for each page: floors rely on no hint being handed over later (docs/adr/0022-hinted-handoff.md). */
  #tooOld(records: readonly StoredRecord[]): boolean {
    const [first] = records
    return first !== undefined && hlcMs(first) < this.#options.clock.wallMs() - limits.hintAgeMsMax
  }

  /** Whether the member can be reached and is not to be left in peace for now. */
  #due(hints: OwnerHints): boolean {
    const refusal = this.#refusals.get(hints.owner.id)
    if (refusal !== undefined && this.#options.clock.monotonicMs() < refusal.dueMs) return false
    return this.#peerOf(hints)?.up === true
  }

  #peerOf({ owner, condemned }: OwnerHints): ComparedReplica | undefined {
    const member = condemned === 'no' ? this.#memberOf(owner.id) : -1
    return member < 0 ? undefined : this.#options.peer(member)
  }

  #memberOf(node: NodeId): number {
    return this.#options.routing().table.members.findIndex(({ id }) => id === node)
  }

  /** Hands over the oldest file of hints; whether the member took all of it. */
  async #handOver(hints: OwnerHints): Promise<boolean> {
    const { clock, log, instruments } = this.#options
    const reader = await hints.openFront()
    if (reader === undefined) return true
    const { id } = hints.owner
    let taken = true
    for (let page = await hints.readFront(reader); page !== undefined; page = await hints.readFront(reader)) {
      taken = await this.#send(id, page)
      if (!taken) break
      hints.advanceFront(reader)
      instruments.hintsReplayed += page.records.length
      await this.#rate.pay(page.bytes)
    }
    await hints.closeFront(reader, taken)
    if (taken) {
      this.#refusals.delete(id)
      if (!hints.hasFront) {
        log.info('hints were handed over', { node: id })
        instruments.events.add('hint-replayed', id, 'all writes that it had missed were handed over')
      }
    } else {
      const { backoffMs } = this.#refusals.get(id) ?? { backoffMs: limits.hintBackoffMsMin }
      const next = Math.min(2 * backoffMs, limits.hintBackoffMsMax)
      this.#refusals.set(id, { dueMs: clock.monotonicMs() + backoffMs, backoffMs: next })
    }
    return taken
  }

  /** Sends one page as writes; whether the member has done with all of them. */
  async #send(node: NodeId, { records }: HintPage): Promise<boolean> {
    for (;;) {
      const member = this.#memberOf(node)
      if (member < 0 || this.#pauses.stopped) return false
      const peer = this.#options.peer(member)
      if (!peer.up || this.#tooOld(records)) return false
      if (!peer.busy) {
        const routing = this.#options.routing()
        const owned = records.filter(({ key }) => ownersOf(routing, slotOf(key) as Slot).includes(member))
        return await this.#pauses.answer<boolean>(limits.hintReplyMs, false, (resolve) => {
          new PageSend(owned, resolve).start(peer)
        })
      }
      await this.#pauses.pause(limits.antiEntropyYieldMs)
    }
  }
}

/** One page on its way to a member: as repairs of what other owners have had since it was acknowledged. */
class PageSend implements WriteWaiter {
  readonly #records: readonly StoredRecord[]
  readonly #resolve: (done: boolean) => void
  #pending = 1
  #failed = false

  constructor(records: readonly StoredRecord[], resolve: (done: boolean) => void) {
    this.#records = records
    this.#resolve = resolve
  }

  start(peer: ComparedReplica): void {
    this.#pending += this.#records.length
    for (const [i, record] of this.#records.entries()) peer.write(record, false, this, i, true)
    this.#answered()
  }

  writeReplied(_position: number, { kind }: WriteReply): void {
    switch (kind) {
      case 'applied':
      case 'stale':
      case 'refilling': // it has it, as far as it has anything
        break
      case 'refused':
      case 'lost':
      case 'wrong-epoch':
        this.#failed = true
        break
      default:
        kind satisfies never
    }
    this.#answered()
  }

  #answered(): void {
    this.#pending--
    if (this.#pending === 0) this.#resolve(!this.#failed)
  }
}

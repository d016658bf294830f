import type { DigestLevel } from '@quorumkv/proto/kv/peer/v1/messages'
import { KvError, limits, type Slot } from '../../base/index.js'
import type { Clock } from '../../env/index.js'
import { differences, type Entry } from '../../merkle/index.js'
import type { Store } from '../../store/index.js'
import type { Routing } from '../operations/routing.js'
import type { ScanSlices } from '../operations/scan-slices.js'
import type { ByteRate } from '../transfer/byte-rate.js'
import type { Pauses } from '../transfer/pauses.js'
import type { SharedSlots } from '../transfer/shared-slots.js'
import { type ComparedReplica, failedDigests } from './compared-replica.js'

/** What an exchange has found and done so far; it counts on in place. */
export interface ExchangeTally {
  /** Slots that were found to differ, twice, and those of them that have been made equal since. */
  differing: number
  repaired: number
  /** Slots that are lost here or there: they are refilled, and not compared. */
  skipped: number
  /** Records that were missing or older here, and there. */
  pulled: number
  pushed: number
  /** Of those records, in both directions. */
  bytes: number
}

export function emptyTally(): ExchangeTally {
  return { differing: 0, repaired: 0, skipped: 0, pulled: 0, pushed: 0, bytes: 0 }
}

export interface ExchangeOptions {
  readonly clock: Clock
  readonly pauses: Pauses
  readonly rate: ByteRate
  readonly store: Store
  readonly shared: SharedSlots
  readonly slices: ScanSlices
  /** The one in force now. */
  routing(): Routing
  /** With whom, by its index in the routing. */
  readonly member: number
  readonly peer: ComparedReplica
  /** Only this slot, which both own; undefined: all that they share. */
  readonly slot: Slot | undefined
  readonly tally: ExchangeTally
  /** Counts the exchanges of this node with that member. */
  readonly turn: number
}

/** What comes with digests. */
export class Told {
  readonly lost: Set<number> = new Set()
  floorMs = 0
}

const nothing: ReadonlyMap<number, string> = new Map()

/**
 * The other member of an exchange, and whether there is any going on with it: the first thing that is in the way ends the
 * exchange as a whole, and is its outcome.
 */
export class Counterpart {
  /** The one under which the exchange began. */
  readonly routing: Routing
  /** The other member's id, for people. */
  readonly name: string
  readonly #options: ExchangeOptions
  #obstacle = ''

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.routing = options.routing()
    this.name = this.routing.table.members[options.member]!.id
  }

  /** Why there is no going on; empty: nothing has been in the way so far. */
  get obstacle(): string {
    return this.#obstacle
  }

  /** Looks at what may have come in the way by itself, too. */
  get goesOn(): boolean {
    const { pauses, peer, routing } = this.#options
    if (this.#obstacle !== '') return false
    if (pauses.stopped) this.#obstacle = 'this node stops'
    else if (routing().epoch !== this.routing.epoch) this.#obstacle = 'the topology has changed'
    else if (!peer.up) this.#obstacle = `${this.name} cannot be reached`
    return this.#obstacle === ''
  }

  /** Ends the exchange, unless something has ended it before. Always false, for who reports that. */
  fail(obstacle: string): false {
    this.#obstacle ||= obstacle
    return false
  }

  /** The same, where the other answered with a kind that is no success. */
  refused(kind: string): false {
    return this.fail(kind === 'refilling' ? `${this.name} has lost a slot` : `${this.name} does not answer`)
  }

  /** Where the other's digests differ from `mine`, which are taken when the answer is there. Fills `told`. */
  async differing(
    level: DigestLevel,
    places: readonly number[],
    mine: () => Uint8Array | Promise<Uint8Array>,
    told?: Told,
  ): Promise<ReadonlyMap<number, string>> {
    if (!(await this.turn())) return nothing
    const { pauses, peer } = this.#options
    const ask = { level, member: this.routing.self, places }
    const answer = await pauses.answer(limits.antiEntropyReplyMs, failedDigests, (resolve) =>
      peer.digests(ask, resolve),
    )
    if (!this.goesOn) return nothing
    if (answer.kind !== 'held') {
      this.refused(answer.kind)
      return nothing
    }
    for (const slot of answer.lost) told?.lost.add(slot)
    if (told !== undefined) told.floorMs = answer.floorMs
    const found = differences(await mine(), answer.digests)
    if (found === undefined) this.fail(`${this.name} compares other slots`)
    return found ?? nothing
  }

  /** Waits while the link is busy with what clients want; false: it does not get free, or there is no going on. */
  async turn(): Promise<boolean> {
    const { clock, pauses, peer } = this.#options
    const giveUpMs = clock.monotonicMs() + limits.antiEntropyReplyMs
    while (this.goesOn && peer.busy) {
      if (clock.monotonicMs() >= giveUpMs) this.fail(`the link to ${this.name} is overloaded`)
      else await pauses.pause(limits.antiEntropyYieldMs)
    }
    return this.goesOn
  }

  /**
   * Waits for the time in which records of this size may travel, and for the link. They are not in memory before that:
   * what many slots move at once is bounded by the rate.
   */
  async paid(batch: readonly Entry[]): Promise<boolean> {
    await this.#options.rate.pay(batch.reduce((sum, { bytes }) => sum + bytes, 0))
    return await this.turn()
  }

  /** Whether this node's store took it. */
  async stored(act: () => Promise<unknown>): Promise<boolean> {
    try {
      await act()
      return true
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      return this.fail(`nothing can be stored here: ${error.message}`)
    }
  }
}

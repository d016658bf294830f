import { type FloorRequest, type PeerMessage, ReadStatus } from '@quorumkv/proto/kv/peer/v1/messages'
import { KvError, limits, type Slot } from '../../base/index.js'
import type { Log } from '../../env/index.js'
import { RecordFormatError } from '../../record/index.js'
import { slotCount } from '../../slots/index.js'
import type { Store } from '../../store/index.js'
import type { Routing } from '../operations/routing.js'
import type { ScanSlices } from '../operations/scan-slices.js'
import type { PeerLink } from '../replicas/peer-link.js'
import { type FloorAnswer, failedFloors, floorStanding, toldMs } from './floor-peer.js'
import type { Horizon } from './horizon.js'

/** Tells other owners how this one stands to a floor, and raises floors on which all of them have agreed. */
export class FloorServer {
  readonly #store: Store
  readonly #horizon: Horizon
  readonly #slices: ScanSlices
  readonly #log: Log
  readonly #routing: () => Routing
  /** Questions that wait until what was committed before them has settled, and then for their slice. */
  #waiting = 0

  constructor(store: Store, horizon: Horizon, slices: ScanSlices, log: Log, routing: () => Routing) {
    this.#store = store
    this.#horizon = horizon
    this.#slices = slices
    this.#log = log
    this.#routing = routing
  }

  /**
   * Answers what a message asks that was sent under this node's own epoch. Throws RecordFormatError when it makes no
   * sense.
   */
  serve({ floorRequests, floorRaises }: PeerMessage, link: PeerLink): void {
    for (const request of floorRequests) {
      check(request.slot, Math.max(request.agreedMs, request.candidateMs))
      if (this.#overloaded(link)) reply(request.id, ReadStatus.OVERLOADED, failedFloors, link)
      else this.#answer(request, link)
    }
    for (const { slot, floorMs } of floorRaises) {
      check(slot, floorMs)
      this.#raise(slot as Slot, floorMs)
    }
  }

  /** Refuses all of it: under another topology a slot may have other owners. */
  refuse({ floorRequests }: PeerMessage, link: PeerLink): void {
    for (const { id } of floorRequests) reply(id, ReadStatus.WRONG_EPOCH, failedFloors, link)
  }

  #overloaded(link: PeerLink): boolean {
    return link.overloaded || this.#waiting + this.#slices.waiting >= limits.antiEntropyScansMax
  }

  /** What was committed before it was asked must be in the answer: some of it may be acknowledged already by others. */
  #answer({ id, slot, agreedMs, candidateMs }: FloorRequest, link: PeerLink): void {
    const horizonMs = this.#horizon.ms()
    this.#waiting++
    const scan = (): void => {
      const answer = floorStanding(this.#store, horizonMs, { slot: slot as Slot, agreedMs, candidateMs })
      reply(id, answer.kind === 'held' ? ReadStatus.RECORD : ReadStatus.REFILLING, answer, link)
    }
    void this.#store.settled().then(() => {
      this.#waiting--
      this.#slices.add(scan)
    })
  }

  #raise(slot: Slot, floorMs: number): void {
    if (this.#store.isLost(slot) || floorMs > this.#horizon.ms()) return
    // Agreed before the handover began, and sent after its sender had heard of it.
    if (this.#routing().slots[slot]!.moves) return
    this.#store.raiseFloors([{ slot, floorMs }]).catch((error: unknown) => {
      if (!(error instanceof KvError)) throw error
      // Anti-entropy finds that the others' floor is higher.
      this.#log.debug('a floor was not raised', { slot, floorMs, cause: error.message })
    })
  }
}

function check(slot: number, floorMs: number): void {
  if (slot >= slotCount) throw new RecordFormatError(0, `a floor of slot ${slot}`)
  toldMs(floorMs)
}

function reply(
  id: number,
  status: ReadStatus,
  { floorMs, horizonMs, agreed, candidate }: FloorAnswer,
  link: PeerLink,
): void {
  link.outbox(0).addFloorReply({
    id,
    status,
    floorMs,
    horizonMs,
    agreedHi: agreed.hi,
    agreedLo: agreed.lo,
    candidateHi: candidate.hi,
    candidateLo: candidate.lo,
  })
}

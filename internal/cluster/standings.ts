import type { PeerMessage, Standing, StandingRequest } from '@quorumkv/proto/kv/peer/v1/messages'
import { limits, type NodeId, type Slot } from '../base/index.js'
import type { Clock } from '../env/index.js'
import { Pauses } from '../replication/index.js'
import { slotCount, type Topology } from '../slots/index.js'

export interface StandingsOptions {
  readonly clock: Clock
  readonly self: NodeId
  readonly topology: () => Topology
  /** Whether this node has a link to a member. */
  readonly linked: (id: NodeId) => boolean
  readonly lostSlots: () => readonly Slot[]
  /** Whether the disk of this node is full. */
  readonly readOnly: () => boolean
  readonly send: (to: NodeId, part: Partial<PeerMessage>) => void
}

/** What a member's copies are worth. */
export interface CopiesOfMember {
  /** Slots that it has lost and does not answer for. */
  readonly lost: ReadonlySet<Slot>
  /** It answers reads, and takes no writes. */
  readonly readOnly: boolean
}

/** Members that answered just now. */
export type StandingReport = ReadonlyMap<NodeId, CopiesOfMember>

interface Inquiry {
  readonly waiting: Set<NodeId>
  readonly report: Map<NodeId, CopiesOfMember>
  readonly done: () => void
}

/**
 * Asks the members what their copies are worth, in the moment in which somebody has to know: what was true a few seconds
 * ago is not good enough for deciding which node may go down.
 */
export class Standings {
  readonly #options: StandingsOptions
  readonly #pauses: Pauses
  readonly #inquiries = new Map<number, Inquiry>()
  #inquiryId = 0
  #asking: Promise<unknown> = Promise.resolve()

  constructor(options: StandingsOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
  }

  /** Idempotent. What is being asked ends with the answers that there are. */
  stop(): void {
    this.#pauses.stop()
  }

  /** Another member wants to know. */
  asked({ id }: StandingRequest): Standing {
    const { lostSlots, readOnly } = this.#options
    return { id, lostSlots: bitmapOf(lostSlots()), readOnly: readOnly() }
  }

  answered(from: NodeId, { id, lostSlots, readOnly }: Standing): void {
    const inquiry = this.#inquiries.get(id)
    if (inquiry === undefined || !inquiry.waiting.delete(from)) return
    inquiry.report.set(from, { lost: slotsOf(lostSlots), readOnly })
    if (inquiry.waiting.size === 0) inquiry.done()
  }

  /** What this node and all members that answer in time say; one inquiry at a time. */
  ask(): Promise<StandingReport> {
    const report = this.#asking.then(() => this.#ask())
    // Whoever asked is told of a failure; whoever asks next begins anew.
    this.#asking = report.catch(() => undefined)
    return report
  }

  async #ask(): Promise<StandingReport> {
    const { self, topology, linked, lostSlots, readOnly, send } = this.#options
    const own: CopiesOfMember = { lost: new Set(lostSlots()), readOnly: readOnly() }
    const report = new Map([[self, own]])
    const others = topology().members.filter(({ id }) => id !== self && linked(id))
    if (others.length === 0) return report
    const id = ++this.#inquiryId
    await this.#pauses.answer<void>(limits.standingAnswerMs, undefined, (done) => {
      this.#inquiries.set(id, { waiting: new Set(others.map((each) => each.id)), report, done })
      for (const member of others) send(member.id, { standingRequest: { id } })
    })
    this.#inquiries.delete(id)
    return report
  }
}

/** One bit for each slot, the lowest bit of a byte first; nothing at all where none is set, which is nearly always. */
function bitmapOf(slots: readonly Slot[]): Buffer {
  if (slots.length === 0) return Buffer.alloc(0)
  const bits = Buffer.alloc(slotCount / 8)
  for (const slot of slots) bits[slot >>> 3]! |= 1 << (slot & 7)
  return bits
}

/** Whatever is not there counts as not set; what goes beyond the last slot is passed over. */
function slotsOf(bits: Buffer): ReadonlySet<Slot> {
  const slots = new Set<Slot>()
  for (let byte = 0; byte < Math.min(bits.length, slotCount / 8); byte++) {
    for (let bit = 0; bit < 8; bit++) if ((bits[byte]! & (1 << bit)) !== 0) slots.add((byte * 8 + bit) as Slot)
  }
  return slots
}

import type { PeerMessage, Standing, StandingRequest } from '@quorumkv/proto/kv/peer/v1/messages'
import { limits, type NodeId, type Slot } from '../../base/index.js'
import type { Clock } from '../../env/index.js'
import { Pauses } from '../../replication/index.js'
import { slotCount, type Topology } from '../../slots/index.js'
import { Inquiries } from './inquiries.js'

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

/**
 * Asks the members what their copies are worth, in the moment in which somebody has to know: what was true a few seconds
 * ago is not good enough for deciding which node may go down.
 */
export class Standings {
  readonly #options: StandingsOptions
  readonly #pauses: Pauses
  readonly #inquiries: Inquiries<CopiesOfMember>
  #asking: Promise<unknown> = Promise.resolve()

  constructor(options: StandingsOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
    this.#inquiries = new Inquiries(this.#pauses)
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
    this.#inquiries.answered(from, id, { lost: slotsOf(lostSlots), readOnly })
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
    const others = topology().members.filter(({ id }) => id !== self && linked(id))
    const ids = others.map(({ id }) => id)
    const answers = await this.#inquiries.ask(ids, limits.standingAnswerMs, (member, id) => {
      send(member, { standingRequest: { id } })
    })
    return new Map([[self, own], ...answers])
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

import type { Epoch, Incarnation, NodeId } from '../../base/index.js'
import { effectiveQuorums, incomingSlots, movedSlots, slotTables, type Topology } from '../../slots/index.js'

/** What a member says of itself while a handover runs. What it says once stays true of its incarnation. */
export interface HandoverReport {
  readonly id: NodeId
  readonly incarnation: Incarnation
  /** The epoch that began the handover: its name. */
  readonly since: Epoch
  /** Slots that come to it, and those of them that are there. */
  readonly slots: number
  readonly done: number
  /** Streamed to it so far. */
  readonly bytes: number
  /** Estimates; undefined: unknown yet. */
  readonly remainingBytes: number | undefined
  readonly remainingMs: number | undefined
  /** It goes by the step `switch`, and all that it had admitted before is on its disk. */
  readonly switched: boolean
  /** Why it does not get on just now, for people; empty: it does, or need not. */
  readonly obstacle: string
}

export type Reports = ReadonlyMap<NodeId, HandoverReport>

/**
 * Decides when a handover may take its next step, from the document and what members have reported. Pure; worked out
 * once for each epoch, because it goes through all slots.
 */
export class HandoverJudgement {
  readonly #topology: Topology
  /** By member index: how many slots come to it. */
  readonly #incoming: readonly number[]
  /** Sets of members, each with how many of them must have switched, until all may end; each set once. */
  readonly #former: readonly { readonly owners: readonly number[]; readonly needed: number }[]

  /** A handover runs in the topology. */
  constructor(topology: Topology) {
    this.#topology = topology
    const tables = slotTables(topology)
    this.#incoming = topology.members.map((_, member) => incomingSlots(topology, tables, member).length)
    const { current, next } = tables
    const { readQuorum } = effectiveQuorums(topology.replication, current.ownersPerSlot)
    const sets = new Map<string, number[]>()
    for (const slot of movedSlots(current, next!)) {
      const owners = [...current.owners(slot)].sort((a, b) => a - b)
      sets.set(owners.join(), owners)
    }
    // Fewer than a read quorum of the former owners are then left that could still answer a read among themselves.
    const needed = current.ownersPerSlot - readQuorum + 1
    this.#former = Array.from(sets.values(), (owners) => ({ owners, needed }))
  }

  /** The members that still lack slots, so that nobody may be read from the next owners yet; none: they may. */
  lacking(reports: Reports): NodeId[] {
    return this.#names((member) => this.#incoming[member]! > 0 && !this.#isComplete(member, reports))
  }

  /** The former owners without whom the handover cannot end, because they may still answer reads; none: it may. */
  unswitched(reports: Reports): NodeId[] {
    const waitedFor = new Set<number>()
    for (const { owners, needed } of this.#former) {
      const waiting = owners.filter((member) => this.#reportOf(member, reports)?.switched !== true)
      if (owners.length - waiting.length < needed) for (const member of waiting) waitedFor.add(member)
    }
    return this.#names((member) => waitedFor.has(member))
  }

  #isComplete(member: number, reports: Reports): boolean {
    const report = this.#reportOf(member, reports)
    return report !== undefined && report.slots === this.#incoming[member] && report.done === report.slots
  }

  /** What the very incarnation that the document names says of this very handover. */
  #reportOf(member: number, reports: Reports): HandoverReport | undefined {
    const { id, incarnation } = this.#topology.members[member]!
    const report = reports.get(id)
    return report?.incarnation === incarnation && report.since === this.#topology.handover!.since ? report : undefined
  }

  #names(which: (member: number) => boolean): NodeId[] {
    return this.#topology.members.filter((_, member) => which(member)).map(({ id }) => id)
  }
}

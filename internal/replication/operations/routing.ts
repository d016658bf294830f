import type { Epoch, Instruments } from '../../base/index.js'
import type { Clock } from '../../env/index.js'
import type { Hlc } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'
import type { HandoverStep, Member, SlotTable } from '../../slots/index.js'
import type { Replica } from '../replicas/replica.js'
import type { SlotOwners } from '../transfer/slot-quorums.js'
import type { ActiveOperations } from './active-operations.js'

/** Where the data is, under one epoch of the topology. */
export interface RoutingSides {
  readonly epoch: Epoch
  /** Whose copies are read. */
  readonly table: SlotTable
  /** This node's index among the members. */
  readonly self: number
  /** By member index. */
  readonly replicas: readonly Replica[]
  /** What a quorum is where a slot has `table.ownersPerSlot` owners. */
  readonly readQuorum: number
  readonly writeQuorum: number
  /** While a handover runs, the side that is not read: first the owners afterwards, then those from before. */
  readonly other: SlotTable | undefined
  /** What a quorum is among the owners of that side; 0 where there is none. */
  readonly otherReadQuorum: number
  readonly otherWriteQuorum: number
  /** Of the handover that runs. */
  readonly step: HandoverStep | undefined
}

/** The same with what follows from it for each slot. Made by `routingOf`; replaced as a whole, never changed. */
export interface Routing extends RoutingSides {
  /** By slot. */
  readonly slots: readonly SlotOwners[]
}

/** Of a routing while no handover runs. */
export const noOtherSide: Pick<RoutingSides, 'other' | 'otherReadQuorum' | 'otherWriteQuorum' | 'step'> = {
  other: undefined,
  step: undefined,
  otherReadQuorum: 0,
  otherWriteQuorum: 0,
}

/** What operations need from the node around them. */
export interface OperationContext {
  readonly clock: Clock
  readonly active: ActiveOperations
  readonly instruments: Instruments
  /**
   * A fresh stamp for a write of this node, or undefined while the clock may not move on. Throws KvError (nothing is
   * applied) when this node may not stamp: its clock is off, or its disk is full.
   */
  stamp(): Hlc | undefined
  /**
   * Calls `retry` once, when there may be a stamp again. Returns how to stop waiting: an operation that has ended
   * meanwhile must leave nothing behind, however long the disk takes.
   */
  whenStampable(retry: () => void): () => void
  /** Moves the clock above a stamp that was seen. Throws KvError `unavailable` when that is too far ahead. */
  raiseClock(above: Hlc): void
  /** A member other than this node has missed a write that was acknowledged. Must not throw. */
  missed(member: Member, record: StoredRecord): void
  /** The number that this node's versions carry. */
  readonly nodeNumber: number
}

/**
 * How many owners must hold a version so that every read quorum meets it: then no later quorum read can return an
 * older one. Smaller than a write quorum only where reads ask more than they must.
 */
export function settledCount(routing: Routing): number {
  return routing.table.ownersPerSlot - routing.readQuorum + 1
}

import type { Slot } from '../../base/index.js'
import { hlcMsMax } from '../../hlc/index.js'
import { type Floor, RecordFormatError } from '../../record/index.js'
import type { Digest, Store } from '../../store/index.js'

/** How does an owner stand to a floor that a slot may get, and to one that it may be given now? */
export interface FloorAsk {
  readonly slot: Slot
  /** The floor on which all owners agreed the last time; 0: none. */
  readonly agreedMs: number
  readonly candidateMs: number
}

export interface FloorAnswer {
  readonly kind: 'held' | 'failed' | 'refilling'
  /** The slot's floor there. */
  readonly floorMs: number
  /** Nothing fresh that was stamped then or before is admitted there any more (`Horizon`). */
  readonly horizonMs: number
  /** Over all records up to the one and up to the other. */
  readonly agreed: Digest
  readonly candidate: Digest
}

/**
 * A floor or horizon, Unix milliseconds, as another node tells it: it travels as a double, which holds much else. Throws
 * RecordFormatError for what is none, before anything is compared with it.
 */
export function toldMs(ms: number): number {
  if (Number.isInteger(ms) && ms >= 0 && ms <= hlcMsMax) return ms
  throw new RecordFormatError(0, `a floor or horizon at ${ms}`)
}

const none: Digest = { hi: 0, lo: 0 }
export const failedFloors: FloorAnswer = { kind: 'failed', floorMs: 0, horizonMs: 0, agreed: none, candidate: none }
export const refillingFloors: FloorAnswer = { ...failedFloors, kind: 'refilling' }

/** The way to another owner, for floors. */
export interface FloorPeer {
  readonly up: boolean
  /** So much waits to be sent to it that what is not urgent should wait. */
  readonly busy: boolean
  /** Which process answers there now. */
  readonly life: string
  /** Answered exactly once, perhaps at once. */
  floors(ask: FloorAsk, answered: (answer: FloorAnswer) => void): void
  /** Tells it to raise a floor, if it is still the process that had answered. Nothing comes back. */
  raiseFloor(floor: Floor, life: string): void
}

/**
 * What this node's own store answers, by two scans of the slot. `horizonMs`: its horizon before it began to wait for what
 * was committed until then to settle. What came later and was admitted may be missing in the digests, and is above it.
 */
export function floorStanding(store: Store, horizonMs: number, ask: FloorAsk): FloorAnswer {
  const { slot, agreedMs, candidateMs } = ask
  if (store.isLost(slot)) return refillingFloors
  return {
    kind: 'held',
    floorMs: store.floorMs(slot),
    horizonMs,
    agreed: agreedMs === 0 ? none : store.digestUpTo(slot, agreedMs),
    candidate: store.digestUpTo(slot, candidateMs),
  }
}

import type { Slot } from '../../base/index.js'
import { slotOf } from '../../slots/index.js'
import type { Store } from '../../store/index.js'

/**
 * Whether this key's slot is lost here, so that the store has no say in it. To be asked when a request comes, not when
 * its answer leaves: a write that met a lost slot was not compared with what the slot had lost, even if the refill
 * ends before the write is durable.
 */
export function isRefilling(store: Store, key: Uint8Array): boolean {
  return store.lostCount > 0 && store.isLost(slotOf(key))
}

/** What to add to the failure of an operation in a slot that `refilling` of its `owners` have lost; empty: none has. */
export function refillingNote(slot: Slot, refilling: number, owners: number): string {
  if (refilling === 0) return ''
  if (owners === 1) {
    const way = '`kv-server repair --accept-loss` gives up what it had'
    return `; slot ${slot} is lost on its only owner: if no copy exists elsewhere, ${way}`
  }
  return `; slot ${slot} is lost and being refilled on ${refilling} of ${owners} owners`
}

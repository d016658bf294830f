import { KvError, limits, type Slot } from '../../base/index.js'
import type { Clock, Log } from '../../env/index.js'
import { Pauses, type Routing } from '../../replication/index.js'
import { allSlots } from '../../slots/index.js'
import type { Store } from '../../store/index.js'

export interface LeftoversOptions {
  readonly clock: Clock
  readonly log: Log
  readonly store: Store
  /** The one in force now. */
  routing(): Routing
}

/**
 * Empties, a few at a time, the slots that this node holds something of and does not own; never while a handover runs,
 * whose former owners are still needed. In the turn in which a slot is found it goes into the log that it is emptied: so
 * what a later topology brings to it comes behind that.
 *
 * One that was lost here is whole when it is empty: whatever this node had promised in it is with those who own it now, and it
 * comes back with all that they hold.
 */
export class Leftovers {
  readonly #options: LeftoversOptions
  readonly #pauses: Pauses

  constructor(options: LeftoversOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
  }

  /** The topology has changed. */
  wake(): void {
    this.#pauses.endAll()
  }

  /** Idempotent. */
  stop(): void {
    this.#pauses.stop()
  }

  /** Works until stopped. Rejects with bugs only. */
  async run(): Promise<void> {
    const { log, store } = this.#options
    let emptied = 0
    while (!this.#pauses.stopped) {
      const slots = this.#next()
      if (slots.length === 0) {
        if (emptied > 0) log.info('emptied the slots that others own now', { slots: emptied })
        emptied = 0
        await this.#pauses.pause(limits.handoverIdleMs)
        continue
      }
      try {
        await store.emptySlots(slots)
        await store.refilled(slots)
        emptied += slots.length
        await this.#pauses.pause(limits.emptiedPauseMs)
      } catch (error) {
        if (!(error instanceof KvError)) throw error
        log.warn('slots of others cannot be emptied yet', { slots: slots.length, cause: error.message })
        await this.#pauses.pause(limits.logHealIntervalMs)
      }
    }
  }

  #next(): Slot[] {
    const { routing, store } = this.#options
    const { table, other, self } = routing()
    if (other !== undefined) return []
    const found: Slot[] = []
    for (const slot of allSlots()) {
      if (found.length === limits.emptiedSlotsMax) break
      if ((store.holds(slot) || store.isLost(slot)) && !table.ownsSlot(self, slot)) found.push(slot)
    }
    return found
  }
}

import { expect, test } from 'vitest'
import { KvError, limits, type Slot } from '../../base/index.js'
import { silentLog } from '../../env/index.js'
import { SimWorld } from '../../env-sim/index.js'
import type { Routing } from '../../replication/index.js'
import type { SlotTable } from '../../slots/index.js'
import type { Store } from '../../store/index.js'
import { Leftovers } from './leftovers.js'

/** A node that owns the slots below 1,000, and holds something of those in `held`. */
class Play {
  readonly world = new SimWorld({ seed: 'leftovers' })
  readonly held = new Set<number>()
  readonly lost = new Set<number>()
  /** How many slots were emptied each time. */
  readonly batches: number[] = []
  owned = 1_000
  handover = false
  failure: KvError | undefined
  readonly leftovers: Leftovers

  constructor() {
    const table = { ownsSlot: (_: number, slot: Slot) => slot < this.owned } as unknown as SlotTable
    const store = {
      holds: (slot: Slot) => this.held.has(slot),
      isLost: (slot: Slot) => this.lost.has(slot),
      refilled: async (slots: readonly Slot[]) => {
        for (const slot of slots) {
          expect(this.held).not.toContain(slot)
          this.lost.delete(slot)
        }
      },
      emptySlots: async (slots: readonly Slot[]) => {
        if (this.failure !== undefined) throw this.failure
        for (const slot of slots) this.held.delete(slot)
        this.batches.push(slots.length)
      },
    } as unknown as Store
    const routing = (): Routing => {
      return { table, self: 0, other: this.handover ? table : undefined } as unknown as Routing
    }
    const { clock } = this.world.process('node')
    this.leftovers = new Leftovers({ clock, log: silentLog, store, routing })
    void this.leftovers.run()
  }

  hold(from: number, to: number): void {
    for (let slot = from; slot < to; slot++) this.held.add(slot)
    this.leftovers.wake()
  }
}

test('what others own is emptied, a few slots at a time, and nothing else', async () => {
  const play = new Play()
  play.hold(900, 1_300)
  await play.world.advance(10)
  expect(play.batches).toEqual([limits.emptiedSlotsMax])
  await play.world.advance(2_000)
  expect(play.batches.reduce((sum, slots) => sum + slots, 0)).toBe(300)
  expect(Math.max(...play.batches)).toBe(limits.emptiedSlotsMax)
  expect([...play.held]).toEqual(Array.from({ length: 100 }, (_, i) => 900 + i))
})

test('nothing is emptied while a handover runs, and all of it afterwards', async () => {
  const play = new Play()
  play.handover = true
  play.hold(1_000, 1_010)
  await play.world.advance(600_000)
  expect(play.held.size).toBe(10)
  play.handover = false
  play.leftovers.wake()
  await play.world.advance(10)
  expect(play.held.size).toBe(0)
})

test('a slot that is regained meanwhile is not among the next ones', async () => {
  const play = new Play()
  play.hold(1_000, 1_100)
  await play.world.advance(1)
  play.owned = 1_100
  await play.world.advance(10_000)
  expect(play.batches).toEqual([limits.emptiedSlotsMax])
})

test('a slot of others that was lost here is whole when it is empty: nothing is to be had back of it', async () => {
  const play = new Play()
  for (const slot of [999, 1_000, 1_001]) play.lost.add(slot)
  play.hold(1_000, 1_001)
  await play.world.advance(10)
  expect([...play.lost]).toEqual([999])
  play.handover = true
  play.lost.add(1_002)
  play.leftovers.wake()
  await play.world.advance(600_000)
  expect([...play.lost]).toEqual([999, 1_002])
})

test('a log that takes nothing delays it', async () => {
  const play = new Play()
  play.failure = new KvError('read-only', 'the disk is full')
  play.hold(1_000, 1_010)
  await play.world.advance(5_000)
  play.failure = undefined
  await play.world.advance(2 * limits.logHealIntervalMs)
  expect(play.held.size).toBe(0)
})

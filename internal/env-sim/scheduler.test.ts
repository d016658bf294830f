import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { AssertionError } from '../base/index.js'
import { EventOwner, nobody, type ObservedEvent, Scheduler } from './scheduler.js'
import { SimWorld } from './world.js'

async function drain(scheduler: Scheduler): Promise<void> {
  expect(await scheduler.drive(() => false, Number.MAX_SAFE_INTEGER)).toBe('idle')
}

test('events run in the order of time, then of their making, and cancelled ones never', async () => {
  const delays = fc.array(fc.record({ delayMs: fc.integer({ min: 0, max: 20 }), cancel: fc.boolean() }), {
    maxLength: 80,
    size: 'max',
  })
  const run = async (plan: readonly { delayMs: number; cancel: boolean }[]): Promise<void> => {
    const scheduler = new Scheduler(1)
    const order: number[] = []
    const events = plan.map(({ delayMs }, index) =>
      scheduler.schedule(nobody, 'fault', delayMs, () => {
        expect(scheduler.nowMs).toBe(delayMs)
        order.push(index)
      }),
    )
    for (const [index, { cancel }] of plan.entries()) if (cancel) scheduler.cancel(events[index]!)
    const left = plan.map((each, index) => ({ ...each, index })).filter(({ cancel }) => !cancel)
    expect(scheduler.eventsWaiting).toBe(left.length)
    await drain(scheduler)
    // The sort of JavaScript is stable: equal times stay in the order in which they were made.
    expect(order).toEqual(left.sort((a, b) => a.delayMs - b.delayMs).map(({ index }) => index))
  }
  await fc.assert(fc.asyncProperty(delays, run), { numRuns: 200 })
})

test('between two events every promise has run on, however long the chain', async () => {
  const scheduler = new Scheduler(1)
  const order: string[] = []
  const hops = async (count: number, name: string): Promise<void> => {
    for (let i = 0; i < count; i++) await null
    order.push(name)
  }
  for (let i = 0; i < 200; i++) {
    scheduler.schedule(nobody, 'fault', 1, () => {
      order.push(`event ${i}`)
      hops(i * 7, `promises ${i}`).catch(() => order.push('failed'))
    })
  }
  await drain(scheduler)
  expect(order).toEqual(Array.from({ length: 200 }, (_, i) => [`event ${i}`, `promises ${i}`]).flat())
})

test('what a dead owner plans takes no room and never happens', async () => {
  const scheduler = new Scheduler(1)
  const owner = new EventOwner('dead')
  scheduler.schedule(owner, 'timer', 5, () => expect.unreachable())
  owner.alive = false
  scheduler.schedule(owner, 'timer', 5, () => expect.unreachable())
  expect(scheduler.eventsWaiting).toBe(1)
  await drain(scheduler)
  expect(scheduler.eventsRun).toBe(0)
})

test('what an event throws ends the run, and another run may follow', async () => {
  const scheduler = new Scheduler(1)
  scheduler.schedule(nobody, 'fault', 1, () => {
    throw new Error('broken')
  })
  let ran = false
  scheduler.schedule(nobody, 'fault', 2, () => {
    ran = true
  })
  await expect(scheduler.drive(() => false, 10)).rejects.toThrow('broken')
  expect(ran).toBe(false)
  await drain(scheduler)
  expect(ran).toBe(true)
})

test('a program that loops without letting time pass is caught', async () => {
  const scheduler = new Scheduler(1)
  const owner = new EventOwner('busy')
  const again = (): void => {
    scheduler.schedule(owner, 'fault', 0, again)
  }
  again()
  await expect(scheduler.drive(() => false, 10)).rejects.toThrow(/busy loops without a delay/)
})

test('time is driven by one run at a time', async () => {
  const world = new SimWorld({ seed: 1 })
  const running = world.advance(5)
  await expect(world.advance(5)).rejects.toThrow(AssertionError)
  await running
  expect(world.nowMs).toBe(5)
})

test('a run that cannot come to its end says so', async () => {
  const world = new SimWorld({ seed: 1 })
  await expect(world.settle(new Promise(() => {}))).rejects.toThrow(/nothing is left/)
  const node = world.process('n')
  const tick = (): void => {
    node.clock.setTimer(100, tick)
  }
  tick()
  await expect(world.settle(new Promise(() => {}), 5000)).rejects.toThrow(/within 5000 ms/)
  await expect(world.runUntil(() => false, 5000)).rejects.toThrow(/within 5000 ms/)
  await expect(world.settle(Promise.reject(new Error('its own')))).rejects.toThrow('its own')
})

test('advance moves time on even where nothing happens', async () => {
  const world = new SimWorld({ seed: 1 })
  await world.advance(1234)
  expect(world.nowMs).toBe(1234)
  let firedMs = 0
  world.after(10, () => {
    firedMs = world.nowMs
  })
  await world.advance(100)
  expect([firedMs, world.nowMs]).toEqual([1244, 1334])
})

test('the hash tells two runs apart by seed, time, kind, owner and detail', async () => {
  type Plan = readonly [seed: number, delayMs: number, kind: 'timer' | 'disk', owner: string, detail: number]
  const hashOf = async ([seed, delayMs, kind, owner, detail]: Plan): Promise<string> => {
    const seen: ObservedEvent[] = []
    const scheduler = new Scheduler(seed, (event) => seen.push(event))
    scheduler.schedule(new EventOwner(owner), kind, delayMs, () => {}, detail)
    await drain(scheduler)
    expect(seen).toEqual([{ timeMs: delayMs, kind, owner, detail }])
    return scheduler.hash
  }
  const plans: Plan[] = [
    [1, 5, 'timer', 'a', 0],
    [2, 5, 'timer', 'a', 0],
    [1, 6, 'timer', 'a', 0],
    [1, 5, 'disk', 'a', 0],
    [1, 5, 'timer', 'b', 0],
    [1, 5, 'timer', 'a', 1],
  ]
  const hashes = await Promise.all(plans.map(hashOf))
  expect(new Set(hashes).size).toBe(plans.length)
  expect(await hashOf(plans[0]!)).toBe(hashes[0])
  for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{16}$/)
})

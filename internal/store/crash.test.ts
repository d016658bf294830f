import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CrashPolicy } from '../env-sim/index.js'
import { compareRecords, type StoredRecord } from '../record/index.js'
import { put, SimStore, tombstone } from './fixture.conformance.js'

/*
 * A store against a Map of versions, with crashes at any moment. After each crash, for every key: what was acknowledged
 * is there or something higher, what is there was written once, and what had been seen does not go back.
 */

interface Write {
  readonly key: number
  readonly stamp: number
  readonly kind: 'small' | 'large' | 'tombstone'
}

type Step =
  | { readonly do: 'commit'; readonly writes: readonly Write[]; readonly wait: boolean }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'snapshot'; readonly wait: boolean }
  | { readonly do: 'crash'; readonly disk: CrashPolicy }
  | { readonly do: 'close' }

const write: fc.Arbitrary<Write> = fc.record({
  key: fc.nat(12),
  stamp: fc.integer({ min: 1, max: 60 }),
  kind: fc.constantFrom('small', 'small', 'large', 'tombstone'),
})

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      writes: fc.array(write, { minLength: 1, maxLength: 6 }),
      wait: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.double({ min: 0, max: 3, noNaN: true }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('snapshot' as const), wait: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('crash' as const),
      disk: fc.constantFrom<CrashPolicy>('keep', 'lose', 'random', 'random'),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'close' }) },
)

function recordOf({ key, stamp, kind }: Write): StoredRecord {
  if (kind === 'tombstone') return tombstone(`key-${key}`, stamp)
  return put(`key-${key}`, stamp, kind === 'small' ? `v${stamp}` : 'x'.repeat(1_500))
}

function keyOf(record: StoredRecord): string {
  return new TextDecoder().decode(record.key)
}

class Model {
  readonly #sim: SimStore
  /** Every record that was ever handed to the store, by key. */
  readonly #written = new Map<string, StoredRecord[]>()
  /** The highest that was acknowledged or seen, by key. */
  readonly #floor = new Map<string, StoredRecord>()

  constructor(sim: SimStore) {
    this.#sim = sim
  }

  async run(steps: readonly Step[]): Promise<void> {
    await this.#sim.open()
    for (const step of steps) await this.#perform(step)
    await this.#sim.reopen('random')
    this.#check()
    expect(this.#sim.fatal).toEqual([])
  }

  async #perform(step: Step): Promise<void> {
    const sim = this.#sim
    switch (step.do) {
      case 'commit': {
        const committed = this.#commit(step.writes.map(recordOf))
        if (step.wait) await sim.settle(committed)
        return
      }
      case 'advance':
        return sim.world.advance(step.ms)
      case 'snapshot': {
        const taken = sim.store.snapshot()
        if (step.wait) await sim.settle(taken)
        return
      }
      case 'crash':
        await sim.reopen(step.disk)
        return this.#check()
      case 'close':
        await sim.settle(sim.store.close())
        await sim.reopen('lose')
        return this.#check()
      default:
        return step satisfies never
    }
  }

  async #commit(records: readonly StoredRecord[]): Promise<void> {
    for (const record of records) {
      const key = keyOf(record)
      this.#written.set(key, [...(this.#written.get(key) ?? []), record])
    }
    const results = await this.#sim.store.commit(records)
    expect(results).toHaveLength(records.length)
    for (const record of records) this.#raise(record)
  }

  #raise(record: StoredRecord): void {
    const floor = this.#floor.get(keyOf(record))
    if (floor === undefined || compareRecords(record, floor) > 0) this.#floor.set(keyOf(record), record)
  }

  #check(): void {
    const { store } = this.#sim
    let stored = 0
    for (const [key, written] of this.#written) {
      const found = store.get(new TextEncoder().encode(key))
      const floor = this.#floor.get(key)
      if (found === undefined) {
        expect(floor, `${key} was acknowledged and is gone`).toBeUndefined()
        continue
      }
      stored++
      expect(
        written.some((record) => compareRecords(record, found) === 0),
        `${key} was never written so`,
      ).toBe(true)
      if (floor !== undefined) expect(compareRecords(found, floor), `${key} went back`).toBeGreaterThanOrEqual(0)
      expect(compareRecords(found, { ...found, ...store.highestVersion })).toBeLessThanOrEqual(0)
      this.#raise(found)
    }
    const { entries, tombstones } = store.statistics()
    expect(entries + tombstones, 'nothing that was never written').toBe(stored)
  }
}

test('whatever is committed, snapshotted and crashed in whatever order: acknowledged stays, never written stays out', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.array(step, { maxLength: 60 }), async (seed, steps) => {
      await new Model(new SimStore(seed, { snapshotWalBytes: 12_000 })).run(steps)
    }),
    { numRuns: 60 },
  )
})

test('short transfers change nothing about it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.array(step, { maxLength: 30 }), async (seed, steps) => {
      const sim = new SimStore(seed)
      sim.drive.faults.setShortTransfers(0.5)
      await new Model(sim).run(steps)
    }),
    { numRuns: 15 },
  )
})

test('the same seed and the same steps are the same run', async () => {
  const play = async (): Promise<string> => {
    const sim = new SimStore(7)
    await sim.open()
    for (let i = 1; i < 30; i++) void sim.store.commit([put(`k${i % 5}`, i)])
    await sim.world.advance(5)
    await sim.reopen('random')
    return sim.world.hash
  }
  expect(await play()).toBe(await play())
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { emptyBytes } from '../base/index.js'
import type { Version } from '../hlc/index.js'
import { compareRecords, type StoredRecord } from '../record/index.js'
import { SimStore } from './fixture.conformance.js'
import type { CommitResult } from './index.js'
import { commitAlone } from './model.conformance.js'

const text = new TextEncoder()
const keys = ['a', 'b', 'k15599', 'k97211'].map((key) => text.encode(key))
/** The simulated clock does not reach the second in these tests, and has passed the first. */
const expiries = [0, 1, 2 ** 48]

interface Write {
  readonly record: StoredRecord
  readonly wantPrevious: boolean
}

const arbitraryWrite: fc.Arbitrary<Write> = fc
  .record({
    key: fc.constantFrom(...keys),
    lo: fc.integer({ min: 1, max: 4 }),
    tombstone: fc.boolean(),
    expiresAtMs: fc.constantFrom(...expiries),
    value: fc.constantFrom('x', 'y', 'longer than the others'),
    wantPrevious: fc.boolean(),
  })
  .map(({ value, wantPrevious, ...rest }) => ({
    record: { hi: 1, node: 1, ...rest, value: rest.tombstone ? emptyBytes : text.encode(value) },
    wantPrevious,
  }))

/** Batches that cross the border of what one pass of prefetching takes, and small ones. */
const arbitraryBatches = fc.array(
  fc.oneof(fc.array(arbitraryWrite, { maxLength: 6 }), fc.array(arbitraryWrite, { minLength: 60, maxLength: 70 })),
  { maxLength: 5 },
)

/** What `commit` promises, in a Map: what is settled when it is called, if that is looked for, and then one record after the other. */
class Model {
  readonly #held = new Map<Uint8Array, StoredRecord>()

  get(key: Uint8Array): StoredRecord | undefined {
    return this.#held.get(key)
  }

  commit(writes: readonly Write[], fresh: boolean): CommitResult[] {
    const settled = writes.map(({ record }) => (fresh ? undefined : this.#refusal(record)))
    return writes.map((write, i) => settled[i] ?? this.#apply(write))
  }

  #refusal(record: StoredRecord): CommitResult | undefined {
    const held = this.#held.get(record.key)
    const order = held === undefined ? 1 : compareRecords(record, held)
    if (order > 0) return undefined
    return { applied: order === 0, seen: versionOf(held), existed: false, previous: undefined }
  }

  #apply({ record, wantPrevious }: Write): CommitResult {
    const refusal = this.#refusal(record)
    if (refusal !== undefined) return refusal
    const held = this.#held.get(record.key)
    this.#held.set(record.key, record)
    const existed = held !== undefined && !held.tombstone && held.expiresAtMs !== 1
    return { applied: true, seen: versionOf(held), existed, previous: wantPrevious ? held : undefined }
  }
}

function versionOf(record: StoredRecord | undefined): Version | undefined {
  return record && { hi: record.hi, lo: record.lo, node: record.node }
}

test('a batch ends as its records one by one would: doubled, stale, the same, deleted or expired', async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryBatches, fc.boolean(), async (batches, fresh) => {
      const [sim, model] = [new SimStore('batches'), new Model()]
      await sim.open()
      for (const batch of batches) {
        const records = batch.map(({ record }) => record)
        const wantPrevious = batch.map((write) => write.wantPrevious)
        const committed = sim.store.commit(records, { wantPrevious, fresh })
        expect(await sim.settle(committed)).toEqual(model.commit(batch, fresh))
        for (const key of keys) expect(sim.store.get(key)).toEqual(model.get(key))
      }
      await sim.settle(sim.store.close())
    }),
    { numRuns: 40 },
  )
})

test('records that come by themselves in one turn end as a batch of them would', async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryBatches, fc.boolean(), async (batches, fresh) => {
      const [sim, model] = [new SimStore('alone'), new Model()]
      await sim.open()
      for (const batch of batches) {
        const alone = ({ record, wantPrevious }: Write) => commitAlone(sim.store, record, wantPrevious, fresh)
        expect(await sim.settle(Promise.all(batch.map(alone)))).toEqual(model.commit(batch, fresh))
        for (const key of keys) expect(sim.store.get(key)).toEqual(model.get(key))
      }
      await sim.settle(sim.store.close())
    }),
    { numRuns: 40 },
  )
})

test('a record by itself is told, and not thrown, that it is malformed or too late, and changes nothing', async () => {
  const sim = new SimStore('refused')
  await sim.open()
  const record = { hi: 1, lo: 2, node: 1, key: keys[0]!, tombstone: false, expiresAtMs: 0, value: emptyBytes }
  const refused = (changes: Partial<StoredRecord>): Promise<unknown> =>
    sim.settle(commitAlone(sim.store, { ...record, ...changes }).catch((error: unknown) => error))
  expect(await refused({ key: emptyBytes })).toMatchObject({ code: 'invalid-argument', field: 'key' })
  expect(await refused({ expiresAtMs: -1 })).toMatchObject({ code: 'invalid-argument', field: 'expiresAtMs' })
  expect(sim.store.statistics()).toMatchObject({ entries: 0, lastSequence: 0 })
  await sim.settle(sim.store.close())
  expect(await refused({})).toMatchObject({ code: 'closed', outcome: 'not-applied' })
})

test.each(['always', 'never'] as const)('nothing is acknowledged by a disk that failed, fsync %s', async (fsync) => {
  const sim = new SimStore('failed', { fsync })
  await sim.open()
  const record = { hi: 1, lo: 2, node: 1, key: keys[0]!, tombstone: false, expiresAtMs: 0, value: emptyBytes }
  await sim.settle(sim.store.commit([record]))
  sim.drive.faults.failNext('write')
  const refused = async (lo: number): Promise<unknown> => {
    const write = { ...record, lo }
    const [together, alone] = await sim.settle(
      Promise.allSettled([sim.store.commit([write]), commitAlone(sim.store, write)]),
    )
    if (together.status !== 'rejected' || alone.status !== 'rejected') return 'acknowledged'
    expect(alone.reason).toMatchObject({ code: together.reason.code, outcome: together.reason.outcome })
    return together.reason
  }
  expect(await refused(3)).toMatchObject({ code: 'unavailable', outcome: 'unknown' })
  expect(await refused(4)).toMatchObject({ code: 'unavailable', outcome: 'not-applied' })
  expect(await refused(2), 'the very same that it holds').toMatchObject({ code: 'unavailable' })
  expect(await refused(1), 'a stale one').toMatchObject({ code: 'unavailable' })
  expect(sim.fatal).toHaveLength(1)
})

test('what the log left dead in the table is won back after a start, without waiting for a write', async () => {
  const sim = new SimStore('dead at the start', { tuning: { logSegmentBytes: 1e7, logPreallocateBytes: 2_048 } })
  await sim.open()
  const write = (i: number, lo: number, size: number): StoredRecord => {
    const value = new Uint8Array(size)
    return { hi: 1, lo, node: 1, key: text.encode(`k${i}`), tombstone: false, expiresAtMs: 0, value }
  }
  for (let i = 0; i < 300; i++) await sim.settle(sim.store.commit([write(i, 1, 20_000)]))
  const full = sim.store.statistics().tableBytes
  const emptied = Array.from({ length: 300 }, (_, i) => write(i, 2, 0)).filter((_, i) => i % 10 > 0)
  await sim.settle(sim.store.commit(emptied))
  await sim.reopen()
  await sim.world.advance(100)
  expect(sim.store.statistics()).toMatchObject({ entries: 300 })
  expect(sim.store.statistics().tableBytes).toBeLessThan(full / 2)
})

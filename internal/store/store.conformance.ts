import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { equalBytes, FatalError, KvError, limits, parseClusterId, parseNodeId } from '../base/index.js'
import type { Disk } from '../env/index.js'
import { hlcMs } from '../hlc/index.js'
import { floorVersion } from '../record/index.js'
import { slotOf } from '../slots/index.js'
import { contents, incarnation, put, tombstone } from './fixture.conformance.js'
import { readDocument, readIdentity, type Store, type StoreOptions, writeDocument, writeIdentity } from './index.js'

/** A data directory on some implementation of the seams. */
export interface StoreFixture {
  readonly disk: Disk
  /** Opens the store; to be settled. Whoever opens it twice has closed it in between. */
  open(overrides?: Partial<StoreOptions>): Promise<Store>
  /** Waits for it, letting time pass where time has to be driven. */
  settle<T>(promise: Promise<T>): Promise<T>
  wallMs(): number
  dispose(): Promise<void>
}

async function errorOf(fixture: StoreFixture, promise: Promise<unknown>): Promise<unknown> {
  return fixture.settle(
    promise.then(
      () => undefined,
      (error: unknown) => error,
    ),
  )
}

/** What a store promises on every disk. */
export function describeStore(name: string, makeFixture: () => Promise<StoreFixture>): void {
  describe(name, () => {
    let fixture: StoreFixture
    let store: Store

    beforeEach(async () => {
      fixture = await makeFixture()
      store = await fixture.settle(fixture.open())
    })

    afterEach(async () => {
      await fixture.settle(store.close())
      await fixture.dispose()
    })

    const reopen = async (): Promise<void> => {
      await fixture.settle(store.close())
      store = await fixture.settle(fixture.open())
    }

    test('a key that was never written is absent', () => {
      const { key } = put('a', 1)
      expect(store.get(key)).toBeUndefined()
      expect(store.getVersion(key)).toBeUndefined()
      expect(store.highestVersion).toEqual({ hi: 0, lo: 0, node: 0 })
    })

    test('a write is visible when it is acknowledged, and not before', async () => {
      const record = put('a', 1)
      const committed = store.commit([record])
      expect(store.get(record.key)).toBeUndefined()
      const results = await fixture.settle(committed)
      expect(results).toEqual([{ applied: true, seen: undefined, existed: false, previous: undefined }])
      expect(store.get(record.key)).toEqual(record)
      expect(store.getVersion(record.key)).toEqual({ hi: 1, lo: 1, node: 1 })
      expect(store.highestVersion).toEqual({ hi: 1, lo: 1, node: 1 })
    })

    test('a higher version replaces and says what it met; the replaced record comes only where it is asked for', async () => {
      await fixture.settle(store.commit([put('a', 1), put('b', 1)]))
      const wantPrevious = [true, false]
      const results = await fixture.settle(store.commit([put('a', 2), put('b', 2)], { wantPrevious }))
      const seen = { hi: 1, lo: 1, node: 1 }
      expect(results).toEqual([
        { applied: true, seen, existed: true, previous: put('a', 1) },
        { applied: true, seen, existed: true, previous: undefined },
      ])
    })

    test('a lower version is refused with the version that beat it, and is not logged', async () => {
      await fixture.settle(store.commit([put('a', 5)]))
      const { lastSequence } = store.statistics()
      const results = await fixture.settle(store.commit([put('a', 4)]))
      const seen = { hi: 1, lo: 5, node: 1 }
      expect(results).toEqual([{ applied: false, seen, existed: false, previous: undefined }])
      expect(store.get(put('a', 5).key)).toEqual(put('a', 5))
      expect(store.statistics().lastSequence).toBe(lastSequence)
    })

    test('the very same write again is applied, and is not logged', async () => {
      await fixture.settle(store.commit([put('a', 5)]))
      const { lastSequence } = store.statistics()
      const [result] = await fixture.settle(store.commit([put('a', 5)]))
      expect(result).toMatchObject({ applied: true, seen: { hi: 1, lo: 5, node: 1 } })
      expect(store.statistics().lastSequence).toBe(lastSequence)
    })

    test('what is held for newer and is not gets the same answer, once it has been logged', async () => {
      await fixture.settle(store.commit([put('a', 5), put('b', 5)]))
      const { lastSequence } = store.statistics()
      const records = [put('a', 4), put('b', 5), put('c', 1)]
      const results = await fixture.settle(store.commit(records, { fresh: true }))
      const seen = { hi: 1, lo: 5, node: 1 }
      expect(results).toEqual([
        { applied: false, seen, existed: false, previous: undefined },
        { applied: true, seen, existed: false, previous: undefined },
        { applied: true, seen: undefined, existed: false, previous: undefined },
      ])
      expect(store.get(put('a', 5).key)).toEqual(put('a', 5))
      expect(store.statistics().lastSequence).toBe(lastSequence + 1)
    })

    test('of two different writes with one version the higher one by compareRecords stays', async () => {
      await fixture.settle(store.commit([put('a', 5, 'm')]))
      const results = await fixture.settle(store.commit([put('a', 5, 'k'), put('a', 5, 'z')]))
      expect(results.map(({ applied }) => applied)).toEqual([false, true])
      expect(store.get(put('a', 5).key)).toEqual(put('a', 5, 'z'))
    })

    test('records of one key in one commit are merged in order', async () => {
      const results = await fixture.settle(store.commit([put('a', 2), put('a', 1), put('a', 3)]))
      expect(results.map(({ applied, seen }) => [applied, seen?.lo])).toEqual([
        [true, undefined],
        [false, 2],
        [true, 2],
      ])
      expect(store.get(put('a', 3).key)).toEqual(put('a', 3))
    })

    test('commits of one key that are under way together are merged in order', async () => {
      const commits = [put('a', 2), put('a', 3), put('a', 1)].map((record) => store.commit([record]))
      const results = await fixture.settle(Promise.all(commits))
      expect(results.map(([result]) => [result!.applied, result!.seen?.lo])).toEqual([
        [true, undefined],
        [true, 2],
        [false, 3],
      ])
    })

    test('a delete leaves a tombstone, and says whether there was something to delete', async () => {
      await fixture.settle(store.commit([put('a', 1)]))
      const results = await fixture.settle(store.commit([tombstone('a', 2), tombstone('b', 2)]))
      expect(results.map(({ existed }) => existed)).toEqual([true, false])
      expect(store.get(put('a', 1).key)).toEqual(tombstone('a', 2))
      expect(store.statistics()).toMatchObject({ entries: 0, tombstones: 2 })
      const again = await fixture.settle(store.commit([tombstone('a', 3)]))
      expect(again[0], 'a tombstone is nothing to delete').toMatchObject({ applied: true, existed: false })
    })

    test('a value whose time is over does not count as existing', async () => {
      const now = fixture.wallMs()
      await fixture.settle(
        store.commit([
          { ...put('over', 1), expiresAtMs: now - 1 },
          { ...put('not yet', 1), expiresAtMs: now + 1e9 },
        ]),
      )
      const results = await fixture.settle(store.commit([put('over', 2), put('not yet', 2)]))
      expect(results.map(({ existed }) => existed)).toEqual([false, true])
    })

    test('what was handed in or out can be changed without changing the store', async () => {
      const value = new Uint8Array([1, 2, 3])
      const record = put('a', 1, value)
      await fixture.settle(store.commit([record]))
      value.fill(9)
      const first = store.get(put('a', 1).key)!
      expect(first.value).toEqual(new Uint8Array([1, 2, 3]))
      first.value.fill(7)
      first.key.fill(7)
      expect(store.get(put('a', 1).key)!.value).toEqual(new Uint8Array([1, 2, 3]))
    })

    test('digests are equal for equal contents, whatever the order of the writes', async () => {
      await fixture.settle(store.commit([put('a', 1)]))
      const slot = slotOf(put('a', 1).key)
      const digest = store.digest(slot)
      await fixture.settle(store.commit([put('a', 2)]))
      expect(store.digest(slot)).not.toEqual(digest)
      await fixture.settle(store.commit([put('a', 1)]))
      const after = store.digest(slot)
      await reopen()
      expect(store.digest(slot)).toEqual(after)
    })

    test('what has changed is told by the count of changes, whether a digest or a floor', async () => {
      const slot = slotOf(put('a', 1).key)
      const start = store.changes
      await fixture.settle(store.commit([put('a', 5)]))
      const written = store.changes
      expect(written).toBeGreaterThan(start)
      await fixture.settle(store.commit([put('a', 3)]))
      expect(store.changes).toBe(written)
      await fixture.settle(store.commit([put('a', 6)]))
      const replaced = store.changes
      expect(replaced).toBeGreaterThan(written)
      await fixture.settle(store.raiseFloors([{ slot, floorMs: 1 }]))
      const raised = store.changes
      expect(raised).toBeGreaterThan(replaced)
      await fixture.settle(store.emptySlots([slot]))
      expect(store.changes).toBeGreaterThan(raised)
    })

    test('keys and values at their limits are kept, beyond them refused by name, and nothing has changed', async () => {
      const largest = {
        ...put('x', 1),
        key: new Uint8Array(limits.keyBytesMax).fill(1),
        value: new Uint8Array(limits.valueBytesMax).fill(2),
      }
      await fixture.settle(store.commit([largest, { ...put('x', 1), value: new Uint8Array(0) }]))
      await reopen()
      // Not toEqual, which takes seconds for a megabyte.
      expect(equalBytes(store.get(largest.key)!.value, largest.value)).toBe(true)
      expect(store.get(put('x', 1).key)!.value.length).toBe(0)
      const bad = [
        [{ ...largest, key: new Uint8Array(limits.keyBytesMax + 1) }, 'key'],
        [{ ...largest, key: new Uint8Array(0) }, 'key'],
        [{ ...largest, value: new Uint8Array(limits.valueBytesMax + 1) }, 'value'],
        [{ ...put('b', 1), tombstone: true }, 'value'],
        [{ ...put('b', 1), expiresAtMs: -1 }, 'expiresAtMs'],
        [{ ...put('b', 1), expiresAtMs: 2 ** 48 + 1 }, 'expiresAtMs'],
        [{ ...put('b', 1), lo: 2 ** 32 }, 'version'],
        [{ ...put('b', 1), hi: -1 }, 'version'],
        [{ ...put('b', 1), node: 1.5 }, 'version'],
      ] as const
      const before = contents(store)
      for (const [record, field] of bad) {
        const error = await errorOf(fixture, store.commit([put('good', 1), record]))
        expect(error).toMatchObject({ code: 'invalid-argument', field, outcome: 'not-applied' })
      }
      expect(contents(store)).toEqual(before)
    })

    test('everything comes back when it is opened again: values, tombstones, expiries, versions', async () => {
      const records = [
        put('a', 1),
        { ...put('b', 2), expiresAtMs: 2 ** 47 + 12_345 },
        tombstone('c', 3),
        { ...put('d', 0xffffffff), hi: 0xffffffff, node: 0xfffffffe },
      ]
      await fixture.settle(store.commit(records))
      await reopen()
      for (const record of records) expect(store.get(record.key)).toEqual(record)
      expect(store.highestVersion).toEqual({ hi: 0xffffffff, lo: 0xffffffff, node: 0xfffffffe })
    })

    test('a snapshot and the log behind it come back together', async () => {
      await fixture.settle(store.commit([put('a', 1), put('b', 1), tombstone('c', 1)]))
      const info = await fixture.settle(store.snapshot())
      expect(info).toMatchObject({ records: 3 })
      expect(info.bytes).toBeGreaterThan(128)
      expect(await fixture.settle(store.snapshot()), 'nothing has changed').toEqual(info)
      await fixture.settle(store.commit([put('b', 2), put('d', 1)]))
      expect(store.statistics().snapshotSequence).toBe(info.sequence)
      await reopen()
      expect(store.statistics().snapshotSequence).toBe(info.sequence)
      expect(contents(store)).toEqual(['a@1', 'b@2', 'c@1 tombstone', 'd@1'])
    })

    test('an empty store can be snapshotted and opened again', async () => {
      expect(await fixture.settle(store.snapshot())).toMatchObject({ sequence: 0, records: 0 })
      await reopen()
      await fixture.settle(store.commit([put('a', 1)]))
      await reopen()
      expect(contents(store)).toEqual(['a@1'])
    })

    test('many commits at once share few groups and lose nothing', async () => {
      const commits = Array.from({ length: 2_000 }, (_, i) => store.commit([put(`key-${i}`, i + 1)]))
      await fixture.settle(Promise.all(commits))
      expect(store.statistics().lastSequence).toBeLessThan(200)
      expect(store.statistics().entries).toBe(2_000)
      await reopen()
      expect(store.statistics().entries).toBe(2_000)
      expect(store.highestVersion.lo).toBe(2_000)
    })

    test('an empty commit is done at once', async () => {
      expect(await store.commit([])).toEqual([])
    })

    test('a closed store takes nothing, not even what it holds, and closing it again does nothing', async () => {
      await fixture.settle(store.commit([put('held', 1)]))
      await fixture.settle(store.close())
      await fixture.settle(store.close())
      for (const record of [put('a', 1), put('held', 1), put('held', 0)]) {
        expect(await errorOf(fixture, store.commit([record]))).toMatchObject({ code: 'closed', outcome: 'not-applied' })
      }
      expect(await errorOf(fixture, store.snapshot())).toBeInstanceOf(KvError)
    })

    test('through snapshots and restarts segments become spares and segments again, and everything stays', async () => {
      const overrides = { tuning: { logSegmentBytes: 20_000, logPreallocateBytes: 8_000 } }
      const namesOf = async (end: string): Promise<string[]> => {
        const names = await fixture.settle(fixture.disk.list('log'))
        return names.filter((name) => name.endsWith(end))
      }
      const used = new Set<string>()
      for (let round = 0; round < 6; round++) {
        await fixture.settle(store.close())
        store = await fixture.settle(fixture.open(overrides))
        for (let i = 0; i < 40; i++) {
          await fixture.settle(store.commit([put(`key-${i}`, round * 100 + i, new Uint8Array(2_000).fill(round))]))
        }
        await fixture.settle(store.snapshot())
        const spares = await namesOf('.spare')
        expect(spares.length).toBeLessThanOrEqual(limits.logSparesMax)
        for (const name of spares) used.add(name)
      }
      const left = await namesOf('.spare')
      expect(used.size, 'more were kept than are there: the others were taken again').toBeGreaterThan(left.length)
      await reopen()
      expect(contents(store)).toEqual(Array.from({ length: 40 }, (_, i) => `key-${i}@${500 + i}`).sort())
    })

    test('a floor drops what is dead, refuses what is older and answers for what is absent, also after a start', async () => {
      const [live, dead] = [put('live', 1), tombstone('dead', 1)]
      const slots = [slotOf(live.key), slotOf(dead.key)]
      await fixture.settle(store.commit([live, dead]))
      await fixture.settle(store.raiseFloors(slots.map((slot) => ({ slot, floorMs: hlcMs(live) }))))
      for (const snapshot of [false, true]) {
        if (snapshot) await fixture.settle(store.snapshot())
        await reopen()
        expect(store.statistics()).toMatchObject({ entries: 1, tombstones: 0 })
        expect(store.get(dead.key)).toMatchObject({ ...floorVersion(hlcMs(dead)), tombstone: true })
        const [refused] = await fixture.settle(store.commit([put('dead', 2)]))
        expect(refused).toMatchObject({ applied: false, seen: floorVersion(hlcMs(dead)) })
      }
    })

    test('files of another cluster or another incarnation are refused', async () => {
      await fixture.settle(store.commit([put('a', 1)]))
      await fixture.settle(store.close())
      const foreign = 'f'.repeat(32)
      for (const overrides of [
        { clusterId: parseClusterId(foreign) },
        { incarnation: foreign as typeof incarnation },
      ]) {
        const error = await errorOf(fixture, fixture.open(overrides))
        expect(error).toBeInstanceOf(FatalError)
        expect((error as FatalError).reason).toBe('corrupt')
        expect((error as FatalError).message).toContain(foreign)
      }
    })

    test('a document is replaced as a whole; one that was never written is undefined', async () => {
      const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
      expect(await fixture.settle(readDocument(fixture.disk, 'topology'))).toBeUndefined()
      await fixture.settle(writeDocument(fixture.disk, 'topology', bytes('one')))
      await fixture.settle(writeDocument(fixture.disk, 'topology', bytes('')))
      expect(await fixture.settle(readDocument(fixture.disk, 'topology'))).toEqual(bytes(''))
      await fixture.settle(writeDocument(fixture.disk, 'topology', bytes('three')))
      expect(await fixture.settle(readDocument(fixture.disk, 'topology'))).toEqual(bytes('three'))
    })

    test('the identity of a directory comes back, with and without a cluster', async () => {
      expect(await fixture.settle(readIdentity(fixture.disk))).toBeUndefined()
      const identity = { nodeId: parseNodeId('node-1'), incarnation, clusterId: undefined }
      await fixture.settle(writeIdentity(fixture.disk, identity))
      expect(await fixture.settle(readIdentity(fixture.disk))).toEqual(identity)
      const joined = { ...identity, clusterId: parseClusterId('a'.repeat(32)) }
      await fixture.settle(writeIdentity(fixture.disk, joined))
      expect(await fixture.settle(readIdentity(fixture.disk))).toEqual(joined)
    })
  })
}

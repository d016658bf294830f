import { expect, test } from 'vitest'
import { limits } from '../../base/index.js'
import type { CrashPolicy } from '../../env-sim/index.js'
import { contents, put, SimStore, tombstone } from '../fixture.conformance.js'

const path = (sequence: number): string => `snapshots/${String(sequence).padStart(16, '0')}.snapshot`

function snapshotsOf(sim: SimStore): string[] {
  return sim.drive.paths().filter((name) => name.startsWith('snapshots/'))
}

/** Those that have begun. */
function segmentsOf(sim: SimStore): string[] {
  return sim.drive.paths().filter((path) => /^log\/\d+\.log$/.test(path) && sim.drive.peek(path)![0] !== 0)
}

async function fill(sim: SimStore, from: number, to: number): Promise<void> {
  for (let i = from; i <= to; i++) await sim.settle(sim.store.commit([put(`key-${i}`, i, 'x'.repeat(200))]))
}

/** Two generations of snapshots over several segments, and some log behind. */
async function grown(seed: string): Promise<SimStore> {
  const sim = new SimStore(seed)
  await sim.open()
  await fill(sim, 1, 30)
  await sim.settle(sim.store.commit([tombstone('key-1', 1_001)]))
  await sim.settle(sim.store.snapshot())
  await fill(sim, 31, 60)
  await sim.settle(sim.store.snapshot())
  await fill(sim, 61, 70)
  await sim.world.advance(100)
  return sim
}

test('two generations are kept, and the log reaches back to the older one and no further', async () => {
  const sim = await grown('generations')
  const kept = snapshotsOf(sim)
  expect(kept).toHaveLength(2)
  const segments = segmentsOf(sim).length
  expect(segments).toBeLessThan(8)
  await sim.settle(sim.store.snapshot())
  expect(snapshotsOf(sim)).toEqual([kept[1], path(sim.store.statistics().snapshotSequence)])
  expect(segmentsOf(sim).length).toBeLessThan(segments)
  expect(contents(await sim.reopen())).toHaveLength(70)
})

test('after the first snapshot the log is all there: it has no older generation to fall back to', async () => {
  const sim = new SimStore('first')
  await sim.open()
  await fill(sim, 1, 40)
  await sim.settle(sim.store.snapshot())
  expect(segmentsOf(sim)[0]).toBe('log/0000000001.log')
  sim.drive.corrupt(snapshotsOf(sim)[0]!, 100)
  expect(contents(await sim.reopen())).toHaveLength(40)
})

test('each byte of the newest snapshot turned over: the older one and the longer log give everything', async () => {
  const sim = new SimStore('rot')
  await sim.open()
  await sim.settle(sim.store.commit([put('a', 1), put('b', 1)]))
  await sim.settle(sim.store.snapshot())
  await sim.settle(sim.store.commit([put('a', 2), tombstone('b', 2)]))
  await sim.settle(sim.store.snapshot())
  await sim.settle(sim.store.commit([put('c', 3)]))
  const newest = snapshotsOf(sim)[1]!
  const { length } = sim.drive.peek(newest)!
  for (let at = 0; at < length; at++) {
    const copy = sim.clone('keep')
    copy.drive.corrupt(newest, at, 0x08)
    expect(contents(await copy.open()), `byte ${at}`).toEqual(['a@2', 'b@2 tombstone', 'c@3'])
    expect(copy.said).toContain('a snapshot is damaged; going back to the one before')
  }
})

test('a snapshot that is cut short, too long or empty is passed over too', async () => {
  const sim = await grown('cut')
  const newest = snapshotsOf(sim)[1]!
  const { length } = sim.drive.peek(newest)!
  for (const size of [0, 1, 63, 64, 100, length - 1, length + 1]) {
    const copy = sim.clone('keep')
    const file = await copy.settle(copy.process.disk.open(newest, 'write'))
    await copy.settle(file.truncate(size))
    expect(contents(await copy.open()), `${size} bytes`).toHaveLength(70)
  }
})

test('a damaged snapshot is set aside, a fresh one is taken at once, and it goes with the one after that', async () => {
  const sim = await grown('aside')
  const [older, newest] = snapshotsOf(sim)
  const damaged = newest!.replace('.snapshot', '.damaged')
  sim.drive.corrupt(newest!, 200)
  await sim.reopen()
  expect(snapshotsOf(sim)).toEqual([older, damaged])
  await sim.world.advance(100)
  const fresh = path(sim.store.statistics().snapshotSequence)
  expect(snapshotsOf(sim)).toEqual([older, damaged, fresh].sort())
  await fill(sim, 71, 71)
  const info = await sim.settle(sim.store.snapshot())
  expect(snapshotsOf(sim)).toEqual([fresh, path(info.sequence)])
  sim.drive.corrupt(path(info.sequence), 200)
  expect(contents(await sim.reopen())).toHaveLength(71)
})

test('a file whose name is no sequence of ours is left alone, whatever it holds', async () => {
  const sim = await grown('names')
  const [older, newest] = snapshotsOf(sim) as [string, string]
  const strangers = ['9'.repeat(16), `0${newest.slice(10, 26)}`, 'newest'].map((name) => `snapshots/${name}.snapshot`)
  for (const stranger of strangers) {
    const file = await sim.settle(sim.process.disk.open(stranger, 'create'))
    await sim.settle(file.write(sim.drive.peek(newest)!, 0))
    await sim.settle(file.close())
  }
  expect(contents(await sim.reopen('keep'))).toHaveLength(70)
  expect(snapshotsOf(sim)).toEqual([older, newest, ...strangers].sort())
  await fill(sim, 71, 72)
  await sim.settle(sim.store.snapshot())
  expect(snapshotsOf(sim)).toEqual(expect.arrayContaining(strangers))
})

test('a log that ends before its snapshot is damage', async () => {
  const sim = await grown('short')
  await sim.settle(sim.store.snapshot())
  const kept = segmentsOf(sim)
  sim.crash('lose')
  const last = kept.at(-1)!
  const file = await sim.settle(sim.process.disk.open(last, 'write'))
  await sim.settle(file.truncate(512))
  await sim.settle(file.close())
  expect(await sim.openFailure()).toMatchObject({ reason: 'corrupt' })
})

test('a crash at any moment of a snapshot, of its renaming and of the trimming loses nothing', async () => {
  const base = await grown('base')
  await fill(base, 71, 100)
  const expected = contents(base.store)
  let finished = false
  for (let events = 1; !finished; events += 1) {
    for (const policy of ['keep', 'lose', 'random'] as const satisfies CrashPolicy[]) {
      const sim = base.clone('lose')
      await sim.open()
      const from = sim.world.eventsRun
      void sim.store.snapshot().then(() => {
        finished = true
      })
      await sim.world.runUntil(() => finished || sim.world.eventsRun - from >= events)
      expect(contents(await sim.reopen(policy)), `${policy} after ${events} events`).toEqual(expected)
      await sim.settle(sim.store.snapshot())
      expect(contents(await sim.reopen('lose')), `${policy} after ${events} events, snapshot again`).toEqual(expected)
    }
  }
}, 60_000)

test('writes do not wait for a snapshot, and what comes while it is written is not lost', async () => {
  const sim = new SimStore('fuzzy')
  await sim.open()
  await fill(sim, 1, 50)
  sim.drive.faults.setExtraDelayMs(1)
  let done = false
  const taken = sim.store.snapshot().then((info) => {
    done = true
    return info
  })
  let during = 0
  for (; !done; during++) await sim.settle(sim.store.commit([put(`during-${during}`, 100 + during)]))
  expect(during).toBeGreaterThan(3)
  const info = await sim.settle(taken)
  expect(info.records).toBeGreaterThanOrEqual(50)
  expect(contents(await sim.reopen())).toHaveLength(50 + during)
})

test('two snapshots asked for at once are one', async () => {
  const sim = new SimStore('once')
  await sim.open()
  await fill(sim, 1, 5)
  const [one, two] = [sim.store.snapshot(), sim.store.snapshot()]
  expect(await sim.settle(one)).toBe(await sim.settle(two))
  expect(snapshotsOf(sim)).toHaveLength(1)
})

test('snapshots are taken by time, only when something has changed', async () => {
  const sim = new SimStore('time', { snapshotIntervalMs: 1_000 })
  await sim.open()
  await sim.world.advance(2_500)
  expect(snapshotsOf(sim)).toHaveLength(0)
  await fill(sim, 1, 3)
  await sim.world.advance(1_100)
  expect(snapshotsOf(sim)).toHaveLength(1)
  await sim.world.advance(5_000)
  expect(snapshotsOf(sim)).toHaveLength(1)
  await sim.reopen()
  await sim.world.advance(5_000)
  expect(snapshotsOf(sim), 'opening it changes nothing').toHaveLength(1)
})

test('snapshots are taken by bytes of log, also of log that a former process wrote', async () => {
  const sim = new SimStore('bytes', { snapshotWalBytes: 3_000 })
  await sim.open()
  await fill(sim, 1, 10)
  expect(snapshotsOf(sim)).toHaveLength(0)
  await sim.reopen()
  await fill(sim, 11, 15)
  await sim.world.advance(50)
  expect(snapshotsOf(sim)).toHaveLength(1)
  await fill(sim, 16, 45)
  await sim.world.advance(50)
  expect(snapshotsOf(sim)).toHaveLength(2)
})

test('no room for a snapshot: told so, nothing is left behind, and the store goes on', async () => {
  const sim = new SimStore('full', { tuning: { logSegmentBytes: 100_000, logPreallocateBytes: 100_000 } })
  await sim.open()
  await fill(sim, 1, 50)
  sim.drive.faults.setFreeBytes(3_000)
  const error = await sim.settle(sim.store.snapshot().catch((failure: unknown) => failure))
  expect(error).toMatchObject({ code: 'read-only' })
  expect(snapshotsOf(sim)).toEqual([])
  await fill(sim, 51, 55)
  sim.drive.faults.setFreeBytes(1_000_000)
  await sim.settle(sim.store.snapshot())
  expect(sim.fatal).toEqual([])
  expect(contents(await sim.reopen())).toHaveLength(55)
})

test('a sync that fails under a snapshot ends the process like any other', async () => {
  const sim = new SimStore('sync')
  await sim.open()
  await fill(sim, 1, 5)
  sim.drive.faults.failNext('sync', { path: 'snapshots/next.tmp' })
  const error = await sim.settle(sim.store.snapshot().catch((failure: unknown) => failure))
  expect(error).toMatchObject({ code: 'unavailable' })
  expect(sim.fatal).toHaveLength(1)
  const refused = await sim.settle(sim.store.commit([put('z', 99)]).catch((failure: unknown) => failure))
  expect(refused).toMatchObject({ code: 'unavailable', outcome: 'not-applied' })
  await sim.settle(sim.store.close())
  expect(contents(await sim.reopen())).toHaveLength(5)
})

test('a snapshot that does not read back is set aside, and nothing is trimmed for it', async () => {
  const sim = await grown('unreadable')
  const before = segmentsOf(sim)
  const name = path(sim.store.statistics().lastSequence - 1) // the last frame is a seal
  const taken = sim.store.snapshot().catch((failure: unknown) => failure)
  await sim.world.runUntil(() => sim.drive.paths().includes(name))
  sim.drive.corrupt(name, 300)
  expect(await sim.settle(taken)).toMatchObject({ code: 'unavailable' })
  expect(segmentsOf(sim)).toEqual(before)
  expect(sim.fatal).toEqual([])
  expect(sim.said).toContain('a new snapshot did not read back')
  await sim.settle(sim.store.snapshot())
  expect(contents(await sim.reopen())).toHaveLength(70)
})

test('closing gives a running snapshot up', async () => {
  const sim = new SimStore('close')
  await sim.open()
  await fill(sim, 1, 5)
  const taken = sim.store.snapshot().catch((failure: unknown) => failure)
  await sim.settle(sim.store.close())
  expect(await sim.settle(taken)).toMatchObject({ code: 'closed' })
  expect(contents(await sim.reopen())).toHaveLength(5)
  expect(snapshotsOf(sim)).toEqual([])
})

test('records of any size and number come through a snapshot', async () => {
  const sim = new SimStore('sizes', { tuning: { logSegmentBytes: 67_108_864, logPreallocateBytes: 1_048_576 } })
  await sim.open()
  // More than one block in a slot, more than one slice in all.
  const values = [0, 1, 1_000, limits.snapshotBlockBytes, limits.valueBytesMax]
  for (let i = 0; i < 10; i++) {
    await sim.settle(sim.store.commit(values.map((size) => put(`${i}/${size}`, i + 1, new Uint8Array(size).fill(i)))))
  }
  const before = contents(sim.store)
  await sim.settle(sim.store.snapshot())
  await sim.reopen()
  expect(contents(sim.store)).toEqual(before)
  const found = sim.store.get(put(`7/${limits.valueBytesMax}`, 1).key)!
  expect(found.value.every((byte) => byte === 7)).toBe(true)
})

test('a snapshot is never ahead of its log, whatever the log was synced by', async () => {
  const sim = new SimStore('ahead', { fsync: 'never' })
  await sim.open()
  await sim.settle(sim.store.commit([put('a', 1)]))
  await sim.settle(sim.store.snapshot())
  await sim.settle(sim.store.commit([put('b', 2)]))
  expect(contents(await sim.reopen('lose'))).toEqual(['a@1'])
})

test('whenever the process that took a snapshot was killed, the one that the next goes by outlives a power cut', async () => {
  let again = 0
  for (let killedMs = 0; killedMs < 8; killedMs += 0.1) {
    const sim = new SimStore(`killed ${killedMs}`)
    await sim.open()
    await fill(sim, 1, 3)
    const taking = sim.store.snapshot()
    await sim.world.advance(killedMs)
    const { snapshotSequence } = (await sim.reopen('keep')).statistics()
    if (snapshotSequence > 0) again++
    const found = (await sim.reopen('lose')).statistics()
    expect(found.snapshotSequence, `killed after ${killedMs.toFixed(1)} ms`).toBe(snapshotSequence)
    void taking // it never ends where its process was killed
  }
  expect(again).toBeGreaterThan(5)
})

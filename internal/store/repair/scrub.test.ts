import { expect, test } from 'vitest'
import { limits } from '../../base/index.js'
import { contents, put, SimStore } from '../fixture.conformance.js'

const rotMessage = 'a kept file has rotted; a fresh snapshot will replace it'
const snapshotsOf = (sim: SimStore): string[] => sim.drive.paths().filter((path) => path.endsWith('.snapshot'))
const damagedOf = (sim: SimStore): string[] => sim.drive.paths().filter((path) => path.endsWith('.damaged'))
const segmentsOf = (sim: SimStore): string[] => sim.drive.paths().filter((path) => path.endsWith('.log'))

async function fill(sim: SimStore, from: number, to: number): Promise<void> {
  for (let i = from; i <= to; i++) await sim.settle(sim.store.commit([put(`key-${i}`, i, 'x'.repeat(200))]))
}

/** Two generations, a log that does not reach back to its beginning, and several closed segments behind both. */
async function grown(): Promise<SimStore> {
  const sim = new SimStore('scrub')
  await sim.open()
  for (const from of [1, 31, 61]) {
    await fill(sim, from, from + 29)
    await sim.settle(sim.store.snapshot())
  }
  await fill(sim, 91, 150)
  return sim
}

const pass = (sim: SimStore): Promise<void> => sim.world.advance(limits.scrubDelayMs + 2_000)

/** Everything is there after a start, whichever of the kept snapshots is the one that can be read. */
async function expectRedundant(sim: SimStore): Promise<void> {
  const all = contents(sim.store)
  await sim.settle(sim.store.close())
  for (const path of snapshotsOf(sim)) {
    const copy = sim.clone('lose')
    copy.drive.corrupt(path, 100)
    await copy.open()
    expect(contents(copy.store), `without ${path}`).toEqual(all)
    expect(copy.store.lostSlots()).toEqual([])
  }
}

test('a sound store is read back as a whole, after a start and once in a while, and nothing comes of it', async () => {
  const sim = await grown()
  const kept = sim.drive.paths()
  await pass(sim)
  const { scrubbedBytes } = sim.store.statistics()
  expect(scrubbedBytes).toBeGreaterThan(20_000)
  await sim.world.advance(limits.scrubIntervalMs + 2_000)
  expect(sim.store.statistics()).toMatchObject({ scrubbedBytes: 2 * scrubbedBytes, rottenFiles: 0 })
  expect(sim.drive.paths()).toEqual(kept)
  expect(sim.said).toEqual([])
})

test('a kept snapshot that rots, older or newest, is replaced by a fresh one while the table has everything', async () => {
  for (const which of [0, 1]) {
    const sim = await grown()
    const rotten = snapshotsOf(sim)[which]!
    sim.drive.corrupt(rotten, 300)
    await pass(sim)
    expect(sim.said).toEqual([rotMessage])
    expect(sim.store.statistics().rottenFiles).toBe(1)
    expect(damagedOf(sim)).toEqual([rotten.replace('.snapshot', '.damaged')])
    expect(snapshotsOf(sim)).toHaveLength(2)
    expect(snapshotsOf(sim)).not.toContain(rotten)
    await expectRedundant(sim)
  }
})

test('rot in both generations at once costs a running node nothing', async () => {
  const sim = await grown()
  const all = contents(sim.store)
  for (const path of snapshotsOf(sim)) sim.drive.corrupt(path, 300)
  await pass(sim)
  expect(sim.store.statistics().rottenFiles).toBe(2)
  await sim.reopen('lose')
  expect(contents(sim.store)).toEqual(all)
  expect(sim.store.lostSlots()).toEqual([])
})

test('the newest snapshot rots and nothing has changed since: it is written anew, and the rotten one is kept aside', async () => {
  const sim = await grown()
  await sim.settle(sim.store.snapshot())
  const newest = snapshotsOf(sim)[1]!
  sim.drive.corrupt(newest, 300)
  const rotten = sim.drive.peek(newest)
  await pass(sim)
  expect(snapshotsOf(sim)).toContain(newest)
  expect(sim.drive.peek(damagedOf(sim)[0]!)).toEqual(rotten)
  await expectRedundant(sim)
})

test('a closed segment of the log that rots is dropped behind a fresh snapshot, and the next start does not miss it', async () => {
  const sim = await grown()
  const count = segmentsOf(sim).length
  // The last two are the one that is written and the one that has been made for behind it.
  for (let i = 0; i < count - 2; i++) {
    const copy = await grown()
    const rotten = segmentsOf(copy)[i]!
    copy.drive.corrupt(rotten, 700)
    await pass(copy)
    expect(copy.said, rotten).toEqual([rotMessage])
    expect(segmentsOf(copy), rotten).not.toContain(rotten)
    expect(snapshotsOf(copy), 'the log goes on from this one only').toHaveLength(1)
    const all = contents(copy.store)
    await copy.reopen('lose')
    expect(contents(copy.store), rotten).toEqual(all)
    await fill(copy, 151, 155)
    await copy.settle(copy.store.snapshot())
    await expectRedundant(copy)
  }
  expect(count).toBeGreaterThan(4)
})

test('a file that cannot be read has rotted too', async () => {
  const sim = await grown()
  const [older] = snapshotsOf(sim)
  sim.drive.faults.failNext('read', { path: older! })
  await pass(sim)
  expect(sim.said).toEqual([rotMessage])
  expect(snapshotsOf(sim)).not.toContain(older)
  expect(sim.fatal).toEqual([])
})

test('files that are dropped and written while they are read are not taken for rotten ones', async () => {
  const tuning = { logSegmentBytes: 2_048, logPreallocateBytes: 1_024, scrubDelayMs: 1, scrubIntervalMs: 1 }
  const sim = new SimStore('busy', { tuning, snapshotWalBytes: 6_000 })
  await sim.open()
  await fill(sim, 1, 800)
  expect(sim.store.statistics().scrubbedBytes).toBeGreaterThan(100_000)
  expect(sim.store.statistics().rottenFiles).toBe(0)
  expect(sim.said).toEqual([])
})

test('it reads no faster than it may, and a store that is closed does not wait for it', async () => {
  const sim = new SimStore('slow', { tuning: { logSegmentBytes: 67_108_864, logPreallocateBytes: 1_048_576 } })
  await sim.open()
  for (let i = 1; i <= 20; i++) await sim.settle(sim.store.commit([put(`key-${i}`, i, new Uint8Array(1_000_000))]))
  await sim.settle(sim.store.snapshot())
  await sim.world.advance(limits.scrubDelayMs + 1_000)
  const { scrubbedBytes } = sim.store.statistics()
  expect(scrubbedBytes).toBeGreaterThan(limits.scrubBytesPerSecond / 2)
  expect(scrubbedBytes).toBeLessThanOrEqual(limits.scrubBytesPerSecond + 3 * limits.readChunkBytes)
  const { clock } = sim.process
  const from = clock.monotonicMs()
  await sim.settle(sim.store.close())
  expect(clock.monotonicMs() - from).toBeLessThan(100)
  await sim.world.advance(2 * limits.scrubIntervalMs)
  expect(sim.store.statistics().scrubbedBytes).toBe(scrubbedBytes)
  expect(sim.said).toEqual([])
})

/** Killed when the second segment had its header and no frame yet; the first ends with the mark of a pause. */
async function killedBehindAHeader(): Promise<SimStore> {
  const sim = new SimStore('header')
  const store = await sim.open()
  for (let i = 1; ; i++) {
    await sim.world.advance(2 * limits.logSealIdleMs)
    let done = false
    void store.commit([put(`key-${i}`, i, 'x'.repeat(300))]).then(() => {
      done = true
    })
    while (!done) {
      const from = sim.world.eventsRun
      await sim.world.runUntil(() => done || sim.world.eventsRun > from)
      const second = sim.drive.peek('log/0000000002.log')
      if (second !== undefined && second[0] !== 0 && second[512] === 0) return sim.clone('keep')
    }
  }
}

test('a segment that rots and ends with a mark, where nothing is written any more, is dropped behind one fresh snapshot', async () => {
  const sim = await killedBehindAHeader()
  await sim.open()
  const all = contents(sim.store)
  await sim.settle(sim.store.snapshot())
  sim.drive.corrupt(segmentsOf(sim)[0]!, 700)
  const before = sim.world.eventsRun
  await pass(sim)
  expect(sim.world.eventsRun - before).toBeLessThan(1_000)
  expect(sim.said).toEqual([rotMessage])
  await sim.reopen('lose')
  expect(contents(sim.store)).toEqual(all)
  expect(sim.store.lostSlots()).toEqual([])
})

test('a store that is opened and closed again and again takes no snapshot of what has not changed', async () => {
  const sim = new SimStore('unchanged', { snapshotIntervalMs: 1_000 })
  await sim.open()
  await fill(sim, 1, 3)
  await sim.settle(sim.store.snapshot())
  const kept = snapshotsOf(sim)
  for (let life = 0; life < 3; life++) {
    await sim.settle(sim.store.close())
    await sim.reopen('lose')
    await sim.world.advance(3_000)
    expect(await sim.settle(sim.store.snapshot())).toMatchObject({ records: 3 })
    expect(snapshotsOf(sim)).toEqual(kept)
  }
})

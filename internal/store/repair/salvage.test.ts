import { expect, test } from 'vitest'
import type { FatalError, Slot } from '../../base/index.js'
import { slotOf } from '../../slots/index.js'
import { createDurably } from '../../wal/index.js'
import { put, SimStore, tombstone } from '../fixture.conformance.js'
import { openStore, readLostSlots } from '../index.js'
import { SnapshotWriter } from '../snapshot/snapshot-writer.js'

const keyCount = 40
const blockMagic = Uint8Array.of(0xf2, 0x4b, 0x56, 0x0a)

const snapshotsOf = (sim: SimStore): string[] => sim.drive.paths().filter((path) => path.endsWith('.snapshot'))
const keyOf = (i: number): Uint8Array => new TextEncoder().encode(`key-${i}`)

/** Writes every key with this stamp; key 1 is a tombstone. */
async function round(sim: SimStore, stamp: number): Promise<void> {
  for (let i = 1; i <= keyCount; i++) {
    const record = i === 1 ? tombstone('key-1', stamp) : put(`key-${i}`, stamp, 'x'.repeat(150))
    await sim.settle(sim.store.commit([record]))
  }
}

/** Two generations, a log that reaches back to the older one and no further, and some log behind: stopped. */
async function twoGenerations(): Promise<SimStore> {
  const sim = new SimStore('salvage')
  await sim.open()
  for (let stamp = 1; stamp <= 3; stamp++) {
    await round(sim, stamp)
    await sim.settle(sim.store.snapshot())
  }
  await sim.settle(sim.store.commit([put('key-2', 9)]))
  await sim.settle(sim.store.close())
  expect(snapshotsOf(sim)).toHaveLength(2)
  expect(sim.drive.paths()).not.toContain('log/0000000001.log')
  return sim
}

/** Every key as it was last acknowledged, unless its slot is lost; what is lost, by its slots. */
function checkHonest(sim: SimStore, what: string): readonly Slot[] {
  for (let i = 1; i <= keyCount; i++) {
    if (sim.store.isLost(slotOf(keyOf(i)))) continue
    const found = sim.store.get(keyOf(i))
    const stamp = i === 2 ? 9 : 3
    expect([found?.lo, found?.tombstone], `${what}: key-${i}`).toEqual([stamp, i === 1])
  }
  return sim.store.lostSlots()
}

/** Where the blocks of a snapshot start, by their magic. */
function blocksOf(bytes: Uint8Array): number[] {
  const found: number[] = []
  const buffer = Buffer.from(bytes)
  for (let at = buffer.indexOf(blockMagic); at !== -1; at = buffer.indexOf(blockMagic, at + 1)) found.push(at)
  return found
}

const slotAt = (bytes: Uint8Array, block: number): Slot => Buffer.from(bytes).readUInt32LE(block + 12) as Slot

test('a byte turned over in both generations: all is there, or its slots are lost, now and after the next start', async () => {
  const sim = await twoGenerations()
  const [older, newer] = snapshotsOf(sim)
  const { length } = sim.drive.peek(newer!)!
  expect(sim.drive.peek(older!)!.length).toBe(length)
  const third = blocksOf(sim.drive.peek(newer!)!)[3]!
  let withLoss = 0
  for (let at = 0; at < length; at += at < 130 || at >= length - 66 ? 1 : at < third ? 7 : 97) {
    const copy = sim.clone('keep')
    for (const path of [older!, newer!]) copy.drive.corrupt(path, at, 0x10)
    await copy.open()
    const lost = checkHonest(copy, `byte ${at}`)
    if (lost.length > 0) withLoss++
    expect(copy.said, `byte ${at}`).toContain('a snapshot is damaged')
    expect(await copy.settle(readLostSlots(copy.process.disk))).toEqual(lost)
    // In a payload it is one slot, in the header of the file none: the footer says the same.
    if (at < 64) expect(lost, `byte ${at}`).toEqual([])
    await copy.world.advance(1_000)
    expect(
      copy.drive.paths().filter((path) => path.endsWith('.damaged')),
      `byte ${at}`,
    ).toHaveLength(2)
    expect(snapshotsOf(copy)).toHaveLength(1)
    await copy.reopen('lose')
    expect(checkHonest(copy, `byte ${at}, again`)).toEqual(lost)
    expect(copy.store.get(keyOf(2))?.lo).toBe(9)
  }
  expect(withLoss).toBeGreaterThan(80)
}, 120_000)

test('damage in different slots of the two costs nothing', async () => {
  const sim = await twoGenerations()
  const [older, newer] = snapshotsOf(sim)
  const blocks = blocksOf(sim.drive.peek(newer!)!)
  sim.drive.corrupt(newer!, blocks[3]! + 40)
  sim.drive.corrupt(newer!, blocks[9]! + 40)
  sim.drive.corrupt(older!, blocks[5]! + 40)
  await sim.reopen('lose')
  expect(checkHonest(sim, 'different slots')).toEqual([])
  expect(sim.drive.paths()).not.toContain('lost')
})

test('a block whose header is gone costs its slot and its neighbours, the others are found again', async () => {
  const sim = await twoGenerations()
  const paths = snapshotsOf(sim)
  const bytes = sim.drive.peek(paths[1]!)!
  const blocks = blocksOf(bytes)
  for (const path of paths) sim.drive.corrupt(path, blocks[7]! + 13)
  await sim.reopen('lose')
  const lost = checkHonest(sim, 'a header')
  const [from, to] = [slotAt(bytes, blocks[6]!), slotAt(bytes, blocks[8]!)]
  expect(lost).toEqual(Array.from({ length: to - from + 1 }, (_, i) => from + i))
})

test('cut anywhere, emptied, or with a footer that is gone: what is behind the last block is lost', async () => {
  const sim = await twoGenerations()
  const paths = snapshotsOf(sim)
  const bytes = sim.drive.peek(paths[1]!)!
  const blocks = blocksOf(bytes)
  for (const size of [0, 1, 63, 64, 100, blocks[1]!, blocks[1]! + 64, blocks[20]! + 50, bytes.length - 1]) {
    const copy = sim.clone('keep')
    for (const path of paths) {
      const file = await copy.settle(copy.process.disk.open(path, 'write'))
      await copy.settle(file.truncate(size))
      await copy.settle(file.close())
    }
    await copy.open()
    const lost = checkHonest(copy, `${size} bytes`)
    expect(lost.at(-1), `${size} bytes`).toBe(4095)
    expect(lost.length, `${size} bytes`).toBeGreaterThanOrEqual(4095 - slotAt(bytes, blocks.at(-1)!))
    if (size <= 64) expect(lost).toHaveLength(4096)
  }
})

test('the only generation is damaged and the log does not reach back: the same', async () => {
  const sim = await twoGenerations()
  const [older, newer] = snapshotsOf(sim)
  const blocks = blocksOf(sim.drive.peek(newer!)!)
  for (const [kept, removed] of [
    [newer!, older!],
    [older!, newer!],
  ]) {
    const copy = sim.clone('keep')
    await copy.settle(copy.process.disk.remove(removed!))
    copy.drive.corrupt(kept!, blocks[4]! + 60)
    await copy.open()
    expect(checkHonest(copy, kept!)).toEqual([slotAt(sim.drive.peek(kept!)!, blocks[4]!)])
  }
})

test('a crash at any moment until the fresh snapshot is there forgets no loss and loses no more', async () => {
  const sim = await twoGenerations()
  const [older, newer] = snapshotsOf(sim)
  const blocks = blocksOf(sim.drive.peek(newer!)!)
  for (const path of [older!, newer!]) sim.drive.corrupt(path, blocks[4]! + 60)
  const lost = [slotAt(sim.drive.peek(newer!)!, blocks[4]!)]
  let done = false
  for (let events = 0; !done; events += 2) {
    for (const policy of ['keep', 'lose', 'random'] as const) {
      const copy = sim.clone('keep')
      void openStore(copy.options)
      const from = copy.world.eventsRun
      const isDone = (): boolean => copy.drive.paths().filter((path) => path.endsWith('.damaged')).length === 2
      await copy.world.runUntil(() => isDone() || copy.world.eventsRun - from >= events).catch(() => undefined)
      done ||= isDone()
      copy.crash(policy)
      await copy.open()
      expect(checkHonest(copy, `${events} events, ${policy}`)).toEqual(lost)
    }
  }
})

test('a slot that the newest snapshot has whole gets nothing back that it has dropped', async () => {
  const sim = await twoGenerations()
  const { clusterId, incarnation } = sim.options
  const [older, newer] = snapshotsOf(sim)
  const bytes = sim.drive.peek(newer!)!
  const sequence = Number(/(\d+)\.snapshot/.exec(newer!)![1])
  // As if everything but one key had been deleted, and its tombstones collected, before it was taken.
  await sim.settle(
    createDurably(sim.process.disk, 'snapshots/next.tmp', newer!, async (file) => {
      const writer = new SnapshotWriter(file, { clusterId, incarnation, sequence })
      writer.addSlot(slotOf(keyOf(5)), 0, (_slot, visit) => visit(put('key-5', 3)))
      await writer.finish({ hi: 1, lo: 3, node: 1 })
    }),
  )
  sim.drive.corrupt(newer!, 64 + 40)
  sim.drive.corrupt(older!, blocksOf(bytes)[0]! + 40)
  await sim.reopen('lose')
  const kept = Array.from({ length: keyCount }, (_, i) => i + 1).filter((i) => sim.store.get(keyOf(i)) !== undefined)
  expect(kept).toEqual([2, 5])
})

test('a lost slot that was refilled is whole at the next start', async () => {
  const sim = await twoGenerations()
  const [older, newer] = snapshotsOf(sim)
  const blocks = blocksOf(sim.drive.peek(newer!)!)
  for (const path of [older!, newer!]) sim.drive.corrupt(path, blocks[4]! + 60)
  await sim.reopen('lose')
  const [slot] = sim.store.lostSlots()
  const key = Array.from({ length: keyCount }, (_, i) => i + 1).find((i) => slotOf(keyOf(i)) === slot)!
  await sim.settle(sim.store.commit([put(`key-${key}`, 3)]))
  await sim.settle(sim.store.refilled([slot!]))
  await sim.world.advance(1_000)
  await sim.reopen('lose')
  expect(sim.store.lostSlots()).toEqual([])
  expect(sim.store.get(keyOf(key))?.lo).toBe(3)
})

test('without room for a fresh snapshot the damaged ones stay, and it is tried again', async () => {
  const sim = await twoGenerations()
  const paths = snapshotsOf(sim)
  for (const path of paths) sim.drive.corrupt(path, blocksOf(sim.drive.peek(path)!)[4]! + 60)
  sim.crash('lose')
  const hasNoHeader = (path: string): boolean => path.startsWith('log/') && sim.drive.peek(path)![0] !== 0x51
  // What would be given back for it: spares, and the segment that was made ahead.
  const unused = sim.drive.paths().filter((path) => path.endsWith('.spare') || hasNoHeader(path))
  for (const path of unused) await sim.settle(sim.process.disk.remove(path))
  sim.drive.faults.setFreeBytes(4_500)
  await sim.open()
  await sim.world.advance(5_000)
  expect(snapshotsOf(sim)).toEqual(paths)
  expect(sim.said).toContain('no snapshot was taken in place of a damaged one')
  sim.drive.faults.setFreeBytes(10_000_000)
  await sim.world.advance(10_000)
  expect(snapshotsOf(sim)).toHaveLength(1)
  expect(snapshotsOf(sim)).not.toEqual(paths)
})

test('snapshots of another store alone, and a log that ends before a damaged one, stop the node', async () => {
  const sim = await twoGenerations()
  const [older, newer] = snapshotsOf(sim)
  const foreign = sim.clone('keep')
  await foreign.settle(foreign.process.disk.remove(older!))
  await foreign.settle(
    createDurably(foreign.process.disk, 'snapshots/next.tmp', newer!, async (file) => {
      const header = { clusterId: sim.options.clusterId, incarnation: '1'.repeat(32) as never, sequence: 120 }
      await new SnapshotWriter(file, header).finish({ hi: 1, lo: 3, node: 1 })
    }),
  )
  const error = (await foreign.openFailure()) as FatalError
  expect(error).toMatchObject({ reason: 'corrupt', message: expect.stringContaining('another store') })
  expect(foreign.drive.paths()).not.toContain('lost')

  sim.drive.corrupt(newer!, 80)
  await sim.settle(sim.process.disk.rename(newer!, 'snapshots/0000000000000999.snapshot'))
  sim.crash('keep')
  expect(await sim.openFailure()).toMatchObject({ reason: 'corrupt', message: expect.stringContaining('999') })
})

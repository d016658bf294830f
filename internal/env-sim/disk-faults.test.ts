import { expect, test } from 'vitest'
import { AssertionError } from '../base/index.js'
import { type Disk, DiskError, type DiskFile, writeFully } from '../env/index.js'
import { type SimDisk, SimWorld } from './index.js'

const bytes = (length: number, value = 1): Uint8Array => new Uint8Array(length).fill(value)

interface Setup {
  readonly world: SimWorld
  readonly drive: SimDisk
  readonly disk: Disk
  /** Durable, 100 bytes of 1. */
  readonly file: DiskFile
}

async function setUp(): Promise<Setup> {
  const world = new SimWorld({ seed: 1 })
  const { disk, drive } = world.process('n')
  const file = await world.settle(disk.open('a', 'create'))
  await world.settle(writeFully(file, bytes(100), 0))
  await world.settle(file.sync())
  await world.settle(disk.syncDirectory(''))
  return { world, drive, disk, file }
}

async function failure(world: SimWorld, running: Promise<unknown>): Promise<string> {
  const error = await world.settle(running).catch((reason: unknown) => reason)
  if (!(error instanceof DiskError)) throw new Error(`not a DiskError: ${error}`)
  return `${error.code} ${error.path}`
}

test('after a sync that failed, a sync that succeeds has not made the same changes durable', async () => {
  const { world, drive, file } = await setUp()
  await world.settle(file.write(bytes(100, 2), 0))
  drive.faults.failNext('sync')
  expect(await failure(world, file.sync())).toBe('io a')
  await world.settle(file.sync())
  expect(drive.peek('a')).toEqual(bytes(100, 2))
  expect(drive.crashClone('lose').peek('a')).toEqual(bytes(100, 1))
  await world.settle(file.write(bytes(1, 3), 50_000))
  await world.settle(file.sync())
  const left = drive.crashClone('lose').peek('a')
  expect([left?.length, left?.[0], left?.[50_000]]).toEqual([50_001, 1, 3])
})

test('after a directory sync that failed, another one has not made the same names durable', async () => {
  const { world, drive, disk } = await setUp()
  await world.settle(disk.rename('a', 'b'))
  drive.faults.failNext('syncDirectory', { code: 'io' })
  expect(await failure(world, disk.syncDirectory(''))).toBe('io ')
  await world.settle(disk.syncDirectory(''))
  expect(drive.paths()).toEqual(['b'])
  expect(drive.crashClone('lose').paths()).toEqual(['a'])
})

test('faults hit the operation, the path, the turn and as often as they were told to', async () => {
  const { world, drive, disk, file } = await setUp()
  drive.faults.failNext('write', { code: 'full', path: 'a', skip: 1, times: 2 })
  const other = await world.settle(disk.open('b', 'create'))
  await world.settle(other.write(bytes(1), 0))
  await world.settle(file.write(bytes(1), 0))
  expect(await failure(world, file.write(bytes(1), 0))).toBe('full a')
  await world.settle(other.write(bytes(1), 0))
  expect(await failure(world, file.write(bytes(1), 0))).toBe('full a')
  await world.settle(file.write(bytes(1), 0))
  drive.faults.failNext('open', { code: 'permission' })
  expect(await failure(world, disk.open('c', 'create'))).toBe('permission c')
  await world.settle(disk.open('c', 'create'))
})

test('a full disk cuts a write short, then fails, lets room that is there be written, and heals', async () => {
  const { world, drive, disk, file } = await setUp()
  await world.settle(file.preallocate(500))
  drive.faults.setFreeBytes(50)
  expect(await world.settle(disk.freeBytes())).toBe(50)
  expect(await world.settle(file.write(bytes(200, 2), 450))).toBe(100)
  expect(drive.faults.freeBytes).toBe(0)
  expect(await failure(world, file.write(bytes(1), 550))).toBe('full a')
  expect(await world.settle(file.size())).toBe(550)
  expect(await world.settle(file.write(bytes(500, 3), 0))).toBe(500)
  const other = await world.settle(disk.open('b', 'create'))
  expect(await failure(world, other.write(bytes(1), 0))).toBe('full b')
  expect(await failure(world, other.preallocate(10))).toBe('full b')
  expect(await world.settle(other.size())).toBe(0)
  await world.settle(file.truncate(540))
  expect(await world.settle(other.write(bytes(20), 0))).toBe(10)
  drive.faults.setFreeBytes(Number.POSITIVE_INFINITY)
  expect(await world.settle(other.write(bytes(20), 10))).toBe(20)
})

test('the room of a removed file is free when nobody has it open any more, or after a crash', async () => {
  const { world, drive, disk, file } = await setUp()
  drive.faults.setFreeBytes(10)
  await world.settle(disk.remove('a'))
  expect(drive.faults.freeBytes).toBe(10)
  await world.settle(file.close())
  expect(drive.faults.freeBytes).toBe(110)
  const process = world.process('n')
  process.crash({ disk: 'lose' }) // the removal was not synced
  expect(drive.faults.freeBytes).toBe(10)
  const { disk: anew } = process.restart()
  await world.settle(anew.open('a', 'read'))
  await world.settle(anew.remove('a'))
  process.crash({ disk: 'keep' })
  expect(drive.faults.freeBytes).toBe(110)
})

test('room comes back when a rename replaces a file, and when whoever had a file open has died', async () => {
  const { world, drive, disk, file } = await setUp()
  await world.settle(file.close())
  await world.settle(file.close())
  const second = await world.settle(disk.open('a', 'write'))
  const other = await world.settle(disk.open('b', 'create'))
  await world.settle(writeFully(other, bytes(30), 0))
  drive.faults.setFreeBytes(0)
  await world.settle(disk.rename('b', 'a'))
  expect(drive.faults.freeBytes).toBe(0) // the replaced file is still open
  await world.settle(second.close())
  expect(drive.faults.freeBytes).toBe(100)
  const process = world.process('n')
  process.crash({ disk: 'keep' }) // with `other` open
  await world.settle(process.restart().disk.remove('a'))
  expect(drive.faults.freeBytes).toBe(130)
})

test('a preallocation for which there is no room leaves the file as it was', async () => {
  const { world, drive, file } = await setUp()
  drive.faults.setFreeBytes(50)
  expect(await failure(world, file.preallocate(1000))).toBe('full a')
  expect(await world.settle(file.size())).toBe(100)
  expect(drive.faults.freeBytes).toBe(50)
})

test('transfers are short at random, and at least one byte', async () => {
  const { world, drive, file } = await setUp()
  drive.faults.setShortTransfers(1)
  const taken = new Set<number>()
  for (let i = 0; i < 200; i++) taken.add(await world.settle(file.write(bytes(5), 0)))
  expect([...taken].sort()).toEqual([1, 2, 3, 4])
  expect(await world.settle(file.write(bytes(1), 0))).toBe(1)
  expect(await world.settle(file.read(new Uint8Array(100), 0))).toBeLessThan(100)
})

test('rot changes bits for readers and on the medium, and survives a sync of other bytes', async () => {
  const { world, drive, file } = await setUp()
  drive.corrupt('a', 40, 0x81)
  expect(drive.peek('a')?.[40]).toBe(1 ^ 0x81)
  expect(drive.crashClone('lose').peek('a')?.[40]).toBe(1 ^ 0x81)
  await world.settle(file.write(bytes(1, 7), 0))
  await world.settle(file.sync())
  const left = drive.crashClone('lose').peek('a')
  expect([left?.[0], left?.[39], left?.[40], left?.[41]]).toEqual([7, 1, 1 ^ 0x81, 1])
  expect(() => drive.corrupt('a', 100)).toThrow(AssertionError)
  expect(() => drive.corrupt('none', 0)).toThrow(AssertionError)
})

test('a slow drive takes longer', async () => {
  const { world, drive, file } = await setUp()
  const startMs = world.nowMs
  await world.settle(file.sync())
  expect(world.nowMs - startMs).toBeLessThan(5)
  drive.faults.setExtraDelayMs(30_000)
  await world.settle(file.sync())
  expect(world.nowMs - startMs).toBeGreaterThan(30_000)
})

test('operations on one file that overlap are a bug of the caller, overlapping reads are not', async () => {
  const { world, disk, file } = await setUp()
  const writing = file.write(bytes(10), 0)
  await expect(file.sync()).rejects.toThrow(AssertionError)
  await expect(file.read(new Uint8Array(1), 0)).rejects.toThrow(AssertionError)
  await expect(file.close()).rejects.toThrow(AssertionError)
  await world.settle(writing)
  const reading = [file.read(new Uint8Array(1), 0), file.size()]
  await expect(file.write(bytes(1), 0)).rejects.toThrow(AssertionError)
  await world.settle(Promise.all(reading))
  const other = await world.settle(disk.open('b', 'create'))
  await world.settle(Promise.all([file.sync(), other.sync()]))
})

test('bytes that change while they are being written are a bug of the caller', async () => {
  const { world, file } = await setUp()
  const buffer = bytes(10)
  const writing = file.write(buffer, 0)
  buffer[3] = 9
  await expect(world.settle(writing)).rejects.toThrow(AssertionError)
})

test('a misdirected write reports success, lands elsewhere in its file, and leaves its own place as it was', async () => {
  const { world, drive, disk, file } = await setUp()
  const other = await world.settle(disk.open('b', 'create'))
  await world.settle(writeFully(other, bytes(4_096), 0))
  drive.faults.misdirectNext({ path: (path) => path === 'b', skip: 1 })
  await world.settle(file.write(bytes(10, 2), 0))
  await world.settle(other.write(bytes(10, 2), 100))
  expect(await world.settle(other.write(bytes(10, 3), 200))).toBe(10)
  await world.settle(other.write(bytes(10, 4), 300))
  const found = drive.peek('b')!
  expect([found[100], found[200], found[300]]).toEqual([2, 1, 4])
  const place = found.indexOf(3)
  expect(place % 512).toBe(0)
  expect(found.subarray(place, place + 10)).toEqual(bytes(10, 3))
  expect(drive.peek('a')!.subarray(0, 10)).toEqual(bytes(10, 2))
})

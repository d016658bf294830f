import { expect, test } from 'vitest'
import { Instruments, limits } from '../base/index.js'
import { silentLog } from '../env/index.js'
import { encodedRecordBytes } from '../record/index.js'
import { HintFileWriter } from './hint-file.js'
import { clusterId, far, Holder, other } from './hints.test-support.js'
import { OwnerHints } from './owner-hints.js'

const pathOf = (number: number): string => `hints/far.${'a'.repeat(32)}/${String(number).padStart(10, '0')}.hints`

function names(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, i) => `k${from + i}`)
}

test('hints come back as they were kept, oldest first, and their file goes with the last of them', async () => {
  const holder = await Holder.start('order')
  holder.keep(far, ...names(1, 3))
  await holder.write({ close: false })
  holder.keep(far, ...names(4, 5))
  holder.keep(other, 'o')
  await holder.write()
  expect(holder.files()).toHaveLength(2)
  expect(await holder.handOver()).toEqual(names(1, 5))
  expect(await holder.handOver(other)).toEqual(['o'])
  expect(holder.files()).toEqual([])
  expect(holder.store.status()).toMatchObject([
    { node: 'far', hints: 0, bytes: 0, oldestMsAgo: 0, dropped: 0 },
    { node: 'other', hints: 0, bytes: 0 },
  ])
})

test('the format is the one in FORMAT.md, byte by byte', async () => {
  const holder = await Holder.start('golden')
  const record = {
    hi: 1,
    lo: 2,
    node: 3,
    key: Buffer.from('k'),
    tombstone: false,
    expiresAtMs: 0,
    value: Buffer.from('v'),
  }
  holder.store.keep(far, record)
  await holder.write({ close: false })
  const path = `hints/far.${'a'.repeat(32)}/0000000001.hints`
  expect(holder.files()).toEqual([path])
  expect(
    Buffer.from(holder.process.drive.peek(path)!)
      .toString('hex')
      .match(/.{1,64}/g),
  ).toEqual([
    '514b5648494e540a0100000001000000cccccccccccccccccccccccccccccccc',
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa000000000000000000000000aa1352f0',
    'f14b560a1600000001000000000000009405db82010000000100000000000000',
    'c7191d02318c224400000100010000000100000002000000030000006b76',
  ])
})

test('a record that is kept holds on to none of the bytes it came with', async () => {
  const holder = await Holder.start('copies')
  const record = holder.record('k1')
  holder.store.keep(far, record)
  record.key.fill(0)
  record.value.fill(0)
  await holder.write()
  expect(await holder.handOver()).toEqual(['k1'])
})

test('status tells how many wait, in how many bytes, and since when, also after a restart', async () => {
  const holder = await Holder.start('status')
  holder.keep(far, ...names(1, 3))
  await holder.world.advance(700)
  holder.keep(far, 'k4')
  await holder.write({ close: false })
  await holder.world.advance(300)
  holder.keep(far, 'k5')
  const [before] = holder.store.status()
  expect(before).toMatchObject({ node: 'far', hints: 5, dropped: 0 })
  expect(before!.oldestMsAgo).toBeGreaterThanOrEqual(1_000)
  await holder.write()
  const { bytes } = holder.store.status()[0]!
  await holder.crash({ disk: 'lose' })
  const [after] = holder.store.status()
  expect(after).toMatchObject({ node: 'far', hints: 5, bytes })
  expect(after!.oldestMsAgo).toBeGreaterThanOrEqual(before!.oldestMsAgo)
})

test('a power cut takes what was not synced and nothing else', async () => {
  for (const disk of ['lose', 'random'] as const) {
    const holder = await Holder.start(`power cut ${disk}`)
    holder.keep(far, ...names(1, 3))
    await holder.write({ close: false })
    holder.keep(far, ...names(4, 400))
    await holder.write({ sync: false, close: false })
    holder.keep(far, 'in memory')
    await holder.crash({ disk })
    const found = await holder.handOver()
    expect(found.slice(0, 3)).toEqual(names(1, 3))
    expect(found).toEqual(names(1, found.length))
    if (disk === 'lose') expect(found).toHaveLength(3)
  }
})

test('a kill takes only what no file holds yet', async () => {
  const holder = await Holder.start('kill')
  holder.keep(far, ...names(1, 5))
  await holder.write({ sync: false, close: false })
  holder.keep(far, 'in memory')
  await holder.crash({ disk: 'keep' })
  expect(await holder.handOver()).toEqual(names(1, 5))
})

test('what was handed over before a restart does not come again, and a file half done comes whole', async () => {
  const holder = await Holder.start('resume')
  holder.keep(far, 'k1')
  await holder.write()
  holder.keep(far, 'k2')
  await holder.write({ close: false })
  holder.keep(far, 'k3')
  await holder.write()
  const hints = holder.hints()
  const first = await holder.settle(hints.openFront())
  await holder.settle(hints.readFront(first!))
  hints.advanceFront(first!)
  await holder.settle(hints.closeFront(first!, true))
  const second = await holder.settle(hints.openFront())
  await holder.settle(hints.readFront(second!))
  hints.advanceFront(second!)
  await holder.settle(hints.closeFront(second!, false))
  // In this life it goes on where it stopped.
  const again = await holder.settle(hints.openFront())
  const page = await holder.settle(hints.readFront(again!))
  expect(page!.records.map(({ key }) => Buffer.from(key).toString())).toEqual(['k3'])
  await holder.settle(hints.closeFront(again!, false))
  await holder.crash({ disk: 'lose' })
  expect(await holder.handOver()).toEqual(['k2', 'k3'])
})

test('every byte of a file may rot: what stands before it is handed over, the rest is owed, and nothing else comes out', async () => {
  const holder = await Holder.start('rot')
  holder.keep(far, 'k1')
  await holder.write({ close: false })
  holder.keep(far, 'k2')
  await holder.write({ close: false })
  const size = holder.process.drive.peek(pathOf(1))!.length
  for (let offset = 0; offset < size; offset++) {
    holder.process.drive.corrupt(pathOf(1), offset, 0x10)
    await holder.open()
    const hints = holder.store.owners()[0]!
    expect(hints.owed, `byte ${offset}`).toBe(true)
    expect(hints.count).toBe(offset < 64 + (size - 64) / 2 ? 0 : 1)
    if (hints.count > 0) expect(await holder.handOver()).toEqual(['k1'])
    // It is gone; the next byte needs it again.
    expect(holder.files()).toEqual([])
    await holder.open()
    holder.keep(far, 'k1')
    await holder.write({ close: false })
    holder.keep(far, 'k2')
    await holder.write({ close: false })
  }
}, 30_000)

test('a file that rots after it was closed is dropped and owed', async () => {
  const holder = await Holder.start('rot later')
  holder.keep(far, 'k1')
  await holder.write()
  holder.process.drive.corrupt(pathOf(1), 64 + 45)
  expect(await holder.handOver()).toEqual([])
  expect(holder.hints().owed).toBe(true)
  expect(holder.store.status()).toMatchObject([{ hints: 0, bytes: 0, dropped: 1 }])
  expect(holder.files()).toEqual([])
})

test('a file of another cluster, or of another life of the member, is not handed over', async () => {
  const holder = await Holder.start('foreign')
  const { disk } = holder.process.life
  const directory = `hints/far.${'a'.repeat(32)}`
  const identity = { clusterId, incarnation: other.incarnation, number: 7 }
  const writer = await holder.settle(HintFileWriter.create(disk, directory, pathOf(7), identity))
  await holder.settle(writer.append(new Uint8Array(41), 1))
  await holder.settle(writer.close())
  await holder.open()
  expect(holder.files()).toEqual([])
  expect(holder.said.at(-1)).toContain('hints for bbbb')
  // Its number is not used again.
  holder.keep(far, 'k1')
  await holder.write()
  expect(holder.files()).toEqual([pathOf(8)])
})

test('beyond the bytes for one member hints are dropped, counted and owed', async () => {
  const holder = await Holder.start('bounds')
  const value = 1_000_000
  const fill = async (owner: typeof far, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      holder.store.keep(owner, holder.record('big', value))
      if (i % 4 === 3) await holder.write({ sync: false, close: false })
    }
  }
  const fit = Math.floor(limits.hintOwnerBytesMax / value)
  await fill(far, fit + 4)
  const [status] = holder.store.status()
  expect(status!.dropped).toBeGreaterThan(0)
  expect(status!.hints + status!.dropped).toBe(fit + 4)
  expect(status!.bytes).toBeLessThanOrEqual(limits.hintOwnerBytesMax + limits.hintBufferBytesMax)
  expect(holder.hints().owed).toBe(true)
  expect(holder.said.filter((line) => line.includes('too many wait'))).toHaveLength(1)
  // Another member is not concerned.
  holder.keep(other, 'o')
  await holder.write()
  expect(await holder.handOver(other)).toEqual(['o'])
}, 60_000)

test('beyond the bytes for all members hints are dropped, counted and owed', async () => {
  const holder = await Holder.start('all')
  const { clock, disk } = holder.process.life
  const record = holder.record('k1')
  const usage = { bytes: limits.hintBytesMax - encodedRecordBytes(record), buffered: 0, diskFull: false }
  const hints = new OwnerHints(
    { clock, disk, instruments: new Instruments(() => 0), log: silentLog, clusterId },
    usage,
    far,
  )
  hints.keep(record)
  expect([hints.count, hints.dropped, hints.owed]).toEqual([1, 0, false])
  hints.keep(record)
  expect([hints.count, hints.dropped, hints.owed]).toEqual([1, 1, true])
})

test('what waits in memory is bounded while the disk does not get on', async () => {
  const holder = await Holder.start('slow disk')
  for (let i = 0; i < 40; i++) holder.store.keep(far, holder.record(`k${i}`, 1_000_000))
  const [status] = holder.store.status()
  expect(status!.bytes).toBeLessThanOrEqual(limits.hintBufferBytesMax)
  expect(status!.dropped).toBe(40 - status!.hints)
  expect(status!.dropped).toBeGreaterThan(0)
})

test('hints that are too old are dropped and owed, file by file', async () => {
  const holder = await Holder.start('age')
  holder.keep(far, 'old')
  await holder.write()
  await holder.world.advance(5_000)
  holder.keep(far, 'new')
  await holder.write()
  const wallMs = holder.process.life.clock.wallMs()
  await holder.settle(holder.hints().dropBefore(wallMs - 2_000))
  expect(holder.store.status()).toMatchObject([{ hints: 1, dropped: 1 }])
  expect(holder.hints().owed).toBe(true)
  expect(await holder.handOver()).toEqual(['new'])
})

test('a file is closed after a while, so that old hints do not keep new ones', async () => {
  const holder = await Holder.start('turns')
  holder.keep(far, 'k1')
  await holder.write({ close: false })
  expect(holder.hints().hasFront).toBe(false)
  await holder.world.advance(limits.hintFileMsMax)
  await holder.write({ close: false })
  expect(holder.hints().hasFront).toBe(true)
})

test('where the disk is short of room hints give theirs back, and take none before a while is over', async () => {
  const holder = await Holder.start('reserve')
  holder.keep(far, ...names(1, 3))
  await holder.write()
  holder.process.drive.faults.setFreeBytes(limits.hintReserveBytes - 1)
  holder.keep(far, 'k4')
  await holder.write()
  await holder.settle(holder.hints().dropBefore(0))
  expect(holder.files()).toEqual([])
  expect(holder.store.status()).toMatchObject([{ hints: 0, bytes: 0, dropped: 4 }])
  holder.process.drive.faults.setFreeBytes(limits.hintReserveBytes)
  holder.keep(far, 'k5')
  expect(holder.store.status()).toMatchObject([{ hints: 0, dropped: 5 }])
  await holder.world.advance(limits.hintRetryMs)
  await holder.write()
  holder.keep(far, 'k6')
  await holder.write()
  expect(await holder.handOver()).toEqual(['k6'])
})

test('a disk that fails costs the hints and nothing else, whatever it fails at', async () => {
  for (const operation of ['makeDirectory', 'open', 'write', 'sync', 'syncDirectory', 'close'] as const) {
    for (const code of ['io', 'full'] as const) {
      const holder = await Holder.start(`${operation} ${code}`)
      holder.process.drive.faults.failNext(operation, { code })
      holder.keep(far, 'k1')
      await holder.write()
      const { hints, dropped } = holder.store.status()[0]!
      expect(hints + dropped, `${operation} ${code}`).toBe(1)
      if (hints === 0) expect(holder.store.status()[0]!.bytes).toBe(0)
      expect(holder.said.join('\n')).toContain(`${operation}`)
      // And it goes on.
      await holder.settle(holder.hints().dropBefore(0))
      await holder.world.advance(limits.hintRetryMs)
      await holder.write()
      holder.keep(far, 'k2')
      await holder.write()
      expect(await holder.handOver()).toContain('k2')
    }
  }
})

test('a disk that fails at reading or removing costs the hints of that file', async () => {
  for (const operation of ['open', 'read', 'remove'] as const) {
    const holder = await Holder.start(operation)
    holder.keep(far, 'k1')
    await holder.write()
    holder.keep(far, 'k2')
    await holder.write()
    holder.process.drive.faults.failNext(operation)
    expect(await holder.handOver()).toEqual(operation === 'remove' ? ['k1', 'k2'] : ['k2'])
    expect(holder.store.status()).toMatchObject([{ hints: 0, bytes: 0, dropped: operation === 'remove' ? 0 : 1 }])
  }
})

test('what is condemned for good is removed and forgotten, in silence', async () => {
  const holder = await Holder.start('gone')
  holder.keep(far, 'k1')
  await holder.write()
  const hints = holder.hints()
  hints.condemn('for good')
  holder.keep(far, 'k2')
  await holder.write()
  await holder.settle(hints.dropBefore(0))
  await holder.write()
  expect(holder.files()).toEqual([])
  expect(holder.store.owners()).toEqual([])
  expect(hints.owed).toBe(false)
})

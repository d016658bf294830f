import { expect, test } from 'vitest'
import { readFully, writeFully } from '../env/index.js'
import { NodeClock } from '../env-node/index.js'
import { MemoryDrive } from './index.js'

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values)

async function contents(drive: MemoryDrive, path: string): Promise<Uint8Array> {
  const file = await drive.mount().open(path, 'read')
  const into = new Uint8Array(await file.size())
  await readFully(file, into, 0)
  return into
}

test('a power cut leaves what was synced, and nothing else', async () => {
  const drive = new MemoryDrive(new NodeClock())
  const disk = drive.mount()
  const file = await disk.open('a', 'create')
  await writeFully(file, bytes(1, 2), 0)
  await file.sync()
  await disk.syncDirectory('')
  await writeFully(file, bytes(3, 4), 2)
  await disk.open('b', 'create')
  drive.cutPower()
  expect(await contents(drive, 'a')).toEqual(bytes(1, 2))
  expect(await drive.mount().list('')).toEqual(['a'])
})

test('who mounts it after an orderly stop finds everything', async () => {
  const drive = new MemoryDrive(new NodeClock())
  const file = await drive.mount().open('a', 'create')
  await writeFully(file, bytes(1), 0)
  expect(await contents(drive, 'a')).toEqual(bytes(1))
})

test('what was under way when the power went never settles and does nothing', async () => {
  const drive = new MemoryDrive(new NodeClock())
  const disk = drive.mount()
  let settled = false
  const opening = disk.open('a', 'create').finally(() => {
    settled = true
  })
  drive.cutPower()
  await Promise.race([opening, new Promise((resolve) => setTimeout(resolve, 20))])
  expect(settled).toBe(false)
  expect(await drive.mount().list('')).toEqual([])
})

test('erased, it is empty, and the one who had it gets no answer', async () => {
  const drive = new MemoryDrive(new NodeClock())
  await drive.mount().open('a', 'create')
  drive.erase()
  expect(await drive.mount().list('')).toEqual([])
})

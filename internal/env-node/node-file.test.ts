import type * as fs from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { limits } from '../base/index.js'
import { type DiskFile, readFully, writeFully } from '../env/index.js'
import { NodeDisk } from './index.js'

type WriteDone = (error: NodeJS.ErrnoException | null, length: number) => void

/** What stands between the code and the system: what the next writes do, and whether the next close fails. */
const faults = vi.hoisted(() => ({
  writes: [] as ((length: number) => number | string)[],
  closeCode: undefined as string | undefined,
  closedFds: [] as number[],
  /** The lengths of the writes that were made in the caller's turn. */
  atOnce: [] as number[],
}))

vi.mock('node:fs', async (importOriginal) => {
  const original = await importOriginal<typeof fs>()
  const withCode = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code })
  return {
    ...original,
    write: (fd: number, from: Uint8Array, offset: number, length: number, position: number, done: WriteDone): void => {
      const fault = faults.writes.shift()
      const result = fault?.(length) ?? length
      if (typeof result === 'string') done(withCode(result), 0)
      else original.write(fd, from, offset, result, position, done)
    },
    writeSync: (fd: number, from: Uint8Array, offset: number, length: number, position: number): number => {
      faults.atOnce.push(length)
      const result = faults.writes.shift()?.(length) ?? length
      if (typeof result === 'string') throw withCode(result)
      return original.writeSync(fd, from, offset, result, position)
    },
    close: (fd: number, done: (error: NodeJS.ErrnoException | null) => void): void => {
      faults.closedFds.push(fd)
      const code = faults.closeCode
      original.close(fd, (error) => done(code === undefined ? (error ?? null) : withCode(code)))
    },
  }
})

let directory: string
let file: DiskFile

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quorumkv-file-'))
  file = await new NodeDisk(directory).open('a', 'create')
  faults.writes = []
  faults.closeCode = undefined
  faults.closedFds = []
  faults.atOnce = []
})

afterEach(async () => {
  await file.close()
  await rm(directory, { recursive: true, force: true })
})

test('a short write is reported as such, and writeFully goes on behind it', async () => {
  faults.writes = [() => 3, () => 1]
  expect(await file.write(new Uint8Array([1, 2, 3, 4, 5, 6]), 0)).toBe(3)
  await writeFully(file, new Uint8Array([7, 8, 9]), 3)
  const into = new Uint8Array(10)
  expect(await readFully(file, into, 0)).toBe(6)
  expect([...into]).toEqual([1, 2, 3, 7, 8, 9, 0, 0, 0, 0])
})

test('a system that takes no bytes is not asked for ever', async () => {
  faults.writes = [() => 0, () => 0]
  await expect(file.write(new Uint8Array(5), 0)).rejects.toMatchObject({ code: 'io', path: 'a' })
  await expect(writeFully(file, new Uint8Array(5), 0)).rejects.toMatchObject({ code: 'io', path: 'a' })
})

test('a small write is made at once, a larger one in the pool; either may fail', async () => {
  const most = limits.diskWriteAtOnceBytesMax
  expect(await file.write(new Uint8Array(most), 0)).toBe(most)
  expect(await file.write(new Uint8Array(most + 1), 0)).toBe(most + 1)
  expect(faults.atOnce).toEqual([most])
  for (const length of [1, most + 1]) {
    faults.writes = [() => 'EIO']
    await expect(file.write(new Uint8Array(length), 0)).rejects.toMatchObject({ code: 'io', path: 'a' })
    faults.writes = [() => 0]
    await expect(file.write(new Uint8Array(length), 0)).rejects.toMatchObject({ code: 'io', path: 'a' })
  }
})

test('a preallocation for which there is no room leaves the file as it was', async () => {
  await writeFully(file, new Uint8Array([1, 2, 3]), 0)
  faults.writes = [(length) => length, (length) => length - 1000, () => 'ENOSPC']
  await expect(file.preallocate(5_000_000)).rejects.toMatchObject({ code: 'full', path: 'a' })
  expect(await file.size()).toBe(3)
  await file.preallocate(5_000_000)
  expect(await file.size()).toBe(5_000_000)
})

test('a close that fails is reported, and the descriptor is not closed twice', async () => {
  faults.closeCode = 'EIO'
  await expect(file.close()).rejects.toMatchObject({ code: 'io', path: 'a' })
  await file.close()
  expect(faults.closedFds.length).toBe(1)
})

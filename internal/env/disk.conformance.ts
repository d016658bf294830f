import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AssertionError } from '../base/index.js'
import { type Disk, DiskError, type DiskErrorCode, readFully, writeFully } from './index.js'

export interface DiskFixture {
  /** An empty disk. */
  readonly disk: Disk
  /** Makes time pass, where it does not do so by itself, until the promise settles. */
  settle<T>(promise: Promise<T>): Promise<T>
  close(): Promise<void>
}

/** What every Disk must do as long as nothing crashes; to be called in a test file of each implementation. */
export function describeDisk(name: string, makeFixture: () => Promise<DiskFixture>): void {
  describe(`${name} as a Disk`, () => {
    let fixture: DiskFixture
    beforeEach(async () => {
      fixture = await makeFixture()
    })
    afterEach(async () => {
      await fixture.close()
    })

    /** Runs the body of a test in the fixture's time. */
    const check = (title: string, body: (disk: Disk) => Promise<void>): void => {
      test(title, () => fixture.settle(body(fixture.disk)))
    }
    defineContents(check)
    defineSizes(check)
    defineNames(check)
    defineDirectories(check)
    defineMisuse(check)
    test('any sequence of changes gives what a plain array would hold', async () => {
      await checkAgainstModel(fixture)
    })
  })
}

type Check = (title: string, body: (disk: Disk) => Promise<void>) => void

async function expectFailure(running: Promise<unknown>, code: DiskErrorCode, path: string): Promise<void> {
  const error = await running.then(
    () => undefined,
    (failure: unknown) => failure,
  )
  expect(error).toBeInstanceOf(DiskError)
  expect(error).toMatchObject({ code, path })
}

async function makeFile(disk: Disk, path: string, contents: Uint8Array): Promise<void> {
  const file = await disk.open(path, 'create')
  await writeFully(file, contents, 0)
  await file.close()
}

async function contentsOf(disk: Disk, path: string): Promise<Uint8Array> {
  const file = await disk.open(path, 'read')
  const contents = new Uint8Array(await file.size())
  expect(await readFully(file, contents, 0)).toBe(contents.length)
  await file.close()
  return contents
}

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values)

function defineContents(check: Check): void {
  check('what was written is read back, by the writer and by others, before and after a sync', async (disk) => {
    const file = await disk.open('a', 'create')
    expect(file.path).toBe('a')
    expect(await file.size()).toBe(0)
    await writeFully(file, bytes(1, 2, 3, 4, 5), 0)
    await writeFully(file, bytes(9, 9), 1)
    expect(await contentsOf(disk, 'a')).toEqual(bytes(1, 9, 9, 4, 5))
    await file.sync()
    const other = await disk.open('a', 'write')
    await writeFully(other, bytes(7), 4)
    const into = new Uint8Array(3)
    expect(await readFully(file, into, 2)).toBe(3)
    expect(into).toEqual(bytes(9, 4, 7))
    await file.close()
    await other.close()
  })

  check('a read stops at the end and leaves the rest of its buffer alone', async (disk) => {
    await makeFile(disk, 'a', bytes(1, 2, 3))
    const file = await disk.open('a', 'read')
    const into = bytes(8, 8, 8, 8)
    expect(await readFully(file, into, 1)).toBe(2)
    expect(into).toEqual(bytes(2, 3, 8, 8))
    expect(await file.read(into, 3)).toBe(0)
    expect(await file.read(into, 1_000_000)).toBe(0)
    await file.close()
  })

  check('a write behind the end leaves zeros in between', async (disk) => {
    const file = await disk.open('a', 'create')
    await writeFully(file, bytes(5), 10_000)
    expect(await file.size()).toBe(10_001)
    const contents = await contentsOf(disk, 'a')
    expect(contents.subarray(0, 10_000).every((byte) => byte === 0)).toBe(true)
    expect(contents[10_000]).toBe(5)
    await file.close()
  })

  check('megabytes go through whole, and reads may overlap each other', async (disk) => {
    const contents = new Uint8Array(3_000_000)
    for (let i = 0; i < contents.length; i++) contents[i] = (i * 2_654_435_761) >>> 24
    await makeFile(disk, 'a', contents)
    const file = await disk.open('a', 'read')
    const parts = [0, 1_000_000, 2_000_000].map(async (position) => {
      const part = new Uint8Array(1_000_000)
      expect(await readFully(file, part, position)).toBe(1_000_000)
      expect(Buffer.compare(part, contents.subarray(position, position + 1_000_000))).toBe(0)
    })
    await Promise.all(parts)
    await file.close()
  })
}

function defineSizes(check: Check): void {
  check('truncate cuts and extends; what was cut off does not come back', async (disk) => {
    await makeFile(disk, 'a', new Uint8Array(10_000).fill(7))
    const file = await disk.open('a', 'write')
    await file.truncate(4098)
    expect(await file.size()).toBe(4098)
    await file.truncate(9000)
    const contents = await contentsOf(disk, 'a')
    expect(contents.length).toBe(9000)
    expect(contents.indexOf(0)).toBe(4098)
    expect(contents.subarray(4098).every((byte) => byte === 0)).toBe(true)
    await file.truncate(0)
    expect(await file.size()).toBe(0)
    await file.close()
  })

  check('preallocate extends with zeros, keeps what is there and never cuts', async (disk) => {
    await makeFile(disk, 'a', bytes(1, 2, 3))
    const file = await disk.open('a', 'write')
    await file.preallocate(2_500_000)
    expect(await file.size()).toBe(2_500_000)
    await file.preallocate(10)
    expect(await file.size()).toBe(2_500_000)
    const contents = await contentsOf(disk, 'a')
    expect(contents.subarray(0, 3)).toEqual(bytes(1, 2, 3))
    expect(contents.subarray(3).every((byte) => byte === 0)).toBe(true)
    await writeFully(file, bytes(4), 2_499_999)
    expect(await file.size()).toBe(2_500_000)
    await file.close()
  })

  check('preallocate runs beside writes below the end and beside syncs, and harms neither', async (disk) => {
    await makeFile(disk, 'a', new Uint8Array(1_000))
    const file = await disk.open('a', 'write')
    const growing = file.preallocate(4_000_000)
    for (let i = 0; i < 10; i++) {
      await writeFully(file, bytes(1, 2, 3, 4).fill(i + 1), i * 100)
      await file.sync()
    }
    await growing
    await file.close()
    const contents = await contentsOf(disk, 'a')
    expect(contents.length).toBe(4_000_000)
    for (let i = 0; i < 10; i++)
      expect(contents.subarray(i * 100, i * 100 + 5)).toEqual(bytes(1, 1, 1, 1, 0).map((b) => b * (i + 1)))
    expect(contents.subarray(1_000).every((byte) => byte === 0)).toBe(true)
  })
}

function defineNames(check: Check): void {
  check('a file is opened where it is, and made where it is not', async (disk) => {
    await expectFailure(disk.open('a', 'read'), 'not-found', 'a')
    await expectFailure(disk.open('a', 'write'), 'not-found', 'a')
    await expectFailure(disk.open('none/a', 'create'), 'not-found', 'none/a')
    await makeFile(disk, 'a', bytes(1))
    await expectFailure(disk.open('a', 'create'), 'exists', 'a')
    await expectFailure(disk.open('a/b', 'create'), 'io', 'a/b')
    expect(await contentsOf(disk, 'a')).toEqual(bytes(1))
  })

  check('a rename replaces what had the name, and open files follow', async (disk) => {
    await makeFile(disk, 'new', bytes(1))
    await makeFile(disk, 'old', bytes(2))
    const moving = await disk.open('new', 'write')
    const replaced = await disk.open('old', 'read')
    await disk.rename('new', 'old')
    expect(await disk.list('')).toEqual(['old'])
    expect(await contentsOf(disk, 'old')).toEqual(bytes(1))
    await writeFully(moving, bytes(3), 1)
    expect(await contentsOf(disk, 'old')).toEqual(bytes(1, 3))
    const into = new Uint8Array(1)
    expect(await replaced.read(into, 0)).toBe(1)
    expect(into).toEqual(bytes(2))
    await moving.close()
    await replaced.close()
  })

  check('a rename goes from directory to directory, and onto itself', async (disk) => {
    await disk.makeDirectory('d')
    await makeFile(disk, 'a', bytes(1))
    await disk.rename('a', 'd/b')
    expect(await disk.list('')).toEqual(['d'])
    expect(await disk.list('d')).toEqual(['b'])
    await disk.rename('d/b', 'd/b')
    expect(await contentsOf(disk, 'd/b')).toEqual(bytes(1))
    await expectFailure(disk.rename('a', 'c'), 'not-found', 'a')
    await expectFailure(disk.rename('d/b', 'none/b'), 'not-found', 'd/b')
  })

  check('a removed file is gone, but whoever has it open goes on', async (disk) => {
    await makeFile(disk, 'a', bytes(1, 2))
    const file = await disk.open('a', 'write')
    await disk.remove('a')
    await expectFailure(disk.remove('a'), 'not-found', 'a')
    await expectFailure(disk.open('a', 'read'), 'not-found', 'a')
    await writeFully(file, bytes(3), 2)
    await file.sync()
    expect(await file.size()).toBe(3)
    await file.close()
    await makeFile(disk, 'a', bytes(9))
    expect(await contentsOf(disk, 'a')).toEqual(bytes(9))
  })
}

function defineDirectories(check: Check): void {
  check('a directory lists the names in it, sorted, and nothing deeper', async (disk) => {
    await disk.makeDirectory('d/e')
    for (const name of ['b', 'a10', 'a9', 'B', 'd/x']) await makeFile(disk, name, bytes())
    expect(await disk.list('')).toEqual(['B', 'a10', 'a9', 'b', 'd'])
    expect(await disk.list('.')).toEqual(['B', 'a10', 'a9', 'b', 'd'])
    expect(await disk.list('d')).toEqual(['e', 'x'])
    expect(await disk.list('d/e')).toEqual([])
    await expectFailure(disk.list('none'), 'not-found', 'none')
    await expectFailure(disk.list('b'), 'io', 'b')
  })

  check('a directory is made with its parents, and twice without harm', async (disk) => {
    await disk.makeDirectory('')
    await disk.makeDirectory('a/b/c')
    await disk.makeDirectory('a/b/c')
    await disk.makeDirectory('a')
    expect(await disk.list('a/b')).toEqual(['c'])
    await makeFile(disk, 'f', bytes())
    await expectFailure(disk.makeDirectory('f'), 'exists', 'f')
    await expectFailure(disk.makeDirectory('f/g'), 'io', 'f/g')
  })

  check('tells how much room there is', async (disk) => {
    await disk.makeDirectory('')
    expect(await disk.freeBytes()).toBeGreaterThan(1_000_000)
  })

  check('a directory is no file', async (disk) => {
    await disk.makeDirectory('d')
    await expectFailure(disk.open('d', 'read'), 'io', 'd')
    await expectFailure(disk.open('d', 'write'), 'io', 'd')
    await expectFailure(disk.open('d', 'create'), 'exists', 'd')
    await expectFailure(disk.remove('d'), 'io', 'd')
    await makeFile(disk, 'f', bytes())
    await expectFailure(disk.rename('f', 'd'), 'io', 'f')
    expect(await disk.list('')).toEqual(['d', 'f'])
  })

  check('directories are synced, files and nothing are not', async (disk) => {
    await disk.makeDirectory('d')
    await makeFile(disk, 'f', bytes())
    await disk.syncDirectory('')
    await disk.syncDirectory('d')
    await expectFailure(disk.syncDirectory('none'), 'not-found', 'none')
    await expectFailure(disk.syncDirectory('f'), 'io', 'f')
  })
}

function defineMisuse(check: Check): void {
  check('a path that leads out, or is no plain path, is a bug', async (disk) => {
    for (const path of ['/etc/passwd', '..', '../x', 'a/../../x', 'a//b', 'a/', './a', 'a/./b', 'a\0b']) {
      await expect(disk.open(path, 'read'), path).rejects.toThrow(AssertionError)
      await expect(disk.makeDirectory(path), path).rejects.toThrow(AssertionError)
      await expect(disk.list(path), path).rejects.toThrow(AssertionError)
      await expect(disk.rename(path, 'b'), path).rejects.toThrow(AssertionError)
      await expect(disk.rename('b', path), path).rejects.toThrow(AssertionError)
      await expect(disk.remove(path), path).rejects.toThrow(AssertionError)
      await expect(disk.syncDirectory(path), path).rejects.toThrow(AssertionError)
    }
    for (const root of ['', '.']) {
      await expect(disk.open(root, 'read')).rejects.toThrow(AssertionError)
      await expect(disk.remove(root)).rejects.toThrow(AssertionError)
      await expect(disk.rename('a', root)).rejects.toThrow(AssertionError)
    }
  })

  check('a closed file is not used any more; closing it again does nothing', async (disk) => {
    const file = await disk.open('a', 'create')
    await file.close()
    await file.close()
    await expect(file.size()).rejects.toThrow(AssertionError)
    await expect(file.read(new Uint8Array(1), 0)).rejects.toThrow(AssertionError)
    await expect(file.write(bytes(1), 0)).rejects.toThrow(AssertionError)
    await expect(file.sync()).rejects.toThrow(AssertionError)
    await expect(file.truncate(0)).rejects.toThrow(AssertionError)
    await expect(file.preallocate(1)).rejects.toThrow(AssertionError)
  })

  check('a file opened for reading is not changed', async (disk) => {
    await makeFile(disk, 'a', bytes(1))
    const file = await disk.open('a', 'read')
    await expect(file.write(bytes(2), 0)).rejects.toThrow(AssertionError)
    await expect(file.truncate(0)).rejects.toThrow(AssertionError)
    await expect(file.preallocate(9)).rejects.toThrow(AssertionError)
    await file.close()
    expect(await contentsOf(disk, 'a')).toEqual(bytes(1))
  })
}

type Change =
  | { readonly kind: 'write'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate' | 'preallocate'; readonly size: number }
  | { readonly kind: 'sync' | 'reopen' }

const position = fc.integer({ min: 0, max: 20_000 })
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), at: position, bytes: fc.uint8Array({ maxLength: 6000 }) }),
  fc.record({ kind: fc.constantFrom('truncate' as const, 'preallocate' as const), size: position }),
  fc.record({ kind: fc.constantFrom('sync' as const, 'reopen' as const) }),
)

function applyToModel(model: Uint8Array, step: Change): Uint8Array {
  const resized = (size: number): Uint8Array => {
    const next = new Uint8Array(size)
    next.set(model.subarray(0, size))
    return next
  }
  switch (step.kind) {
    case 'write': {
      if (step.bytes.length === 0) return model
      const next = resized(Math.max(model.length, step.at + step.bytes.length))
      next.set(step.bytes, step.at)
      return next
    }
    case 'truncate':
      return resized(step.size)
    case 'preallocate':
      return resized(Math.max(step.size, model.length))
    default:
      return model
  }
}

async function checkAgainstModel(fixture: DiskFixture): Promise<void> {
  let runs = 0
  const runSteps = async (steps: readonly Change[]): Promise<void> => {
    const path = `model-${runs++}`
    let file = await fixture.disk.open(path, 'create')
    let model: Uint8Array = new Uint8Array(0)
    for (const step of steps) {
      if (step.kind === 'write') await writeFully(file, step.bytes, step.at)
      else if (step.kind === 'truncate') await file.truncate(step.size)
      else if (step.kind === 'preallocate') await file.preallocate(step.size)
      else if (step.kind === 'sync') await file.sync()
      else {
        await file.close()
        file = await fixture.disk.open(path, 'write')
      }
      model = applyToModel(model, step)
    }
    await file.close()
    expect(Buffer.compare(await contentsOf(fixture.disk, path), model)).toBe(0)
  }
  const property = fc.asyncProperty(fc.array(change, { maxLength: 20, size: 'max' }), (steps) =>
    fixture.settle(runSteps(steps)),
  )
  await fc.assert(property, { numRuns: 60 })
}

import { mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DiskError, writeFully } from '../env/index.js'
import { NodeDisk } from './index.js'
import { diskError } from './node-errors.js'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quorumkv-node-'))
})

afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

async function failure(running: Promise<unknown>): Promise<DiskError> {
  const error = await running.catch((reason: unknown) => reason)
  if (!(error instanceof DiskError)) throw new Error(`not a DiskError: ${error}`)
  return error
}

test('the root and what is above it are made on request, and nobody else may look into anything', async () => {
  const root = join(directory, 'some/where/data')
  const disk = new NodeDisk(root)
  expect((await failure(disk.list(''))).code).toBe('not-found')
  await disk.makeDirectory('')
  await disk.makeDirectory('wal/old')
  const file = await disk.open('wal/old/a', 'create')
  await writeFully(file, new Uint8Array([65, 66]), 0)
  await file.close()
  expect(await readFile(join(root, 'wal/old/a'), 'latin1')).toBe('AB')
  const modeOf = async (path: string): Promise<number> => (await stat(join(directory, path))).mode & 0o777
  for (const made of ['some', 'some/where', 'some/where/data', 'some/where/data/wal/old']) {
    expect(await modeOf(made), made).toBe(0o700)
  }
  expect(await modeOf('some/where/data/wal/old/a')).toBe(0o600)
})

test('two disks over different roots do not see each other', async () => {
  const [a, b] = [new NodeDisk(join(directory, 'a')), new NodeDisk(`${directory}/b/`)]
  await a.makeDirectory('')
  await b.makeDirectory('')
  await (await a.open('x', 'create')).close()
  expect(await b.list('')).toEqual([])
  expect(await a.list('')).toEqual(['x'])
})

test('a device without room fails with full, one that cannot sync with io', async () => {
  await symlink('/dev/full', join(directory, 'full'))
  const disk = new NodeDisk(directory)
  const file = await disk.open('full', 'write')
  const error = await failure(file.write(new Uint8Array(10), 0))
  expect(error).toMatchObject({ code: 'full', path: 'full' })
  expect(error.message).toMatch(/^write full: full: ENOSPC/)
  expect((await failure(file.sync())).code).toBe('io')
  await file.close()
})

test('a size beyond what the file system can hold fails with full', async () => {
  const disk = new NodeDisk(directory)
  const file = await disk.open('a', 'create')
  expect((await failure(file.truncate(Number.MAX_SAFE_INTEGER))).code).toBe('full')
  await file.close()
})

test('each reason of the system has the code that the store acts on; unknown ones mean a bad medium', () => {
  const codeOf = (code: string | undefined): string => {
    const cause: NodeJS.ErrnoException = new Error('x')
    if (code !== undefined) cause.code = code
    const error = diskError('write', 'wal/1', cause)
    expect(error.cause).toBe(cause)
    return error.code
  }
  expect(codeOf('ENOENT')).toBe('not-found')
  expect(codeOf('EEXIST')).toBe('exists')
  for (const code of ['ENOSPC', 'EFBIG', 'EDQUOT']) expect(codeOf(code)).toBe('full')
  for (const code of ['EACCES', 'EPERM', 'EROFS']) expect(codeOf(code)).toBe('permission')
  for (const code of ['EIO', 'EBADF', 'EMFILE', 'ESTALE', undefined]) expect(codeOf(code)).toBe('io')
})

test('a place in which no directories can be made says so, and is not tried for ever', async () => {
  for (const path of ['/proc/quorumkv', '/proc/quorumkv/deep/down', '/dev/null', '/dev/null/deep']) {
    const error = await failure(new NodeDisk(path).makeDirectory(''))
    expect(error.message).toMatch(/^makeDirectory .*: (ENOENT|EEXIST|ENOTDIR|EACCES)/)
  }
})

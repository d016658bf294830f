import { appendFileSync, chmodSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FailedError } from '../exit.js'
import { AckedLog } from './acked-log.js'
import { ResumeFile } from './resume.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kv-resume-'))
})
afterEach(() => rm(folder, { recursive: true }))

const subject = { clusterId: 'c1', file: { path: '/data/users.jsonl', bytes: 100, modifiedMs: 5 } }
const open = (more: Partial<typeof subject> = {}, given?: string, startOver = false) =>
  ResumeFile.open({ ...subject, ...more }, { XDG_STATE_HOME: folder }, given, startOver)

describe('the position of an import', () => {
  it('is found again by the same command, and gone when the import has ended well', async () => {
    const first = await open()
    expect(first.position).toBeUndefined()
    await first.file.save({ lines: 5, offset: 50 })
    await first.file.save({ lines: 7, offset: 70 })
    const second = await open()
    expect(second.position).toEqual({ lines: 7, offset: 70 })
    await second.file.remove()
    expect((await open()).position).toBeUndefined()
  })

  it('is not that of another cluster, of another file, or of a file that has changed', async () => {
    await (await open()).file.save({ lines: 5, offset: 50 })
    expect((await open({ clusterId: 'c2' })).position).toBeUndefined()
    expect((await open({ file: { ...subject.file, path: '/data/other.jsonl' } })).position).toBeUndefined()
    expect((await open({ file: { ...subject.file, bytes: 101 } })).position).toBeUndefined()
    expect((await open({ file: { ...subject.file, modifiedMs: 6 } })).position).toBeUndefined()
    expect((await open()).position).toEqual({ lines: 5, offset: 50 })
  })

  it('a chosen file that belongs to another import is refused, unless the user starts over', async () => {
    const path = join(folder, 'chosen.json')
    await (await open({}, path)).file.save({ lines: 5, offset: 50 })
    expect((await open({}, path)).position).toEqual({ lines: 5, offset: 50 })
    await expect(open({ clusterId: 'c2' }, path)).rejects.toThrow(FailedError)
    await expect(open({ file: { ...subject.file, bytes: 101 } }, path)).rejects.toThrow(FailedError)
    await writeFile(path, '{"format":"kv-import-1","clusterId":"c1"}')
    await expect(open({}, path)).rejects.toThrow(/is not the position of this import/)
    expect((await open({ clusterId: 'c2' }, path, true)).position).toBeUndefined()
    expect((await open({ clusterId: 'c2' }, path)).position).toBeUndefined()
  })

  it('a torn file counts as none, and a save leaves no temporary file', async () => {
    const path = join(folder, 'chosen.json')
    await writeFile(path, '{"format":"kv-im')
    const { file, position } = await open({}, path)
    expect(position).toBeUndefined()
    await Promise.all([file.save({ lines: 1, offset: 9 }), file.save({ lines: 2, offset: 18 })])
    expect(await readdir(folder)).toEqual(['chosen.json'])
    expect((await open({}, path)).position).toEqual({ lines: 2, offset: 18 })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })

  it('says so before anything is sent where nothing can be kept', async () => {
    await writeFile(join(folder, 'quorumkv'), 'a file where a folder should be')
    await expect(open()).rejects.toThrow(/cannot keep the import's position/)
  })

  it('a failed save does not stop the next one', async () => {
    const path = join(folder, 'sub', 'chosen.json')
    const { file } = await open({}, path)
    await rm(join(folder, 'sub'), { recursive: true })
    await writeFile(join(folder, 'sub'), '')
    await expect(file.save({ lines: 1, offset: 9 })).rejects.toThrow()
    await rm(join(folder, 'sub'))
    await mkdir(join(folder, 'sub'))
    chmodSync(join(folder, 'sub'), 0o700)
    await file.save({ lines: 1, offset: 9 })
    expect((await open({}, path)).position).toEqual({ lines: 1, offset: 9 })
  })
})

describe('the log of acknowledged keys', () => {
  it('holds every key in order, text or not, behind what was there', async () => {
    const path = join(folder, 'acked')
    appendFileSync(path, '{"key":"before"}\n')
    const log = new AckedLog(path)
    log.append({ key: Buffer.from('a\n') })
    await new Promise((resolve) => setImmediate(resolve))
    expect(await readFile(path, 'utf8')).toBe('{"key":"before"}\n{"key":"a\\n"}\n')
    log.append({ key: Buffer.from([0xff]) })
    log.close()
    expect(await readFile(path, 'utf8')).toBe('{"key":"before"}\n{"key":"a\\n"}\n{"keyBase64":"/w=="}\n')
  })

  it('a line that cannot be written fails the next acknowledgement', async () => {
    const log = new AckedLog('/dev/full')
    log.append({ key: Buffer.from('a') })
    await new Promise((resolve) => setImmediate(resolve))
    expect(() => log.append({ key: Buffer.from('b') })).toThrow(/cannot write \/dev\/full/)
    expect(() => log.close()).toThrow(FailedError)
    expect(() => new AckedLog(join(folder, 'absent', 'log'))).toThrow(FailedError)
  })
})

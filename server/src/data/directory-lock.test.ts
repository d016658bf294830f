import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { FatalError } from '@quorumkv/internal/base'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { lockDirectory } from './directory-lock.js'
import { type Holder, isShared, mayLiveElsewhere, parseHolder } from './lock-holder.js'

/** What `statfs` says of every file system; undefined: the truth. */
const fake = vi.hoisted(() => ({ type: undefined as number | undefined }))
vi.mock('node:fs', async (original) => {
  const real = await original<typeof import('node:fs')>()
  const statfsSync = (path: string): { type: number } => ({ type: fake.type ?? real.statfsSync(path).type })
  return { ...real, statfsSync }
})
const nfs = 0x6969

const root = mkdtempSync(join(tmpdir(), 'kv-lock-'))
afterAll(() => rmSync(root, { recursive: true }))

let count = 0
function fresh(): string {
  const path = join(root, String(++count))
  mkdirSync(path)
  return path
}

async function refusal(path: string): Promise<string> {
  const error: unknown = await lockDirectory(path).then(
    (lock) => lock.release(),
    (reason: unknown) => reason,
  )
  if (!(error instanceof FatalError)) throw new Error(`not refused: ${error}`)
  return `${error.reason}: ${error.message}`
}

describe('lock of a data directory', () => {
  it('a second one is refused and names the holder; once the first is released it succeeds', async () => {
    const path = fresh()
    const first = await lockDirectory(path)
    expect(await refusal(path)).toBe(`in-use: the data directory ${path} is in use by process ${process.pid}`)
    first.release()
    first.release()
    expect(readdirSync(join(path, 'LOCK'))).toEqual([])
    ;(await lockDirectory(path)).release()
  })

  it('its files are for their owner only', async () => {
    const path = fresh()
    const lock = await lockDirectory(path)
    const modes = ['', ...readdirSync(join(path, 'LOCK'))].map(
      (name) => statSync(join(path, 'LOCK', name)).mode & 0o777,
    )
    expect(modes).toEqual([0o700, 0o600, 0o600])
    lock.release()
  })

  it('holds through another name of the same directory', async () => {
    const path = fresh()
    const lock = await lockDirectory(path)
    const alias = join(root, 'alias')
    symlinkSync(path, alias)
    expect(await refusal(alias)).toContain('in use by process')
    lock.release()
  })

  it('holds below a path that is longer than the address of a socket can be', async () => {
    const path = join(fresh(), 'x'.repeat(200), 'y'.repeat(200))
    mkdirSync(path, { recursive: true })
    const lock = await lockDirectory(path)
    expect(readdirSync(join(path, 'LOCK'))).toHaveLength(2)
    expect(await refusal(path)).toContain(`in use by process ${process.pid}`)
    lock.release()
  })

  it('of many in one process, exactly one wins, every time', async () => {
    const path = fresh()
    for (let round = 0; round < 20; round++) {
      const all = await Promise.allSettled(Array.from({ length: 10 }, () => lockDirectory(path)))
      const won = all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
      expect(won).toHaveLength(1)
      won[0]!.release()
    }
  })

  it.each(['0', 'g'])('a starter that does not go on is waited for no longer than a bound: %s', async (name) => {
    const path = fresh()
    ;(await lockDirectory(path)).release()
    const answer = `${JSON.stringify({ pid: 4711, host: hostname(), bootId: 'b', owns: false })}\n`
    let asked = 0
    const other = createServer((socket) => {
      asked++
      socket.end(answer)
    })
    await once(other.listen(join(path, 'LOCK', `${name}.sock`)), 'listening')
    let nowMs = 0
    const now = vi.spyOn(performance, 'now').mockImplementation(() => (nowMs += 1_000))
    try {
      expect(await refusal(path)).toContain('in use by process 4711')
    } finally {
      now.mockRestore()
    }
    // A lower name than any of ours goes first; a higher one would have to withdraw.
    if (name === '0') expect(asked).toBe(1)
    else expect(asked).toBeGreaterThan(1)
    other.close()
    await once(other, 'close')
  })

  it.each(['', '{"pid":', '{"pid":1}\n', 'no\n'])('a file that says %j names nobody', async (text) => {
    const path = fresh()
    mkdirSync(join(path, 'LOCK'))
    writeFileSync(join(path, 'LOCK', 'holder'), text)
    ;(await lockDirectory(path)).release()
  })

  it('a file in the place of the lock is told, and left alone', async () => {
    const path = fresh()
    writeFileSync(join(path, 'LOCK'), 'mine')
    await expect(lockDirectory(path)).rejects.toThrow('LOCK')
    expect(readFileSync(join(path, 'LOCK'), 'utf8')).toBe('mine')
  })
})

describe('a holder on another machine', () => {
  const self: Holder = { pid: 1, host: 'a', bootId: 'x', owns: true }

  it.each([
    ['the same container, started again', {}, false],
    ['another container on the same kernel', { host: 'b' }, false],
    ['this machine, started again', { bootId: 'y' }, false],
    ['another machine', { host: 'b', bootId: 'y' }, true],
  ])('%s', (_what, fields, expected) => expect(mayLiveElsewhere({ ...self, ...fields }, self)).toBe(expected))

  function heldElsewhere(): string {
    const path = fresh()
    mkdirSync(join(path, 'LOCK'))
    writeFileSync(join(path, 'LOCK', 'holder'), `${JSON.stringify({ ...self, host: 'elsewhere' })}\n`)
    return path
  }

  afterEach(() => {
    fake.type = undefined
  })

  it('counts only where the file system can be shared with it', async () => {
    expect(isShared('/proc')).toBe(false)
    const path = heldElsewhere()
    fake.type = 0xef53 // ext4
    ;(await lockDirectory(path)).release()
    fake.type = nfs
    expect(await refusal(heldElsewhere())).toMatch(/^in-use: .*elsewhere.*remove .*holder/)
  })

  it('keeps its socket: to us it looks dead, and it is what its own machine sees', async () => {
    const path = heldElsewhere()
    const socket = join(path, 'LOCK', '0123456789abcdef01234567.sock')
    writeFileSync(socket, '') // A connection to it is refused, as to a socket of another kernel.
    fake.type = nfs
    await refusal(path)
    expect(readdirSync(join(path, 'LOCK')).sort()).toEqual(['0123456789abcdef01234567.sock', 'holder'])
  })

  it('what is not whole says nothing', () => {
    expect(parseHolder(`${JSON.stringify(self)}\n`)).toEqual(self)
    expect(parseHolder(JSON.stringify(self))).toBeUndefined()
  })
})

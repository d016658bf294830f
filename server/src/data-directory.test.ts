import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FatalError, type FatalReason } from '@quorumkv/internal/base'
import { afterAll, describe, expect, it } from 'vitest'
import { openDataDirectory } from './data-directory.js'
import { eventually } from './services.test-support.js'

const root = mkdtempSync(join(tmpdir(), 'kv-directory-'))
afterAll(() => rmSync(root, { recursive: true }))

let count = 0
function fresh(): string {
  return join(root, String(++count))
}

async function refusal(path: string): Promise<readonly [FatalReason, string]> {
  const error: unknown = await openDataDirectory(path).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof FatalError)) throw new Error(`not refused: ${error}`)
  return [error.reason, error.message]
}

describe('data directory', () => {
  it('is created with its parents, for its owner only', async () => {
    const path = join(fresh(), 'a', 'b')
    const directory = await openDataDirectory(path)
    expect(directory.path).toBe(path)
    expect(statSync(path).mode & 0o777).toBe(0o700)
    directory.close()
    directory.close()
  })

  it('is taken again when it is empty, or holds a node', async () => {
    const path = fresh()
    mkdirSync(join(path, 'lost+found'), { recursive: true })
    ;(await openDataDirectory(path)).close()
    writeFileSync(join(path, 'identity'), '')
    writeFileSync(join(path, 'anything'), '')
    ;(await openDataDirectory(path)).close()
  })

  it('that holds other things is refused and not touched', async () => {
    const path = fresh()
    mkdirSync(path)
    writeFileSync(join(path, 'thesis.tex'), '')
    const [reason, message] = await refusal(path)
    expect(reason).toBe('usage')
    expect(message).toContain(path)
    expect(message).toContain('thesis.tex')
    expect(() => statSync(join(path, 'LOCK'))).toThrow('ENOENT')
  })

  it('that has lost its identity is corrupt, not new', async () => {
    const path = fresh()
    mkdirSync(path)
    writeFileSync(join(path, 'store'), '')
    expect((await refusal(path))[0]).toBe('corrupt')
  })

  it('that is a file, or cannot be made, is refused naming it', async () => {
    const path = fresh()
    writeFileSync(path, '')
    expect(await refusal(path)).toEqual(['usage', expect.stringContaining(path)])
    expect(await refusal(join(path, 'below'))).toEqual(['usage', expect.stringContaining(path)])
  })

  it('below a file system that makes no directories is refused at once', async () => {
    for (const path of ['/proc/nope', '/proc/nope/deeper']) {
      expect(await refusal(path)).toEqual(['usage', expect.stringContaining(path)])
    }
  })

  it('with parents that are missing is made with them', async () => {
    const path = join(fresh(), 'a', 'b')
    await (await openDataDirectory(path)).close()
    expect(statSync(path).mode & 0o777).toBe(0o700)
  })

  it('that cannot be written is refused naming it', async () => {
    // Root may write anywhere but in a file system of the kernel's.
    const path = process.getuid?.() === 0 ? '/proc/self/fdinfo' : fresh()
    if (path.startsWith(root)) {
      mkdirSync(path)
      writeFileSync(join(path, 'identity'), '')
      chmodSync(path, 0o500)
    }
    expect(await refusal(path)).toEqual(['usage', expect.stringContaining(path)])
  })
})

describe('lock of a data directory', () => {
  it('a second opening is refused and names the holder; after the first has closed it succeeds', async () => {
    const path = fresh()
    const first = await openDataDirectory(path)
    expect(await refusal(path)).toEqual(['in-use', expect.stringContaining(`process ${process.pid}`)])
    first.close()
    ;(await openDataDirectory(path)).close()
  })

  it('holds through another name of the same directory', async () => {
    const path = fresh()
    const first = await openDataDirectory(path)
    const alias = fresh()
    symlinkSync(path, alias)
    expect((await refusal(alias))[0]).toBe('in-use')
    first.close()
  })

  it('a holder that lives where its socket is not seen still holds, until it is gone', async () => {
    const path = fresh()
    ;(await openDataDirectory(path)).close()
    const holder = spawn('sleep', ['60'])
    try {
      const directory = await openDataDirectory(path)
      const mine = JSON.parse(readFileSync(join(path, 'LOCK'), 'utf8'))
      directory.close()
      const stat = readFileSync(`/proc/${holder.pid}/stat`, 'utf8')
      const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
      const write = (fields: object): void => {
        writeFileSync(join(path, 'LOCK'), `${JSON.stringify({ ...mine, pid: holder.pid, startTicks, ...fields })}\n`)
      }
      write({})
      expect(await refusal(path)).toEqual(['in-use', expect.stringContaining(`process ${holder.pid}`)])
      for (const stale of [{ startTicks: '1' }, { bootId: 'before the restart' }]) {
        write(stale)
        ;(await openDataDirectory(path)).close()
      }
      write({})
      holder.kill('SIGKILL')
      await once(holder, 'exit')
      ;(await openDataDirectory(path)).close()
    } finally {
      holder.kill('SIGKILL')
    }
  })

  it('a killed holder whose parent has not asked for its status holds nothing', async () => {
    const path = fresh()
    const directory = await openDataDirectory(path)
    const mine = JSON.parse(readFileSync(join(path, 'LOCK'), 'utf8'))
    directory.close()
    // The shell becomes a program that never waits for the child that it was given.
    const parent = spawn('sh', ['-c', 'sleep 0.05 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] })
    try {
      const [line] = (await once(parent.stdout, 'data')) as [Buffer]
      const pid = Number(line.toString())
      const fields = (): string[] => readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')
      const startTicks = fields()[21]
      await eventually('the child is a zombie', () => fields()[2] === 'Z')
      writeFileSync(join(path, 'LOCK'), `${JSON.stringify({ ...mine, pid, startTicks })}\n`)
      ;(await openDataDirectory(path)).close()
    } finally {
      parent.kill('SIGKILL')
    }
  })

  it.each(['', '{"pid":', '{"pid":1}\n', 'no\n'])('a lock file that holds %j holds nobody', async (text) => {
    const path = fresh()
    mkdirSync(path)
    writeFileSync(join(path, 'LOCK'), text)
    ;(await openDataDirectory(path)).close()
  })
})

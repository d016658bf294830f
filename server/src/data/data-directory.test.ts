import type * as fs from 'node:fs'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FatalError, type FatalReason } from '@quorumkv/internal/base'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { openDataDirectory } from './data-directory.js'

/** Directories whose names were made durable, in order, and what the system says to that. */
const synced: string[] = []
let syncFailure: string | undefined

vi.mock('node:fs', async (original) => {
  const real = await original<typeof fs>()
  const fsyncSync = (descriptor: number): void => {
    synced.push(real.readlinkSync(`/proc/self/fd/${descriptor}`))
    if (syncFailure !== undefined) throw Object.assign(new Error('fsync'), { code: syncFailure })
    real.fsyncSync(descriptor)
  }
  return { ...real, fsyncSync }
})

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
    expect(readdirSync(path)).toEqual(['thesis.tex'])
  })

  it('that an interrupted repair has left says to run it again', async () => {
    const path = join(root, 'interrupted')
    mkdirSync(path)
    for (const name of ['repair', 'store']) writeFileSync(join(path, name), '')
    await expect(openDataDirectory(path)).rejects.toMatchObject({
      reason: 'corrupt',
      message: expect.stringContaining('run "kv-server repair" on it again'),
    })
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

  it('has a durable name, as all that was made above it has: else nothing in it outlives a power cut', async () => {
    const path = fresh()
    synced.length = 0
    ;(await openDataDirectory(join(path, 'a', 'b'))).close()
    expect(synced.slice(-3)).toEqual([root, path, join(path, 'a')])
    // Whoever made it may have been killed in between.
    synced.length = 0
    ;(await openDataDirectory(join(path, 'a', 'b'))).close()
    expect(synced).toEqual([join(path, 'a')])
  })

  it('whose name cannot be made durable is refused where it is new, and by a disk that fails', async () => {
    const path = fresh()
    try {
      syncFailure = 'EINVAL'
      expect(await refusal(path)).toEqual(['usage', expect.stringContaining(path)])
      ;(await openDataDirectory(path)).close()
      syncFailure = 'EIO'
      expect(await refusal(path)).toEqual(['disk-failed', expect.stringContaining(root)])
    } finally {
      syncFailure = undefined
    }
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

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { openDataDirectory } from '../data/data-directory.js'
import { startNode } from '../start-node.js'
import { type Ask, runRepair } from './repair.js'
import { runVerify } from './verify.js'

const root = mkdtempSync(join(tmpdir(), 'kv-repair-'))
afterAll(() => rmSync(root, { recursive: true }))

const segment = 'log/0000000001.log'
let directory: string
let printed: string

const output = {
  out: (text: string): void => {
    printed += text
  },
}

function repair(ask: Ask, ...argv: string[]): Promise<number> {
  printed = ''
  return runRepair(['--data-dir', directory, ...argv], {}, output, ask)
}

function verify(...argv: string[]): Promise<number> {
  printed = ''
  return runVerify(argv, { KV_DATA_DIR: directory }, output)
}

/** Turns bits over in one byte of a file. */
function flip(path: string, at: number): void {
  const bytes = readFileSync(join(directory, path))
  bytes[at]! ^= 0x10
  writeFileSync(join(directory, path), bytes)
}

function image(): Map<string, string> {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  const files = names.filter((name) => statSync(join(directory, name)).isFile())
  return new Map(files.map((name) => [name, readFileSync(join(directory, name)).toString('base64')]))
}

let count = 0
beforeEach(async () => {
  directory = join(root, String(++count))
  const node = await startNode({ addr: '127.0.0.1:0', dataDir: directory })
  await node.ready
  await node.stop()
})

describe('kv-server repair', () => {
  it('asks whoever is there, and does nothing unless that one says yes', async () => {
    flip('identity', 40)
    const before = image()
    const questions: string[] = []
    const answering = (answer: boolean): Ask => {
      return (question) => {
        questions.push(question)
        return Promise.resolve(answer)
      }
    }
    expect(await repair(answering(false))).toBe(3)
    expect(printed).toContain('nothing was changed')
    expect(image()).toEqual(before)
    await expect(repair(undefined)).rejects.toMatchObject({
      reason: 'usage',
      message: expect.stringContaining('--yes'),
    })
    expect(image()).toEqual(before)
    expect(await repair(answering(true))).toBe(0)
    expect(questions).toHaveLength(2)
    expect(await verify()).toBe(0)
  })

  it('says what it will do before it does it, and where it has put what was damaged', async () => {
    flip(segment, 100)
    expect(await repair(undefined, '--yes')).toBe(0)
    expect(printed).toContain(`damaged: ${segment} at byte 0`)
    expect(printed.indexOf('merged into one new snapshot')).toBeLessThan(printed.indexOf('repaired.'))
    const [name] = readdirSync(join(directory, 'damaged'))
    expect(printed).toContain(`damaged/${name}`)
    expect(await verify()).toBe(0)
  })

  it('what no repair can bring back is refused with what to do, and nothing is changed', async () => {
    const bytes = readFileSync(join(directory, 'topology'))
    writeFileSync(join(directory, 'topology'), bytes.fill(0, 24))
    const before = image()
    const failure = { reason: 'corrupt', message: expect.stringContaining('another member') }
    await expect(repair(undefined, '--yes')).rejects.toMatchObject(failure)
    expect(image()).toEqual(before)
  })
})

describe('slots that are lost', () => {
  it('are marked by a repair of the log, told by verify, and given up only when that is asked for', async () => {
    flip(segment, 100)
    expect(await repair(undefined, '--yes')).toBe(0)
    expect(printed).toContain('4,096 slots of 4,096 are marked as lost')
    expect(printed).toContain('"unavailable"')
    expect(await verify()).toBe(0)
    expect(printed).toContain('--accept-loss')
    expect(await verify('--json')).toBe(0)
    expect(JSON.parse(printed).lostSlots).toHaveLength(4096)
    expect(await repair(undefined)).toBe(0)
    expect(printed).toContain('marked as lost')
    await expect(repair(undefined, '--accept-loss')).rejects.toMatchObject({ reason: 'usage' })
    expect(printed).toContain('GIVEN UP')
    expect(await repair(undefined, '--accept-loss', '--yes')).toBe(0)
    expect(await verify('--json')).toBe(0)
    expect(JSON.parse(printed).lostSlots).toEqual([])
  })
})

describe('kv-server verify', () => {
  it('prints one object with --json, and a line for each file without', async () => {
    expect(await verify('--json')).toBe(0)
    const { ok, findings, files } = JSON.parse(printed) as {
      ok: boolean
      findings: unknown[]
      files: { path: string }[]
    }
    expect([ok, findings]).toEqual([true, []])
    expect(await verify()).toBe(0)
    for (const { path } of files) expect(printed).toContain(`  ${path} `)
    expect(printed).toMatch(/sound\n$/)
  })

  it('a document that says what cannot be is damage, though its checksums hold', async () => {
    const foreign = join(root, String(++count))
    const node = await startNode({ addr: '127.0.0.1:0', dataDir: foreign })
    await node.ready
    await node.stop()
    writeFileSync(join(directory, 'topology'), readFileSync(join(foreign, 'topology')))
    expect(await verify('--json')).toBe(3)
    expect(JSON.parse(printed).findings).toEqual([expect.objectContaining({ path: 'topology', kind: 'damaged' })])
  })

  it('keeps a node out while it reads, and is kept out by one', async () => {
    const holder = await openDataDirectory(directory)
    await expect(verify()).rejects.toMatchObject({ reason: 'in-use' })
    holder.close()
    // Both want the directory at the same moment: one of them gets it, whichever.
    const [verified, opened] = await Promise.allSettled([verify(), openDataDirectory(directory)])
    const [refused, admitted] = verified.status === 'rejected' ? [verified, opened] : [opened, verified]
    expect(refused).toMatchObject({ status: 'rejected', reason: { reason: 'in-use' } })
    expect(admitted.status).toBe('fulfilled')
    if (opened.status === 'fulfilled') opened.value.close()
  })
})

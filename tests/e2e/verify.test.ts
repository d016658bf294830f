import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from '@quorumkv/internal/hash'
import { describe, expect, it } from 'vitest'
import {
  longForm,
  makeClient,
  makeTemporaryDirectory,
  type Run,
  runServer,
  startServer,
  startServers,
} from '../fixtures.js'

interface Report {
  readonly ok: boolean
  readonly findings: readonly {
    readonly path: string
    readonly offset: number
    readonly expected: string
    readonly found: string
    readonly kind: string
    readonly advice: string
  }[]
  readonly files: readonly { readonly path: string; readonly kind: string; readonly state: string }[]
}

function verify(dataDir: string): Promise<Run> {
  return runServer(['verify', '--data-dir', dataDir])
}

async function report(dataDir: string): Promise<{ status: number | null; report: Report }> {
  const { status, output } = await runServer(['verify', '--data-dir', dataDir, '--json'])
  return { status, report: JSON.parse(output) as Report }
}

function repair(dataDir: string, ...more: string[]): Promise<Run> {
  return runServer(['repair', '--data-dir', dataDir, ...more])
}

/** Every file of a node and its bytes; what its lock is made of is not of the node. */
function image(dataDir: string): Map<string, string> {
  const names = readdirSync(dataDir, { recursive: true, encoding: 'utf8' })
  const files = names.filter((name) => !name.startsWith('LOCK') && statSync(join(dataDir, name)).isFile())
  return new Map(files.sort().map((name) => [name, readFileSync(join(dataDir, name)).toString('base64')]))
}

function flip(dataDir: string, path: string, at: number): void {
  const bytes = readFileSync(join(dataDir, path))
  bytes[at]! ^= 0x10
  writeFileSync(join(dataDir, path), bytes)
}

function copyOf(dataDir: string): string {
  const copy = makeTemporaryDirectory()
  cpSync(dataDir, copy, { recursive: true })
  return copy
}

/** Where in a file a key stands. */
function find(dataDir: string, path: string, text: string): number {
  const at = readFileSync(join(dataDir, path)).indexOf(text)
  expect(at, `${text} in ${path}`).toBeGreaterThan(0)
  return at
}

const segment = 'log/0000000001.log'

/** A cluster of one that was stopped, with a snapshot and a log of some keys, one group each. */
async function stoppedNode(): Promise<string> {
  await using server = await startServer({ flags: ['--snapshot-interval', '1s'] })
  await using client = makeClient([server.address])
  for (let i = 1; i <= 5; i++) await client.put(`early-${i}`, `value ${i}`)
  const snapshots = join(server.dataDir, 'snapshots')
  await expect
    .poll(() => readdirSync(snapshots).some((name) => name.endsWith('.snapshot')), { timeout: 20_000 })
    .toBe(true)
  for (let i = 1; i <= 5; i++) await client.put(`late-${i}`, `value ${i}`)
  expect((await server.stop()).status).toBe(0)
  return server.dataDir
}

async function keysOf(dataDir: string): Promise<string[]> {
  await using server = await startServer({ dataDir })
  await using client = makeClient([server.address])
  const keys: string[] = []
  for await (const { key } of client.scan()) keys.push(key)
  await server.stop()
  return keys.sort()
}

const all = ['early', 'late'].flatMap((when) => [1, 2, 3, 4, 5].map((i) => `${when}-${i}`))

describe('kv-server verify and repair, of a cluster of one', () => {
  it('a byte turned over in each kind of file: named by the one, mended or set aside by the other', async () => {
    const dataDir = await stoppedNode()
    const sound = await report(dataDir)
    expect(sound).toMatchObject({ status: 0, report: { ok: true, findings: [] } })
    expect(sound.report.files.map(({ path }) => path)).toEqual([...image(dataDir).keys()])
    expect((await verify(dataDir)).status).toBe(0)
    expect(await repair(dataDir)).toMatchObject({ status: 0, output: expect.stringContaining('nothing to repair') })

    for (const path of [...image(dataDir).keys()].filter(
      (each) => longForm || /^(log|snapshots)\/|^topology/.test(each),
    )) {
      const copy = copyOf(dataDir)
      const at = path === segment ? find(copy, path, 'late-3') : statSync(join(copy, path)).size - 3
      flip(copy, path, at)
      const before = image(copy)
      const { status, report: damaged } = await report(copy)
      expect(status, path).toBe(3)
      expect(damaged, path).toMatchObject({ ok: false, findings: [{ path, kind: 'damaged' }] })
      const [finding] = damaged.findings
      expect(finding!.offset, path).toBeLessThanOrEqual(at)
      expect([finding!.expected, finding!.found, finding!.advice].every((text) => text.length > 0)).toBe(true)
      if (path === segment) {
        expect((await verify(copy)).output).toContain(`damaged: ${path} at byte ${finding!.offset}`)
        // Nobody said yes, and nobody is there to be asked.
        expect(await repair(copy)).toMatchObject({ status: 2, output: expect.stringContaining('--yes') })
      }
      expect(image(copy), path).toEqual(before)

      expect((await repair(copy, '--yes')).status, path).toBe(0)
      expect((await report(copy)).status, path).toBe(0)
      const [directory] = readdirSync(join(copy, 'damaged'))
      expect(readFileSync(join(copy, 'damaged', directory!, path)).toString('base64')).toBe(before.get(path))
      // A lost group may have held any key, and there is no other copy: somebody has to give it up.
      if (path === segment) expect((await repair(copy, '--accept-loss', '--yes')).status).toBe(0)
      const kept = path === segment ? all.filter((key) => key !== 'late-3') : all
      expect(await keysOf(copy), path).toEqual(kept)
    }
  })

  it('a directory that a later release has written is refused by a node, by the one and by the other, and left alone', async () => {
    const dataDir = await stoppedNode()
    const bytes = readFileSync(join(dataDir, segment))
    bytes.writeUInt32LE(bytes.readUInt32LE(8) + 1, 8)
    bytes.writeUInt32LE(crc32(bytes, 0, 508), 508)
    writeFileSync(join(dataDir, segment), bytes)
    const before = image(dataDir)
    const output = expect.stringContaining(`${segment} was written by a later release`)
    expect(await runServer(['--data-dir', dataDir, '--addr', '127.0.0.1:0'])).toMatchObject({ status: 6, output })
    expect(await verify(dataDir)).toMatchObject({ status: 6, output })
    expect(await repair(dataDir, '--yes')).toMatchObject({ status: 6, output })
    expect(image(dataDir)).toEqual(before)
  })

  it('what a killed node leaves is sound, its torn tail and its lock too, and stays as it is', async () => {
    const server = await startServer()
    await using client = makeClient([server.address])
    await client.put('kept', 'x')
    expect((await verify(server.dataDir)).status).toBe(5)
    expect((await repair(server.dataDir, '--yes')).status).toBe(5)
    await client.put('torn', 'y')
    await server.kill()
    expect(existsSync(join(server.dataDir, 'LOCK', 'holder'))).toBe(true)
    // As if the machine had died in the middle of one more write.
    const bytes = readFileSync(join(server.dataDir, segment))
    const end = bytes.findLastIndex((byte) => byte !== 0) + 1
    bytes.copy(bytes, end, 512, 552) // a frame's header, without the records that belong to it
    writeFileSync(join(server.dataDir, segment), bytes)
    const before = image(server.dataDir)
    const found = await report(server.dataDir)
    expect(found).toMatchObject({ status: 0, report: { ok: true, findings: [] } })
    expect((await verify(server.dataDir)).output).toContain('an unfinished write')
    expect(image(server.dataDir)).toEqual(before)
    expect(await keysOf(server.dataDir)).toEqual(['kept', 'torn'])
  })

  it('a directory that is none of a node is refused and not touched', async () => {
    const directory = makeTemporaryDirectory()
    writeFileSync(join(directory, 'thesis.tex'), '')
    for (const run of [verify, (path: string) => repair(path, '--yes')]) {
      expect(await run(directory)).toMatchObject({ status: 2, output: expect.stringContaining(directory) })
      expect((await run(join(directory, 'none'))).status).toBe(2)
    }
    expect(readdirSync(directory)).toEqual(['thesis.tex'])
    expect((await runServer(['verify', '--loudly'])).status).toBe(2)
    expect(await runServer(['repair', '--help'])).toMatchObject({ status: 0, output: expect.stringContaining('--yes') })
  })
})

describe('kv-server repair, of one member of three', () => {
  it('a member that lost groups says so, and starts as who it was', async () => {
    await using cluster = await startServers(3)
    await using client = makeClient(cluster.addresses)
    for (let i = 1; i <= 10; i++) await client.put(`key-${i}`, 'value', { consistency: 'all' })
    const [, , victim] = cluster.servers
    await victim!.stop()
    flip(victim!.dataDir, segment, find(victim!.dataDir, segment, 'key-5'))
    const { status, output } = await repair(victim!.dataDir)
    expect(status).toBe(2)
    expect(output).toMatch(/lost: sequences \d+ of the log: at most 1 groups of writes/)
    expect(output).toContain('4,096 slots of 4,096 are marked as lost')
    expect((await repair(victim!.dataDir, '--yes')).status).toBe(0)
    expect((await verify(victim!.dataDir)).status).toBe(0)
    victim!.start()
    await victim!.ready()
    expect(await client.get('key-5', { consistency: 'one' })).toBe('value')
  })

  it('a rotten snapshot costs nothing: the member goes on as who it was', async () => {
    await using cluster = await startServers(3, { flags: ['--snapshot-interval', '1s'] })
    await using client = makeClient(cluster.addresses)
    await client.put('key', 'value', { consistency: 'all' })
    const [, , victim] = cluster.servers
    const snapshots = join(victim!.dataDir, 'snapshots')
    await expect
      .poll(() => readdirSync(snapshots).some((name) => name.endsWith('.snapshot')), { timeout: 20_000 })
      .toBe(true)
    await victim!.stop()
    const newest = readdirSync(snapshots)
      .filter((name) => name.endsWith('.snapshot'))
      .sort()
      .at(-1)!
    flip(victim!.dataDir, `snapshots/${newest}`, 70)
    const { status, output } = await repair(victim!.dataDir, '--yes')
    expect(status).toBe(0)
    expect(output).toContain('nothing that was acknowledged is lost')
    victim!.start()
    await victim!.ready()
    expect(await client.get('key', { consistency: 'all' })).toBe('value')
  })
})

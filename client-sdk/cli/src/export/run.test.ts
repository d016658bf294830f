import { existsSync } from 'node:fs'
import { appendFile, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeClient, FakeIo, fault } from '../fakes.test-support.js'
import { run } from '../program.js'

let folder: string
let file: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kv-export-'))
  file = join(folder, 'all.jsonl')
})
afterEach(() => rm(folder, { recursive: true }))

function clientWith(n: number): FakeClient {
  const client = new FakeClient()
  for (let i = 0; i < n; i++) client.set(`k${String(i).padStart(3, '0')}`, `v${i}`)
  return client
}

function start(args: readonly string[], client: FakeClient): { io: FakeIo; done: Promise<number> } {
  const io = new FakeIo({ timing: client.timing })
  return { io, done: run(['export', ...args], io, () => client) }
}

const keysIn = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line).key)

const allKeys = (client: FakeClient): string[] => [...client.data.keys()].sort()

/** Makes a scan fail when it has given `n` entries. */
function failAfter(client: FakeClient, n: number): void {
  const scan = client.scan.bind(client)
  client.scan = async function* (options) {
    let given = 0
    for await (const entry of scan(options)) {
      if (given++ === n) throw fault('unavailable')
      yield entry
    }
  }
}

describe('kv export', () => {
  it('writes every entry to the file and leaves nothing beside it', async () => {
    const client = clientWith(10)
    client.set('bytes', Buffer.from([0xff]), new Date(5))
    const { io, done } = start([file], client)
    expect(await done).toBe(0)
    const text = await readFile(file, 'utf8')
    expect(keysIn(text).sort()).toEqual(allKeys(client))
    expect(text).toContain('{"key":"bytes","valueBase64":"/w==","expiresAt":5}\n')
    expect(await readdir(folder)).toEqual(['all.jsonl'])
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(io.stdout.text).toMatch(/^exported 11 records/)
  })

  it('writes to standard output exactly the lines, and tells the rest beside it', async () => {
    const client = clientWith(10)
    for (const name of ['-', '/dev/stdout']) {
      const { io, done } = start([name, '--prefix', 'k00'], client)
      expect(await done).toBe(0)
      expect(keysIn(io.stdout.text)).toEqual(allKeys(client))
      expect(io.stderr.text).toMatch(/exported 10 records/)
      expect(client.scans.at(-1)!.prefix).toEqual(Buffer.from('k00'))
    }
  })

  it('--gzip writes what gunzip reads, also of nothing', async () => {
    const client = clientWith(10)
    expect(await start([file, '--gzip'], client).done).toBe(0)
    expect(keysIn(gunzipSync(await readFile(file)).toString())).toEqual(allKeys(client))
    expect(await start([file, '--gzip'], new FakeClient()).done).toBe(0)
    expect(gunzipSync(await readFile(file)).length).toBe(0)
    const { io, done } = start(['-', '--gzip'], new FakeClient())
    expect(await done).toBe(0)
    expect(gunzipSync(io.stdout.bytes).length).toBe(0)
  })

  it('what was in the file before stays until the export is complete', async () => {
    await writeFile(file, 'before')
    const client = clientWith(10)
    failAfter(client, 5)
    expect(await start([file], client).done).toBe(1)
    expect(await readFile(file, 'utf8')).toBe('before')
  })

  it.each([[false], [true]])('goes on behind the last page that was written (gzip: %s)', async (gzip) => {
    const client = clientWith(20)
    const args = gzip ? [file, '--gzip'] : [file]
    failAfter(client, 11)
    const first = start(args, client)
    expect(await first.done).toBe(1)
    expect(first.io.stderr.text).toContain('the same command goes on from here')
    expect(existsSync(file)).toBe(false)
    // What a crash may leave behind the last checkpoint.
    await appendFile(`${file}.partial`, '{"key":"half a li'.repeat(1000))

    const fresh = clientWith(20)
    const second = start(args, fresh)
    expect(await second.done).toBe(0)
    expect(second.io.stderr.text).toContain('going on behind 9 records of the export begun at')
    expect(fresh.scans[0]!.cursor).toBe('k008')
    const bytes = await readFile(file)
    expect(keysIn((gzip ? gunzipSync(bytes) : bytes).toString())).toEqual(allKeys(fresh))
    expect(await readdir(folder)).toEqual(['all.jsonl'])
  })

  it('starts over with --no-resume, and where the unfinished file is of another export', async () => {
    for (const args of [
      [file, '--no-resume'],
      [file, '--prefix', 'k0'],
      [file, '--gzip'],
    ]) {
      const broken = clientWith(20)
      failAfter(broken, 11)
      await start([file], broken).done
      const client = clientWith(20)
      expect(await start(args, client).done).toBe(0)
      expect(client.scans[0]!.cursor).toBeUndefined()
      const bytes = await readFile(file)
      expect(keysIn((args.includes('--gzip') ? gunzipSync(bytes) : bytes).toString())).toEqual(allKeys(client))
    }
  })

  it('starts over where the unfinished file is gone or shorter than it was', async () => {
    for (const damage of [() => rm(`${file}.partial`), () => writeFile(`${file}.partial`, 'short')]) {
      const broken = clientWith(20)
      failAfter(broken, 11)
      await start([file], broken).done
      await damage()
      const client = clientWith(20)
      expect(await start([file], client).done).toBe(0)
      expect(keysIn(await readFile(file, 'utf8'))).toEqual(allKeys(client))
    }
  })

  it('Ctrl-C keeps what has been written and exits with 130; the same command completes the export', async () => {
    const client = clientWith(20)
    const { io, done } = start([file], client)
    const scan = client.scan.bind(client)
    client.scan = async function* (options) {
      let given = 0
      for await (const entry of scan(options)) {
        if (++given === 8) io.interrupt()
        yield entry
      }
    }
    expect(await done).toBe(130)
    expect(existsSync(file)).toBe(false)
    const again = clientWith(20)
    expect(await start([file], again).done).toBe(0)
    expect(again.scans[0]!.cursor).toBe('k008')
    expect(keysIn(await readFile(file, 'utf8'))).toEqual(allKeys(again))
  })

  it('writes a checkpoint every second, so that a crash costs no more than that', async () => {
    const client = clientWith(9)
    const scan = client.scan.bind(client)
    const seen: boolean[] = []
    client.scan = async function* (options) {
      for await (const entry of scan(options)) {
        seen.push(existsSync(`${file}.partial.json`))
        client.timing.now += 400
        yield entry
      }
    }
    expect(await start([file], client).done).toBe(0)
    expect(seen).toEqual([...Array(3).fill(false), ...Array(6).fill(true)])
  })

  it('obeys a slow reader: no more than a page is held', async () => {
    const client = clientWith(30)
    const io = new FakeIo({ timing: client.timing })
    io.stdout.slow = true
    let most = 0
    const scan = client.scan.bind(client)
    client.scan = async function* (options) {
      for await (const entry of scan(options)) {
        most = Math.max(most, io.stdout.writableLength)
        yield entry
      }
    }
    expect(await run(['export', '-', '--no-progress'], io, () => client)).toBe(0)
    expect(most).toBe(0)
    expect(keysIn(io.stdout.text)).toEqual(allKeys(client))
  })

  it('follows a symbolic link, and never replaces a device', async () => {
    const client = clientWith(3)
    await writeFile(join(folder, 'real'), '')
    await symlink(join(folder, 'real'), join(folder, 'link'))
    expect(await start([join(folder, 'link')], client).done).toBe(0)
    expect(keysIn(await readFile(join(folder, 'real'), 'utf8'))).toEqual(allKeys(client))
    expect(await start(['/dev/null'], client).done).toBe(0)
    expect((await stat('/dev/null')).isCharacterDevice()).toBe(true)
    const full = start(['/dev/full'], client)
    expect(await full.done).toBe(1)
    expect(await start([folder], client).done).toBe(1)
    expect(await start([join(folder, 'absent', 'x')], client).done).toBe(1)
  })
})

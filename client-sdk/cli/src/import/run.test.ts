import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeClient, FakeIo, fault } from '../fakes.test-support.js'
import { run } from '../program.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kv-import-'))
})
afterEach(() => rm(folder, { recursive: true }))

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const lines = (n: number): string => Array.from({ length: n }, (_, i) => `{"key":"k${i}","value":"v${i}"}\n`).join('')

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5000; !condition(); ) {
    if (Date.now() > deadline) throw new Error('waited in vain')
    await turn()
  }
}

async function input(content: string | Buffer): Promise<string> {
  const path = join(folder, 'records.jsonl')
  await writeFile(path, content)
  return path
}

function start(
  args: readonly string[],
  client: FakeClient,
  stdin?: PassThrough,
): { io: FakeIo; done: Promise<number> } {
  const io = new FakeIo({ timing: client.timing, env: { XDG_STATE_HOME: folder }, ...(stdin && { stdin }) })
  return { io, done: run(['import', ...args], io, () => client) }
}

/** Positions of imports that wait for a second run. */
const positions = async (): Promise<string[]> => {
  const names = await readdir(folder, { recursive: true })
  return names.filter((name) => name.includes('import-'))
}

describe('kv import', () => {
  it('stores the records of a file, packed or not, and leaves nothing behind', async () => {
    for (const content of [lines(300), gzipSync(lines(300))]) {
      const client = new FakeClient()
      const { io, done } = start([await input(content)], client)
      expect(await done).toBe(0)
      expect(client.data.size).toBe(300)
      expect(io.stdout.text).toMatch(/^imported 300 records \(.*\) in .*: .* records\/s\n$/)
      expect(await positions()).toEqual([])
      expect(io.interruptHandlers).toBe(0)
      expect(client.closed).toBe(true)
    }
  })

  it('takes what export and scan --json write', async () => {
    const from = new FakeClient()
    from.set(Buffer.from([0xff, 0]), Buffer.from([0xfe, 10]))
    from.set('text', 'naïve', new Date(from.timing.now + 5000))
    for (const args of [
      ['export', '-', '--no-progress'],
      ['scan', '--json'],
    ]) {
      const out = new FakeIo({ timing: from.timing })
      expect(await run(args, out, () => from)).toBe(0)
      const to = new FakeClient()
      expect(await start([await input(out.stdout.bytes)], to).done).toBe(0)
      expect([...to.data.keys()].sort()).toEqual([...from.data.keys()].sort())
      expect(to.text('text')).toBe('naïve')
      expect(to.puts.find((put) => put.key === 'text')!.options.ttlMs).toBe(5000)
      expect([...to.data.get('\xff\0')!.value]).toEqual([0xfe, 10])
    }
  })

  it('waits 30 s for a record by default, or what --timeout says', async () => {
    const client = new FakeClient()
    const file = await input(lines(1))
    await start([file], client).done
    await start([file, '--timeout', '2s', '--consistency', 'all'], client).done
    expect(client.puts.map((put) => put.options.timeoutMs)).toEqual([30_000, 2000])
    expect(client.puts[1]!.options.consistency).toBe('all')
  })

  it('Ctrl-C waits for what is on the way, exits with 130, and the same command completes the import', async () => {
    const client = new FakeClient()
    client.holding = true
    const file = await input(lines(100))
    const first = start([file, '--in-flight', '10'], client)
    await until(() => client.inFlight === 10)
    first.io.interrupt()
    await turn()
    expect(first.io.stderr.text).toContain('waiting for 10 records on the way')
    client.release()
    expect(await first.done).toBe(130)
    expect(first.io.stderr.text).toContain('everything up to line 10 is stored; the same command goes on from there')
    expect(client.puts.length).toBe(10)
    expect((await positions()).length).toBe(1)

    const second = start([file], client)
    expect(await second.done).toBe(0)
    expect(second.io.stderr.text).toContain('going on behind line 10 of')
    expect(client.puts.length).toBe(100)
    expect(client.data.size).toBe(100)
    expect(await positions()).toEqual([])
  })

  it('a second Ctrl-C leaves at once; SIGTERM exits with 143', async () => {
    const client = new FakeClient()
    client.holding = true
    const { io, done } = start([await input(lines(5))], client)
    await until(() => client.inFlight === 5)
    io.interrupt('SIGTERM')
    io.interrupt('SIGTERM')
    expect(await done).toBe(143)
    expect(client.inFlight).toBe(5)
  })

  it('Ctrl-C ends an import that waits for a pipe', async () => {
    const client = new FakeClient()
    const stdin = new PassThrough()
    stdin.write(lines(3))
    const { io, done } = start(['-'], client, stdin)
    await until(() => client.data.size === 3)
    io.interrupt()
    expect(await done).toBe(130)
    expect(stdin.destroyed).toBe(true)
    expect(io.stderr.text).toContain('--resume-file')
  })

  it('a failure ends an import that waits for a pipe', async () => {
    const client = new FakeClient()
    client.faults.set('k0', [fault('permission-denied')])
    const stdin = new PassThrough()
    stdin.write(lines(1))
    const { done } = start(['-'], client, stdin)
    expect(await done).toBe(1)
  })

  it('the position is written down while the import runs', async () => {
    const client = new FakeClient()
    const stdin = new PassThrough()
    stdin.write(lines(5))
    const place = join(folder, 'position.json')
    const { done } = start(['-', '--resume-file', place], client, stdin)
    await until(() => client.data.size === 5)
    client.timing.tick(1000)
    let position: { lines: number } | undefined
    for (const deadline = Date.now() + 5000; position?.lines !== 5; ) {
      if (Date.now() > deadline) throw new Error(`never written: ${JSON.stringify(position)}`)
      position = JSON.parse(await readFile(place, 'utf8')).position
    }
    stdin.end()
    expect(await done).toBe(0)
    expect(await readdir(folder)).toEqual([])
  })

  it('a pipe is resumed where the position is kept: what was stored before is not sent again', async () => {
    const client = new FakeClient()
    const place = join(folder, 'position.json')
    const first = new PassThrough()
    first.write(lines(3))
    const started = start(['-', '--resume-file', place], client, first)
    await until(() => client.data.size === 3)
    started.io.interrupt()
    await started.done
    const again = new PassThrough()
    again.end(lines(5))
    expect(await start(['-', '--resume-file', place], client, again).done).toBe(0)
    expect(client.puts.map((put) => put.key)).toEqual(['k0', 'k1', 'k2', 'k3', 'k4'])
  })

  it('--no-resume starts over', async () => {
    const client = new FakeClient()
    const file = await input(`${lines(3)}bad\n`)
    expect(await start([file], client).done).toBe(1)
    expect(await start([file, '--skip-bad', '--no-resume'], client).done).toBe(0)
    expect(client.puts.length).toBe(6)
  })

  it('a bad line stops it with number, reason and status 1; --skip-bad goes on from there and counts', async () => {
    const client = new FakeClient()
    const file = await input(`${lines(3)}bad\n{"key":"last","value":""}\n`)
    const first = start([file], client)
    expect(await first.done).toBe(1)
    expect(first.io.stderr.text).toMatch(/kv: line 4 is not JSON.*--skip-bad/)
    const second = start([file, '--skip-bad'], client)
    expect(await second.done).toBe(0)
    expect(second.io.stderr.text).toContain('passed over: line 4 is not JSON')
    expect(second.io.stdout.text).toContain('; 1 bad line passed over')
    expect(client.puts.length).toBe(4)
  })

  it('of many bad lines only the first are named', async () => {
    const { io, done } = start([await input('bad\n'.repeat(50)), '--skip-bad'], new FakeClient())
    expect(await done).toBe(0)
    expect(io.stderr.text.match(/passed over/g)!.length).toBe(10)
    expect(io.stdout.text).toContain('50 bad lines passed over')
  })

  it('a record that cannot be stored fails it with the line, and the next run begins before it', async () => {
    const client = new FakeClient()
    const file = await input(lines(5))
    for (let i = 0; i < 5; i++) client.faults.set(`k${i}`, Array(100).fill(fault('unavailable')))
    const { io, done } = start([file, '--give-up-after', '2s'], client)
    expect(await done).toBe(1)
    expect(io.stderr.text).toMatch(/kv: line \d could not be stored/)
    client.faults.clear()
    expect(await start([file], client).done).toBe(0)
    expect(client.data.size).toBe(5)
  })

  it('--acked-log holds every acknowledged key, and only those', async () => {
    const client = new FakeClient()
    client.faults.set('k2', [fault('permission-denied')])
    const log = join(folder, 'acked')
    const { done } = start([await input(lines(3)), '--acked-log', log], client)
    expect(await done).toBe(1)
    const keys = (await readFile(log, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).key)
    expect(keys.sort()).toEqual(['k0', 'k1'])
    expect(client.data.size).toBe(2)
  })

  it('goes on without a position where none can be kept, and says so', async () => {
    await writeFile(join(folder, 'quorumkv'), 'no folder')
    const { io, done } = start([await input(lines(3))], new FakeClient())
    expect(await done).toBe(0)
    expect(io.stderr.text).toContain('the next one starts over')
    const chosen = start([await input(lines(3)), '--resume-file', join(folder, 'quorumkv', 'x')], new FakeClient())
    expect(await chosen.done).toBe(1)
  })

  it('--json prints one object, and notes as JSON', async () => {
    const client = new FakeClient()
    client.faults.set('k0', [fault('unavailable')])
    const { io, done } = start([await input(`${lines(3)}bad\n`), '--json', '--skip-bad'], client)
    expect(await done).toBe(0)
    const figures = { records: 3, bad: 1, expired: 0, retries: 1, settledLines: 4 }
    expect(JSON.parse(io.stdout.text)).toMatchObject({ status: 'done', ...figures })
    expect(JSON.parse(io.stderr.text)).toMatchObject({ note: expect.stringContaining('line 4') })
  })

  it('a file that does not exist is status 1', async () => {
    const { io, done } = start([join(folder, 'absent')], new FakeClient())
    expect(await done).toBe(1)
    expect(io.stderr.text).toContain('absent does not exist')
  })
})

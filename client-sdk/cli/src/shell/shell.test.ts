import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import { FakeClient, FakeIo, fault } from '../fakes.test-support.js'
import { createProgram, run } from '../program.js'
import { registerInside } from './commands.js'
import { complete } from './completion.js'
import { hintBehind } from './grammar.js'
import { History } from './history.js'

interface Ran {
  readonly status: number
  readonly out: string
  readonly err: string
}

async function shell(lines: readonly string[], client = new FakeClient(), flags: readonly string[] = []): Promise<Ran> {
  const io = new FakeIo({ timing: client.timing, stdin: `${lines.join('\n')}\n` })
  const status = await run(
    [...flags.filter((flag) => flag !== '-e'), 'shell', ...flags.filter((flag) => flag === '-e')],
    io,
    () => client,
  )
  return { status, out: io.stdout.text, err: io.stderr.text }
}

describe('commands from a pipe', () => {
  it('are those of the command line, each answer on lines of its own', async () => {
    const client = new FakeClient()
    const { status, out, err } = await shell(
      [
        'put a "1 2"',
        '# a comment',
        '',
        'put b <<END',
        'x',
        'y',
        'END',
        'get a',
        'get b',
        'scan --keys-only',
        'delete a',
      ],
      client,
    )
    expect([status, err]).toEqual([0, ''])
    expect(out).toBe('OK\nOK\n1 2\nx\ny\na\nb\ndeleted\n')
  })

  it('keep bytes that are no text, in keys and in values', async () => {
    const client = new FakeClient()
    await shell(['put k\\xff \\x00\\xfe'], client)
    expect(client.data.get('k\xff')!.value).toEqual(Buffer.from([0, 0xfe]))
    const { out } = await shell(['get --json k\\xff'], client)
    expect(JSON.parse(out)).toMatchObject({ keyBase64: 'a/8=', valueBase64: 'AP4=' })
  })

  it('a command that fails does not end the others, and the first failure is the status', async () => {
    const client = new FakeClient()
    const { status, out, err } = await shell(['get missing', 'nonsense', 'put a 1', 'get a'], client)
    expect(status).toBe(3)
    expect(out).toBe('OK\n1\n')
    expect(err).toContain('See `help`.')
  })

  it('with -e the first failure ends it', async () => {
    const client = new FakeClient()
    expect(await shell(['put a 1', 'get missing', 'put b 2'], client, ['-e'])).toMatchObject({ status: 3 })
    expect(client.text('b')).toBeUndefined()
  })

  it('a line that is none is told with its number, and the next ones are run', async () => {
    const client = new FakeClient()
    const { status, err } = await shell(['put a 1', 'put \\q 1', 'put b 2'], client)
    expect(status).toBe(2)
    expect(err).toContain('line 2: there is no escape \\q')
    expect(client.text('b')).toBe('2')
    expect((await shell(['put a "1'], client)).err).toContain('ends within a quote')
  })

  it('exit ends it, and what comes behind is not run', async () => {
    const client = new FakeClient()
    expect((await shell(['put a 1', 'exit', 'put b 2'], client)).status).toBe(0)
    expect(client.text('b')).toBeUndefined()
  })

  it('a put does not take the next commands for its value', async () => {
    const client = new FakeClient()
    const { status, err } = await shell(['put a -', 'put b 2'], client)
    expect(status).toBe(2)
    expect(err).toContain('belongs to the shell')
    expect(client.text('b')).toBe('2')
  })

  it('a cluster that does not answer does not end it', async () => {
    const client = new FakeClient()
    client.fault = fault('unavailable', 'not-applied')
    const { status, err } = await shell(['put a 1', 'get a', 'info', 'exit'], client)
    expect(status).toBe(1)
    expect(err.match(/made to fail/g)).toHaveLength(3)
  })

  it('set holds for the commands after it, and an option of a command goes before it', async () => {
    const client = new FakeClient()
    const lines = ['set consistency one', 'put a 1', 'put a 2 --consistency all', 'set consistency default', 'put a 3']
    expect(await shell([...lines, 'set output json', 'get a'], client)).toMatchObject({ status: 0 })
    expect(client.consistencies).toEqual(['one', 'all', undefined])
    expect((await shell(['set'], client, ['--consistency', 'one'])).out).toContain('consistency one\n')
    expect((await shell(['set consistency most'], client)).status).toBe(2)
    expect((await shell(['\\timing', 'put a 1', '\\timing', 'put a 2'], client)).err.match(/ms\)/g)).toHaveLength(2)
  })

  it('info, show_ring, refresh and ttl', async () => {
    const client = new FakeClient()
    client.set('k', 'v', new Date(client.timing.now + 5_000))
    const { status, out } = await shell(['info', 'show_ring', 'refresh', 'ttl k', 'partition k'], client)
    expect(status).toBe(0)
    for (const text of ['as node-1 sees it', '16 slots', 'epoch 7, 3 members\n5000\n', 'hash 0x9abcdef0']) {
      expect(out).toContain(text)
    }
  })
})

it('Ctrl-C cancels the command that runs, and the next one runs', async () => {
  const client = new FakeClient()
  client.beforeGet = (key) => {
    if (key === 'slow') io.interrupt()
  }
  client.set('slow', 'too late')
  client.set('k', 'v')
  const stdin = new PassThrough()
  const io = new FakeIo({ timing: client.timing, stdin })
  stdin.end('get slow\nget k\n')
  expect(await run(['shell'], io, () => client)).toBe(130)
  expect(io.stdout.text).toBe('v\n')
  expect(io.interruptHandlers).toBe(0)
})

describe('completion and hints', () => {
  const owner = {
    settings: { consistency: undefined, output: undefined, timeoutMs: undefined, timing: false },
    ended: false,
    status: 0,
  }
  const program = createProgram(
    new FakeIo(),
    async () => undefined,
    (inside, execute) => registerInside(inside, execute, owner),
  )
  const client = new FakeClient()
  for (const key of ['user:1', 'user:2 x', 'a"b']) client.set(key, 'v')
  client.set(Buffer.from([0x75, 0xff]), 'v')

  it.each<[string, string[]]>([
    ['sho', ['show_ring ']],
    ['node dec', ['decommission ']],
    ['put k v --f', ['--file ']],
    ['get --consistency o', ['one ']],
    ['set ', ['consistency ', 'output ', 'timeout ', 'timing ']],
    ['set output j', ['json ']],
    ['help wat', ['watch-status ']],
    ['get user:', ['user:1 ', 'user:2\\ x ']],
    ['get "user:2', ['"user:2 x" ']],
    ["mget user:1 'us", ["'user:1' ", "'user:2 x' "]],
    ['scan a', ['a\\"b ']],
    ['get u\\xf', []],
    ['get u\\xff', ['u\\xff ']],
    ['get k ', []],
    ['put k v', []],
    ['put k v --ttl 5', []],
  ])('Tab behind %j offers %j', async (line, expected) => {
    expect((await complete(program, client, line))[0]).toEqual(expected)
  })

  it('where nobody answers Tab offers nothing', async () => {
    const silent = new FakeClient()
    silent.set('k', 'v')
    silent.fault = fault('unavailable')
    expect(await complete(program, silent, 'get k')).toEqual([[], 'k'])
  })

  it.each<[string[], string, string]>([
    [[], 'sho', 'w_ring'],
    [[], 'get', ' <key> [--key-base64]'],
    [['put'], 'k', ' [value] [--file <path>] [--ttl <duration>] [--key-base64]'],
    [['put', 'k', 'v', '--ttl'], '', '<duration>'],
    [['put', 'k'], '--tt', 'l <duration>'],
    [['put', 'k', '--ttl', '5s'], '', '[value] [--file <path>] [--key-base64]'],
    [['mget', 'a'], 'b', ' [--key-base64]'],
    [['info'], '', ''],
    [[], 'zzz', ''],
  ])('the hint behind %j %j is %j', (words, typed, expected) => {
    expect(hintBehind(program, words, typed)).toBe(expected)
  })
})

describe('the history', () => {
  const directories: string[] = []
  const directory = (): string => {
    const path = mkdtempSync(join(tmpdir(), 'kv-history-'))
    directories.push(path)
    return path
  }
  afterEach(() => {
    for (const path of directories.splice(0)) rmSync(path, { recursive: true })
  })

  it('is there in the next session, newest first, for its owner only', () => {
    const path = join(directory(), 'h')
    const first = new History({ KVCLI_HISTFILE: path })
    for (const line of ['get a', 'get b', 'get b']) first.add(line)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(new History({ KVCLI_HISTFILE: path }).lines).toEqual(['get b', 'get a'])
    expect(new History({ HOME: directory() }).lines).toEqual([])
  })

  it('holds no secrets, nothing that begins with a blank, and no end of lines', () => {
    const path = join(directory(), 'h')
    const history = new History({ KVCLI_HISTFILE: path })
    for (const line of ['put user:password x', ' put k v', 'put api_key 1', 'put k <<END', 'x'.repeat(5_000)])
      history.add(line)
    expect(readFileSync(path, 'utf8')).toBe('put k <<END\n')
    writeFileSync(path, Array.from({ length: 3_000 }, (_, i) => `get ${i}\n`).join(''), { mode: 0o644 })
    expect(new History({ KVCLI_HISTFILE: path }).lines).toHaveLength(1_000)
    expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(1_001)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('that cannot be kept says why and is no failure; an empty name keeps none', () => {
    const history = new History({ KVCLI_HISTFILE: directory() })
    history.add('get a')
    expect(history.obstacle).toContain('EISDIR')
    expect(new History({ KVCLI_HISTFILE: '' }).obstacle).toBeUndefined()
  })
})

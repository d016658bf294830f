import { PassThrough } from 'node:stream'
import { KvError } from '@quorumkv/client'
import { describe, expect, it } from 'vitest'
import type { Connect } from './context.js'
import { FakeClient, FakeIo, type FakeIoOptions, fault } from './fakes.test-support.js'
import { run } from './program.js'

interface Ran {
  readonly status: number
  readonly out: string
  readonly err: string
  readonly io: FakeIo
}

async function kv(args: readonly string[], client = new FakeClient(), options: FakeIoOptions = {}): Promise<Ran> {
  const io = new FakeIo({ timing: client.timing, ...options })
  const status = await run(args, io, () => client)
  return { status, out: io.stdout.text, err: io.stderr.text, io }
}

const terminal = { terminal: true }

describe('the command line', () => {
  it.each([
    [[], /Usage: kv/],
    [['nonsense'], /unknown command/],
    [['get'], /missing required argument/],
    [['get', 'a', 'b'], /too many arguments/],
    [['get', 'a', '--nonsense'], /unknown option/],
    [['put', 'k', 'v', '--ttl', '30'], /--ttl must be a duration/],
    [['put', 'k'], /give a VALUE/],
    [['put', 'k', 'v', '--file', 'f'], /not both/],
    [['scan', '--limit', '0'], /--limit must be a whole number/],
    [['--consistency', 'most', 'get', 'k'], /Allowed choices/],
    [['--timeout', 'soon', 'get', 'k'], /--timeout must be/],
    [['--endpoints', ',', 'get', 'k'], /at least one host:port/],
    [['get', '--key-base64', '!'], /is not base64/],
    [['get', 'a\ufffd'], /is not UTF-8/],
    [['completion', 'tcsh'], /name bash, zsh or fish/],
    [['snapshot', '--all', '--node', 'n'], /cannot be used with/],
    [['repair', '--slot', '1', '--node', 'n'], /cannot be used with/],
    [['repair', '--slot', '-1'], /--slot must be a whole number/],
    [['import', 'f', '--in-flight', '99999999'], /--in-flight must be/],
  ])('%j is refused with status 2, and nothing is sent', async (args, message) => {
    const client = new FakeClient()
    client.fault = fault('internal')
    const { status, out, err } = await kv(args, client)
    expect(status).toBe(2)
    expect(err).toMatch(message)
    expect(out).toBe('')
  })

  it('takes global options before and behind the command', async () => {
    const client = new FakeClient()
    client.set('k', 'v')
    const connected: unknown[] = []
    const connect: Connect = (options) => {
      connected.push(options)
      return client
    }
    const before = new FakeIo()
    await run(['--json', '--endpoints', 'a:1,b:2', '--timeout', '2s', 'get', 'k'], before, connect)
    const behind = new FakeIo()
    await run(['get', 'k', '--endpoints=a:1, b:2', '--json', '--timeout', '2000'], behind, connect)
    expect(behind.stdout.text).toBe(before.stdout.text)
    expect(JSON.parse(before.stdout.text)).toMatchObject({ value: 'v' })
    expect(connected).toEqual(
      Array(2).fill({ endpoints: ['a:1', 'b:2'], timeoutMs: 2000, failWhenRefused: true, insecure: false }),
    )
  })

  it('takes the endpoints from KV_ENDPOINTS, and an option goes before it', async () => {
    const seen: (readonly string[])[] = []
    const connect: Connect = ({ endpoints }) => {
      seen.push(endpoints)
      return new FakeClient()
    }
    for (const env of [{}, { KV_ENDPOINTS: '' }, { KV_ENDPOINTS: 'a:1,b:2' }]) {
      await run(['get', 'k'], new FakeIo({ env }), connect)
    }
    await run(['get', 'k', '--endpoints', 'c:3'], new FakeIo({ env: { KV_ENDPOINTS: 'a:1' } }), connect)
    expect(seen).toEqual([['127.0.0.1:50051'], ['127.0.0.1:50051'], ['a:1', 'b:2'], ['c:3']])
  })

  it('keys and values that begin with a dash go behind --, and negative numbers need none', async () => {
    const client = new FakeClient()
    expect((await kv(['put', '--ttl', '1s', '--', '--json', '-v'], client)).status).toBe(0)
    expect(client.text('--json')).toBe('-v')
    expect((await kv(['put', 'n', '-5'], client)).status).toBe(0)
    expect(client.text('n')).toBe('-5')
  })

  it('--help and --version are no failures, and every command shows examples', async () => {
    const { status, out } = await kv(['--help'])
    expect(status).toBe(0)
    expect(out).toContain('Exit status')
    expect((await kv(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/)
    const commands =
      'get put delete ttl mget scan import export status ring partition snapshot repair node raise-level auth bench shell dev completion'.split(
        ' ',
      )
    for (const command of commands) {
      const help = await kv([command, '--help'])
      expect(help.status).toBe(0)
      expect(help.out).toContain('Examples:')
      expect(out).toContain(`  ${command}`)
    }
  })

  it('tells errors as JSON where JSON was asked for, usage errors too', async () => {
    const usage = await kv(['get', '--json'])
    expect(JSON.parse(usage.err)).toMatchObject({ error: { code: 'invalid-argument', field: 'key' } })
    const early = await kv(['--timeout', 'soon', 'get', 'k', '--json'])
    expect(JSON.parse(early.err)).toMatchObject({ error: { code: 'invalid-argument', field: '--timeout' } })
    const client = new FakeClient()
    client.fault = fault('unavailable', 'unknown')
    const failed = await kv(['--json', 'put', 'k', 'v'], client)
    expect(failed.status).toBe(1)
    expect(JSON.parse(failed.err)).toMatchObject({
      error: { code: 'unavailable', outcome: 'unknown', retryable: true, message: expect.any(String) },
    })
  })

  it('where no node answers it says what to start, and closes the client', async () => {
    const client = new FakeClient()
    client.fault = fault('unavailable')
    client.reached = false
    const { status, err } = await kv(['get', 'k'], client)
    expect(status).toBe(1)
    expect(err).toContain('kv-server --addr :50051')
    expect(client.closed).toBe(true)
  })

  it('a malformed endpoint is a usage error', async () => {
    const io = new FakeIo()
    const connect: Connect = () => {
      throw fault('invalid-argument')
    }
    expect(await run(['get', 'k', '--endpoints', 'nonsense'], io, connect)).toBe(2)
  })

  it('no colours where NO_COLOR is set or nobody sees them', async () => {
    const coloured = await kv(['status'], new FakeClient(), terminal)
    expect(coloured.out).toContain('\x1b[')
    for (const options of [{}, { terminal: true, env: { NO_COLOR: '1' } }, { terminal: true, env: { TERM: 'dumb' } }]) {
      expect((await kv(['status'], new FakeClient(), options)).out).not.toContain('\x1b[')
    }
  })

  it('a reader that goes away ends it quietly, as it ends `cat`', async () => {
    const client = new FakeClient()
    client.set('k', 'v')
    for (const command of [['scan'], ['get', 'k'], ['export', '-'], ['mget', 'k']]) {
      const io = new FakeIo({ timing: client.timing })
      io.stdout.failure = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
      expect(await run([...command, ...(command[0] === 'export' ? ['--no-progress'] : [])], io, () => client)).toBe(141)
      expect(io.stderr.text).toBe('')
    }
  })
})

describe('-o', () => {
  it('json is --json, and the two may not contradict each other', async () => {
    const client = new FakeClient()
    client.set('k', 'v')
    const wanted = (await kv(['--json', 'get', 'k'], client)).out
    for (const flags of [['-o', 'json'], ['-ojson'], ['--output=json']]) {
      expect((await kv(['get', 'k', ...flags], client)).out).toBe(wanted)
      expect(JSON.parse((await kv(['get', ...flags], client)).err)).toMatchObject({
        error: { code: 'invalid-argument' },
      })
    }
    expect((await kv(['get', 'k', '--json', '-o', 'raw'], client)).status).toBe(2)
    expect((await kv(['get', 'k', '-o', 'yaml'], client)).err).toContain('table, json, raw')
  })

  it('raw writes the bytes as they are on a terminal, too, and tables with tabs; table shows them to people in a pipe', async () => {
    const client = new FakeClient()
    client.set('k', '\x1bv')
    expect((await kv(['get', 'k', '-o', 'raw'], client, terminal)).out).toBe('\x1bv')
    expect((await kv(['get', 'k', '-o', 'table'], client)).out).toBe('\\x1bv\n')
    expect((await kv(['ring', '-o', 'raw'], client, terminal)).out).toMatch(/^node-1\t127.0.0.1:50051\talive\t1\t16\t/m)
  })
})

describe('tables on a narrow terminal', () => {
  it('lose columns and are cut, and never wrap', async () => {
    const client = new FakeClient()
    for (const columns of [100, 80, 60, 40]) {
      const io = new FakeIo({ ...terminal, env: { NO_COLOR: '1' }, columns })
      await run(['status'], io, () => client)
      const text = io.stdout.text
      const rows = text.split('\n').filter((line) => /^(id|node-\d) {2,}/.test(line))
      for (const line of rows) expect(line.length).toBeLessThanOrEqual(columns)
      expect(rows).toHaveLength(4)
      if (columns < 100) expect(text).toContain('(no room here for: ')
    }
  })
})

describe('put', () => {
  it('stores an argument, standard input or a file, every byte of them', async () => {
    const client = new FakeClient()
    await kv(['put', 'a', 'text'], client)
    await kv(['put', 'b', '-'], client, { stdin: 'from stdin\n' })
    await kv(['put', 'c', '--file', new URL('../package.json', import.meta.url).pathname], client)
    expect(client.text('a')).toBe('text')
    expect(client.text('b')).toBe('from stdin\n')
    expect(client.text('c')).toContain('@quorumkv/cli')
    expect((await kv(['put', 'd', ''], client)).status).toBe(0)
    expect(client.text('d')).toBe('')
  })

  it('passes on ttl, consistency and timeout', async () => {
    const client = new FakeClient()
    await kv(['put', 'a', 'v', '--ttl', '1h30m', '--consistency', 'all', '--timeout', '250'], client)
    expect(client.puts[0]!.options).toEqual({ ttlMs: 5_400_000, consistency: 'all', timeoutMs: 250 })
  })

  it('prints what was acknowledged, for people and for programs', async () => {
    expect((await kv(['put', 'a', 'v'])).out).toBe('OK\n')
    expect((await kv(['put', 'a', 'v'], undefined, terminal)).out).toMatch(
      /^stored on 2 replicas, version [0-9a-f]{24}\n$/,
    )
    const { out } = await kv(['put', 'a', 'v', '--json'])
    expect(JSON.parse(out)).toEqual({ status: 'success', acks: 2, version: expect.stringMatching(/^[0-9a-f]{24}$/) })
  })

  it('does not read more than a value can hold, and refuses a file that it cannot read', async () => {
    const endless = new PassThrough()
    const chunk = Buffer.alloc(1_048_576)
    for (let i = 0; i < 5; i++) endless.write(chunk)
    const { status, err } = await kv(['put', 'a', '-'], undefined, { stdin: endless })
    expect(status).toBe(2)
    expect(err).toContain('holds more than')
    expect((await kv(['put', 'a', '--file', '/absent'])).status).toBe(1)
  })

  it('says whether a failed write may have been applied', async () => {
    const client = new FakeClient()
    client.faults.set('a', [fault('unavailable', 'not-applied'), fault('timeout', 'unknown')])
    expect((await kv(['put', 'a', 'v'], client)).err).toContain('Nothing was written.')
    expect((await kv(['put', 'a', 'v'], client)).err).toContain('may have been applied')
  })
})

describe('get', () => {
  const binary = Buffer.from([0x00, 0xff, 0x0a])

  it('prints exactly the bytes to a pipe, text and a newline to a terminal', async () => {
    const client = new FakeClient()
    client.set('t', 'naïve')
    client.set('b', binary)
    expect((await kv(['get', 't'], client)).out).toBe('naïve')
    expect((await kv(['get', 'b'], client)).io.stdout.bytes).toEqual(binary)
    expect((await kv(['get', 't'], client, terminal)).out).toBe('naïve\n')
  })

  it('shows no bytes on a terminal that are not text, nor control characters', async () => {
    const client = new FakeClient()
    client.set('b', binary)
    client.set('evil', '\x1b]0;title\x07 line 1\nline 2')
    const shown = await kv(['get', 'b'], client, terminal)
    expect(shown.status).toBe(0)
    expect(shown.out).toBe('')
    expect(shown.err).toContain('3 B that are not text')
    expect((await kv(['get', 'evil'], client, terminal)).out).toBe('\\x1b]0;title\\x07 line 1\nline 2\n')
  })

  it('a key that is not there is status 3, with nothing on standard output but JSON', async () => {
    const missing = await kv(['get', 'k'])
    expect([missing.status, missing.out]).toEqual([3, ''])
    const json = await kv(['get', 'k', '--json'])
    expect(json.status).toBe(3)
    expect(JSON.parse(json.out)).toEqual({ found: false, key: 'k' })
  })

  it('JSON has base64 where there is no text, and the expiry', async () => {
    const client = new FakeClient()
    client.set(binary, binary, new Date(1234))
    const { out } = await kv(['get', '--json', '--key-base64', binary.toString('base64')], client)
    expect(JSON.parse(out)).toMatchObject({ found: true, keyBase64: 'AP8K', valueBase64: 'AP8K', expiresAt: 1234 })
  })
})

describe('delete, mget and scan', () => {
  it('delete says whether there was something, and a missing key is no failure', async () => {
    const client = new FakeClient()
    client.set('k', 'v')
    expect(await kv(['delete', 'k'], client)).toMatchObject({ status: 0, out: 'deleted\n' })
    expect(await kv(['del', 'k'], client)).toMatchObject({ status: 0, out: 'there was no such key\n' })
    expect(JSON.parse((await kv(['delete', 'k', '--json'], client)).out)).toMatchObject({ existed: false })
    client.existedKnown = false
    expect((await kv(['delete', 'k'], client)).out).toBe('deleted, if it was there: that is not known\n')
    expect(JSON.parse((await kv(['delete', 'k', '--json'], client)).out)).toMatchObject({ existed: null })
  })

  it('mget prints in the order of the arguments, and missing keys are status 3', async () => {
    const client = new FakeClient()
    client.set('a', '1')
    client.set('b', '2')
    expect(await kv(['mget', 'b', 'a'], client)).toMatchObject({ status: 0, out: 'b\t2\na\t1\n' })
    const some = await kv(['mget', 'a', 'x'], client)
    expect(some).toMatchObject({ status: 3, out: 'a\t1\n', err: 'kv: 1 of 2 keys are not there\n' })
    const json = await kv(['mget', '--json', 'x', 'a'], client)
    expect(
      json.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { found: false, key: 'x' },
      { found: true, key: 'a', value: '1' },
    ])
  })

  it('scan prints a prefix, as far as the limit, exactly for programs and visibly for people', async () => {
    const client = new FakeClient()
    for (let i = 0; i < 9; i++) client.set(`user:${i}`, `v${i}\x07`)
    client.set('x', 'y')
    expect((await kv(['scan', 'user:', '--limit', '2'], client)).out).toBe('user:0\tv0\x07\nuser:1\tv1\x07\n')
    expect(client.scans.at(-1)!.pageSize).toBe(2)
    const shown = await kv(['scan', 'user:', '--limit', '1'], client, { terminal: true, env: { NO_COLOR: '1' } })
    expect(shown.out).toBe('user:0\tv0\\x07\n')
    expect((await kv(['scan', '--keys-only', 'x'], client)).out).toBe('x\n')
    expect((await kv(['scan'], client)).out.split('\n').length).toBe(11)
    expect(JSON.parse((await kv(['scan', 'x', '--json', '--keys-only'], client)).out)).toEqual({
      key: 'x',
      version: expect.any(String),
    })
  })
})

describe('snapshot', () => {
  it('asks the node that answers, or the one that is named, at its own address', async () => {
    const client = new FakeClient()
    const taken = await kv(['snapshot'], client)
    expect(taken).toMatchObject({
      status: 0,
      out: 'node-1: up to sequence 7, 1,234 records, 4.0 KiB, in 12 ms\n',
    })
    const named = await kv(['snapshot', '--node', 'node-2', '--json', '--timeout', '2s'], client)
    expect(JSON.parse(named.out)).toEqual({ nodeId: 'node-2', sequence: 7, records: 1234, bytes: 4096, durationMs: 12 })
    expect(client.snapshots).toEqual([
      [undefined, 600_000],
      ['127.0.0.1:50052', 2_000],
    ])
    expect(await kv(['snapshot', '--node', 'node-9'], client)).toMatchObject({
      status: 2,
      err: expect.stringContaining('one of node-1, node-2, node-3'),
    })
  })

  it('asks all, tells what each took, and fails where one took none', async () => {
    const client = new FakeClient()
    const some = await kv(['snapshot', '--all'], client)
    expect(some.status).toBe(1)
    expect(some.out.match(/^node-[12]: /gm)).toHaveLength(2)
    expect(some.err).toContain('node-3: 127.0.0.1:50053 does not answer\n')
    expect(some.err).toContain('1 of 3 members took no snapshot')
    const lines = (await kv(['snapshot', '--all', '--json'], client)).out.trim().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { nodeId: 'node-1' },
      { nodeId: 'node-2' },
      { nodeId: 'node-3', error: { code: 'unavailable' } },
    ])
    client.members = client.members.map((member) => ({ ...member, liveness: 'alive' }))
    expect((await kv(['snapshot', '--all'], client)).status).toBe(0)
    // Behind one address another member answers than the topology says.
    client.members[1] = { ...client.members[1]!, address: '127.0.0.1:50051' }
    expect((await kv(['snapshot', '--node', 'node-2'], client)).err).toContain('is node node-1 from here')
  })
})

describe('repair', () => {
  const found = { slotsDiffering: 3, slotsRepaired: 3, recordsPulled: 1200, recordsPushed: 1, bytes: 4096 }

  it('asks all members, each at its own address, and tells what each found', async () => {
    const client = new FakeClient()
    client.members = client.members.map((member) => ({ ...member, liveness: 'alive' }))
    client.repaired = { ...found, slotsSkipped: 1 }
    const { status, out } = await kv(['repair'], client)
    expect(status).toBe(0)
    expect(client.repairs).toEqual(client.members.map(({ address }) => [address, undefined]))
    expect(out.split('\n')[1]).toMatch(
      /^node-2: compared with 2 of 2 members in [\d.]+ s; 3 of 3 slots that differed made equal; 1,200 records fetched, 1 sent \(4\.0 KiB\); 1 slot left to the refill$/,
    )
    client.repaired = {}
    expect((await kv(['repair'], client)).out).toContain('s; nothing differed\n')
  })

  it('asks one member, or the owners of one slot', async () => {
    const client = new FakeClient()
    client.repaired = found
    const one = await kv(['repair', '--node', 'node-2', '--json'], client)
    expect(JSON.parse(one.out)).toMatchObject({ nodeId: 'node-2', done: true, ...found, durationMs: 1500 })
    expect(client.repairs.splice(0)).toEqual([['127.0.0.1:50052', undefined]])
    await kv(['repair', '--slot', '15'], client)
    expect(client.repairs.splice(0).map(([, slot]) => slot)).toEqual([15, 15, 15])
    for (const [option, value, message] of [
      ['--node', 'node-9', 'one of node-1, node-2, node-3'],
      ['--slot', '16', 'from 0 to 15'],
    ] as const) {
      expect(await kv(['repair', option, value], client)).toMatchObject({
        status: 2,
        err: expect.stringContaining(message),
      })
    }
    expect(client.repairs).toEqual([])
  })

  it('fails where a member does not answer, or could not be compared with, and names it', async () => {
    const client = new FakeClient()
    const silent = await kv(['repair'], client)
    expect(silent.status).toBe(1)
    expect(silent.err).toContain('node-3: 127.0.0.1:50053 does not answer\n')
    expect(silent.err).toContain('1 of 3 members could not be compared')
    client.repaired = { obstacles: [{ nodeId: 'node-3', reason: 'it cannot be reached' }] }
    const partly = await kv(['repair', '--node', 'node-1'], client)
    expect(partly).toMatchObject({ status: 1, out: expect.stringContaining('compared with 1 of 2 members') })
    expect(partly.err).toContain('node-1: not compared with node-3: it cannot be reached\n')
    // Behind one address another member answers than the topology says.
    client.members[1] = { ...client.members[1]!, address: '127.0.0.1:50051' }
    expect((await kv(['repair', '--node', 'node-2'], client)).err).toContain('is node node-1 from here')
  })
})

describe('status, ring and partition', () => {
  it('status --json is one object with the fixed names', async () => {
    const { status, out } = await kv(['--json', 'status'])
    expect(status).toBe(0)
    const seen = JSON.parse(out)
    expect(seen).toMatchObject({ clusterId: 'c'.repeat(32), epoch: 7, nodeId: 'node-1' })
    expect(seen.members.map((member: object) => member)).toMatchObject([
      { id: 'node-1', address: '127.0.0.1:50051', liveness: 'alive', state: 'serving', entries: 0 },
      { id: 'node-2', liveness: 'alive' },
      { id: 'node-3', liveness: 'dead', error: { code: 'unavailable' } },
    ])
  })

  it('status shows a row for each member, and says what is wrong with one', async () => {
    const { out } = await kv(['status'])
    expect(out).toMatch(/node-1 +1 +aaaaaaaa +127\.0\.0\.1:50051 +alive +serving +0 +117\.7 MiB +- +0 +0\.1\.0 +1d 2h/)
    expect(out).toContain('2 of 3 members alive')
    expect(out).toContain('node-3 did not answer')
    expect(out).not.toContain('lost')
  })

  it('status says how many slots a member has lost, and whether they come back', async () => {
    const client = new FakeClient()
    client.loss = { lostSlots: 12, refillObstacle: '' }
    const { out } = await kv(['status'], client)
    expect(out).toContain(
      'node-1 has lost 12 slots and does not answer for them: it refills them from the other members',
    )
    client.loss.refillObstacle = 'slot 3: node-2 has lost it too'
    expect((await kv(['status'], client)).out).toContain('does not answer for them: slot 3: node-2 has lost it too')
    expect(JSON.parse((await kv(['--json', 'status'], client)).out).members[0]).toMatchObject(client.loss)
  })

  it('status says why tombstones stay', async () => {
    const client = new FakeClient()
    expect((await kv(['status'], client)).out).not.toContain('tombstones')
    client.floorObstacle = 'node-3 cannot be reached'
    expect((await kv(['status'], client)).out).toContain('node-1 keeps 1,234 tombstones: node-3 cannot be reached\n')
  })

  it('status says when the copies were last compared, and where they differ', async () => {
    const client = new FakeClient()
    const peer = { nodeId: 'node-2', comparedMsAgo: 1_500, differingSlots: 0, obstacle: '' }
    client.convergence = { peers: [peer, { ...peer, comparedMsAgo: 3_000 }], recordsPulled: 1_000, recordsPushed: 234 }
    const { out } = await kv(['status'], client)
    expect(out).toMatch(/node-1 .* 3\.0 s ago +1,234 /)
    expect(out).not.toContain('differ')
    const json = JSON.parse((await kv(['--json', 'status'], client)).out)
    expect(json.members[0].convergence).toEqual(client.convergence)
    const never = { ...peer, comparedMsAgo: undefined, differingSlots: 1, obstacle: 'node-2 does not answer' }
    client.convergence = { ...client.convergence, peers: [peer, never, { ...never, nodeId: 'node-3' }] }
    const troubled = (await kv(['status'], client)).out
    expect(troubled).toContain('not yet')
    expect(troubled).toContain('node-1 and node-2 differ in 1 slot\n')
    expect(troubled).toContain('node-1 could not be compared with node-2: node-2 does not answer\n')
    expect(troubled, 'node-3 is down').not.toMatch(/differ.*node-3|with node-3/)
  })

  it('status says what a member keeps for another that has missed it', async () => {
    const client = new FakeClient()
    const kept = { nodeId: 'node-3', hints: 1_234, bytes: 4_096, oldestMsAgo: 3_000, dropped: 5 }
    client.hints = [kept, { ...kept, nodeId: 'node-2', hints: 0 }]
    const { out } = await kv(['status'], client)
    expect(out).toContain(
      'node-1 keeps 1,234 writes (4.0 KiB, the oldest 3.0 s old) for node-3, which has missed them\n',
    )
    expect(out).not.toMatch(/keeps .* for node-2/)
    expect(JSON.parse((await kv(['--json', 'status'], client)).out).members[0].hints).toEqual(client.hints)
  })

  it('ring counts what each member owns against its fair share', async () => {
    const client = new FakeClient()
    client.members = client.members.map((member, i) => ({ ...member, weight: i === 0 ? 2 : 1 }))
    const { out } = await kv(['ring', '--json'], client)
    const { members, slots } = JSON.parse(out)
    expect(slots).toBe(16)
    expect(members).toMatchObject([
      { id: 'node-1', slots: 16, preferred: 6, share: 1, fairShare: 1 },
      { id: 'node-2', slots: 16, preferred: 5, share: 1, fairShare: 0.75 },
      { id: 'node-3', slots: 16, preferred: 5, share: 1, fairShare: 0.75 },
    ])
    expect((await kv(['ring'], client)).out).toMatch(/node-2 .* 16 +100\.0% +75\.0% +\+33\.3% +5/)
  })

  it('partition names the owners in order', async () => {
    const { out } = await kv(['partition', 'k', '--json'])
    const { owners, ...rest } = JSON.parse(out)
    expect(rest).toEqual({ key: 'k', hash: 0x9abcdef0, slot: 9 })
    expect(owners[0]).toEqual({ id: 'node-1', address: '127.0.0.1:50051', liveness: 'alive' })
    expect((await kv(['partition', 'k'])).out).toContain('hash 0x9abcdef0, slot 9')
  })
})

describe('words of others', () => {
  it('cannot retitle the terminal or turn text around when a failure is told', async () => {
    const client = new FakeClient()
    client.status = () => Promise.reject(new KvError('unavailable', 'no \x1b]0;title\x07\u009b2J\u202enode'))
    const { status, err } = await kv(['status'], client)
    expect(status).toBe(1)
    expect(err).toContain('\\x1b]0;title')
    expect(err).not.toMatch(/(?!\n)\p{Cc}|\u202e/u)
  })
})

describe('completion', () => {
  it.each(['bash', 'zsh', 'fish'])('for %s knows the commands and their options', async (shell) => {
    const { status, out } = await kv(['completion', shell])
    expect(status).toBe(0)
    for (const word of ['partition', 'skip-bad', 'consistency', 'one quorum all']) expect(out).toContain(word)
  })
})

import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { KvClient, type KvClientOptions, type KvError } from '@quorumkv/client'
import { type Log, type RunningNode, startNode } from '@quorumkv/server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { commandLine, eventually, freePorts, makeTemporaryDirectory } from '../fixtures.js'

const serverProgram = join(import.meta.dirname, '../../server/bin/kv-server.js')
const directory = makeTemporaryDirectory()
const authFile = join(directory, 'auth.yaml')
const clusterSecretFile = join(directory, 'cluster.secret')
const names = ['n1', 'n2', 'n3']
const lines: string[] = []
const nodes = new Map<string, RunningNode>()
let ports: number[] = []
let root = ''

/** Everything that a node says, at every level. */
const log: Log = {
  debug: (message, facts) => void lines.push(`debug ${message} ${JSON.stringify(facts)}`),
  info: (message, facts) => void lines.push(`info ${message} ${JSON.stringify(facts)}`),
  warn: (message, facts) => void lines.push(`warn ${message} ${JSON.stringify(facts)}`),
  error: (message, facts) => void lines.push(`error ${message} ${JSON.stringify(facts)}`),
}

interface Ended {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

/** Runs a program to its end. The nodes are in this process: it must not wait standing still. */
function program(path: string, args: readonly string[], env: Record<string, string> = {}, input = ''): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env['PATH'], ...env }, timeout: 30_000 }
    const child = execFile(process.execPath, [path, ...args], options, (_, out, err) => {
      resolve({ status: child.exitCode, out, err })
    })
    child.stdin!.end(input)
  })
}

const kvServer = (...args: string[]): Promise<Ended> => program(serverProgram, args)

async function start(name: string, more: Record<string, string | boolean> = { authFile }): Promise<RunningNode> {
  const port = ports[names.indexOf(name)]
  const node = await startNode({
    addr: `127.0.0.1:${port}`,
    id: name,
    dataDir: join(directory, name),
    peers: ports.map((each) => `127.0.0.1:${each}`),
    clusterSecretFile,
    httpAddr: '127.0.0.1:0',
    log,
    onFatal: (error) => void lines.push(`fatal ${error.message}`),
    ...more,
  })
  nodes.set(name, node)
  return node
}

function client(options: Partial<KvClientOptions> = {}): KvClient {
  return new KvClient({ endpoints: ports.map((port) => `127.0.0.1:${port}`), timeoutMs: 5_000, ...options })
}

async function failure(promise: Promise<unknown>): Promise<Partial<KvError>> {
  return await promise.then(
    (value) => ({ message: `succeeded with ${JSON.stringify(value)}` }),
    (error: KvError) => error,
  )
}

beforeAll(async () => {
  ports = await freePorts(3)
  writeFileSync(clusterSecretFile, randomBytes(32).toString('base64'), { mode: 0o600 })
  const made = await kvServer('auth', 'init', '--auth-file', authFile)
  expect(made).toMatchObject({ status: 0, err: '' })
  root = made.out.trim()
  await Promise.all(names.map((name) => start(name)))
  await Promise.all([...nodes.values()].map(({ ready }) => ready))
})

afterAll(async () => {
  await Promise.all([...nodes.values()].map((node) => node.stop(1_000)))
})

describe('kv-server auth', () => {
  test('init makes a file that only its owner can read, with a hash and no token, and never over another', async () => {
    expect(statSync(authFile).mode & 0o777).toBe(0o600)
    expect(root).toMatch(/^qkv_admin_[A-Za-z0-9_-]{43}$/)
    expect(readFileSync(authFile, 'utf8')).not.toContain(root.slice(-43))
    expect(await kvServer('auth', 'init', '--auth-file', authFile)).toMatchObject({ status: 2, out: '' })
  })

  test('hash prints an entry for a new token, or for one that is there', async () => {
    const { status, out } = await kvServer('auth', 'hash', '--name', 'app', '--role', 'write', '--prefix', 'a/', 'b/')
    expect(status).toBe(0)
    expect(out).toMatch(/^# token: qkv_app_\S{43}\n- name: app\n {2}role: write\n {2}tokenSha256: [0-9a-f]{64}\n/)
    const given = await program(serverProgram, ['auth', 'hash', '--stdin'], {}, `${root}\n`)
    expect(readFileSync(authFile, 'utf8')).toContain(/tokenSha256: (\S+)/.exec(given.out)![1])
    expect((await kvServer('auth', 'hash', '--role', 'boss')).status).toBe(2)
    expect((await kvServer('auth', '--help')).out).toContain('init')
  })

  test('a file that others may read, that is malformed or has no admin keeps the node from starting', async () => {
    const bad = join(directory, 'bad.yaml')
    const good = readFileSync(authFile, 'utf8')
    const cases: [string, string, RegExp][] = [
      ['open', good, /has mode 0644/],
      ['no admin', good.replace('role: admin', 'role: write'), /one principal at least must be an admin/],
      ['a token in place of a hash', good.replace(/tokenSha256: .*/, `tokenSha256: ${root}`), /must be 64 hex digits/],
      ['a token in place of a name', good.replace('name: admin', `name: ${root}`), /must be 1 to 63 characters/],
      ['unknown keys', `${good}surprise: ${root}\n`, /a key that is not known/],
      ['no YAML', `${good}  : [${root}\n`, /this is no YAML/],
    ]
    for (const [what, text, why] of cases) {
      writeFileSync(bad, text)
      chmodSync(bad, what === 'open' ? 0o644 : 0o600)
      const error = await start('n1', { authFile: bad, dataDir: join(directory, 'never') }).catch((each) => each)
      expect(error.message).toMatch(why)
      expect(error.message).not.toContain(root.slice(-43))
    }
  })
})

describe('a cluster that asks who calls', () => {
  test('lets in nobody without a token, and everybody with a right one do what is theirs', async () => {
    await using nobody = client()
    expect(await failure(nobody.get('app/1'))).toMatchObject({ code: 'unauthenticated' })
    await using admin = client({ token: root })
    await admin.put('app/1', 'one')
    await admin.put('else', 'two')
    const { token } = await admin.operator.createPrincipal('app', { role: 'write', prefixes: ['app/'] })
    await using app = client({ token })
    await eventually(
      'all members know the new principal',
      async () => (await failure(app.ready())).message !== undefined,
    )
    expect(await app.get('app/1')).toBe('one')
    await app.put('app/2', 'more')
    expect(await failure(app.get('else'))).toMatchObject({ code: 'permission-denied' })
    expect(await failure(app.put('els', 'x'))).toMatchObject({ code: 'permission-denied', outcome: 'not-applied' })
    expect(await failure(app.operator.drain(`127.0.0.1:${ports[0]}`))).toMatchObject({ code: 'permission-denied' })
    const keys: string[] = []
    for await (const { key } of app.scan({ prefix: 'app/' })) keys.push(key)
    expect(keys.sort()).toEqual(['app/1', 'app/2'])
    const scanAll = async (): Promise<void> => {
      for await (const { key } of app.scan()) keys.push(key)
    }
    expect(await failure(scanAll())).toMatchObject({ code: 'permission-denied' })
    expect((await app.topology()).members).toHaveLength(3)
  })

  test('a revocation ends what runs, at every member; the token is nobody’s any more', async () => {
    await using admin = client({ token: root })
    const { token } = await admin.operator.createPrincipal('brief', { role: 'read' })
    await using brief = client({ token })
    await eventually(
      'the token is taken',
      async () => (await failure(brief.get('app/1'))).message?.includes('one') === true,
    )
    const down: string[] = []
    brief.on('nodeDown', ({ error }) => void down.push(error.code))
    await admin.operator.revokePrincipal('brief')
    await eventually('the sessions were ended', () => down.includes('unauthenticated'))
    await eventually('nobody takes it', async () => (await failure(brief.get('app/1'))).code === 'unauthenticated')
    const { principals, openMembers } = await admin.operator.principals()
    expect(principals.map(({ name }) => name)).toEqual(['admin', 'app'])
    expect(openMembers).toEqual([])
  })

  test('one that expires is nobody from then on', async () => {
    await using admin = client({ token: root })
    const expiresAt = new Date(Date.now() + 2_500)
    const { token } = await admin.operator.createPrincipal('short', { role: 'read', expiresAt })
    await using short = client({ token })
    await eventually(
      'the token is taken',
      async () => (await failure(short.get('app/1'))).message?.includes('one') === true,
    )
    await eventually('it has expired', async () => (await failure(short.get('app/1'))).code === 'unauthenticated')
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt.getTime() - 50)
    await admin.operator.revokePrincipal('short')
  })

  test('a client that asks for another token goes on when its own is revoked, and no call fails', async () => {
    await using admin = client({ token: root })
    const first = await admin.operator.createPrincipal('app-1', { role: 'write' })
    let current = first.token
    let asked = 0
    const tokenFile = join(directory, 'app.token')
    writeFileSync(tokenFile, `${current}\n`, { mode: 0o600 })
    await using byFunction = client({
      token: async () => {
        asked++
        return current
      },
    })
    await using byFile = client({ tokenFile })
    const clients = [byFunction, byFile]
    for (const each of clients) await each.put('rotating', '0')
    const second = await admin.operator.createPrincipal('app-2', { role: 'write' })
    current = second.token
    writeFileSync(tokenFile, second.token)
    await new Promise((resolve) => setTimeout(resolve, 1_200))
    await admin.operator.revokePrincipal('app-1')
    for (let i = 1; i <= 200; i++) for (const each of clients) await each.put('rotating', `${i}`)
    expect(asked).toBe(2)
    for (const each of clients) {
      expect(await each.get('rotating')).toBe('200')
      const values: string[] = []
      for await (const { value } of each.scan({ prefix: 'rotating' })) values.push(value)
      expect(values).toEqual(['200'])
    }
  })

  test('kv takes the token from a file or the environment', async () => {
    const tokenFile = join(directory, 'root.token')
    writeFileSync(tokenFile, root, { mode: 0o600 })
    const kv = (env: Record<string, string>, ...args: string[]): Promise<Ended> => {
      const KV_ENDPOINTS = ports.map((port) => `127.0.0.1:${port}`).join()
      return program(commandLine, args, { KV_ENDPOINTS, ...env })
    }
    expect(await kv({}, 'get', 'app/1')).toMatchObject({ status: 1, err: expect.stringContaining('--token-file') })
    expect(await kv({ KV_TOKEN: root }, 'get', 'app/1')).toMatchObject({ status: 0, out: 'one' })
    expect(await kv({}, '--token-file', tokenFile, 'get', 'app/1')).toMatchObject({ status: 0, out: 'one' })
    const made = await kv({ KV_TOKEN_FILE: tokenFile }, 'auth', 'create', 'cli', '--role', 'read', '--prefix', 'app/')
    expect(made.status).toBe(0)
    const env = { KV_TOKEN: made.out.trim() }
    expect(await kv(env, 'scan', 'app/')).toMatchObject({ status: 0 })
    expect(await kv(env, 'auth', 'list')).toMatchObject({ status: 1 })
    expect(await kv({ KV_TOKEN: root }, 'auth', 'revoke', 'cli', '--yes')).toMatchObject({ status: 0 })
    const KV_ENDPOINTS = `127.0.0.1:${ports[0]}`
    const shell = await program(commandLine, ['--token-file', tokenFile, 'shell'], { KV_ENDPOINTS }, 'get app/1\n')
    expect(shell).toMatchObject({ status: 0, out: expect.stringContaining('one') })
    const file = join(directory, 'two.jsonl')
    writeFileSync(file, '{"key":"app/i1","value":"1"}\n{"key":"app/i2","value":"2"}\n')
    expect(await kv({ KV_TOKEN: root }, 'import', file)).toMatchObject({ status: 0 })
    const load = ['--duration', '1s', '--warm-up', '0', '--no-progress', '--clients', '1', '--keys', '10', '--json']
    expect(await kv({ KV_TOKEN: root }, 'bench', ...load)).toMatchObject({ status: 0 })
  })

  test('the file is read again when it changes; one that cannot be used changes nothing, and is told of', async () => {
    const good = readFileSync(authFile, 'utf8')
    const { out } = await kvServer('auth', 'hash', '--name', 'filed', '--role', 'read')
    const token = /token: (\S+)/.exec(out)![1]!
    await using filed = client({ token, endpoints: [`127.0.0.1:${ports[0]}`] })
    const write = (text: string): void => {
      writeFileSync(`${authFile}.new`, text, { mode: 0o600 })
      renameSync(`${authFile}.new`, authFile)
    }
    const entry = out
      .split('\n')
      .slice(1)
      .map((line) => `  ${line}`)
      .join('\n')
    write(`${good}${entry}`)
    await eventually('it is known', async () => (await failure(filed.get('app/1'))).message?.includes('one') === true)
    write('principals: []')
    await eventually('it is told of', () => lines.some((line) => line.includes('cannot be used')))
    await using admin = client({ token: root })
    expect(await admin.get('app/1')).toBe('one')
    write(good)
    await eventually('it is nobody', async () => (await failure(filed.get('app/1'))).code === 'unauthenticated')
    // Once for each node that has looked in time, however often it looks.
    expect(lines.filter((line) => line.includes('cannot be used')).length).toBeLessThanOrEqual(3)
  })

  test('a member without a file cannot come back, and a stranger without one cannot join: status 6', async () => {
    await nodes.get('n3')!.stop(1_000)
    await eventually('its own document refuses it', async () => {
      const error = await start('n3', {}).catch((each) => each)
      return error.reason === 'refused' && error.message.includes('--auth-file')
    })
    const [port] = await freePorts(1)
    const joining = await kvServer(
      ...['--id', 'n4', '--addr', `:${port}`, '--data-dir', join(directory, 'n4'), '--log-format', 'json'],
      ...['--cluster-secret-file', clusterSecretFile],
      ...['--peers', ports.map((each) => `127.0.0.1:${each}`).join()],
    )
    expect(joining.status).toBe(6)
    expect(joining.err).toContain('demands authentication')
    await (await start('n3')).ready
  })

  test('nodes tell each other their figures, by the secret that they share, and whoever asks them for those needs a token', async () => {
    const url = `http://${nodes.get('n1')!.httpAddresses[0]}/cluster`
    expect((await fetch(url)).status).toBe(401)
    const told = async (): Promise<unknown[]> => {
      const answer = await fetch(url, { headers: { authorization: `Bearer ${root}` } })
      const { members } = (await answer.json()) as { members: { id: string; figures?: unknown }[] }
      return members.filter((member) => JSON.stringify(member).includes('tableBytes')).map(({ id }) => id)
    }
    await eventually('all have told', async () => (await told()).length === 3)
  })

  test('no token is in any log, at any level, nor in what anybody is told', async () => {
    await using admin = client({ token: root })
    const told = JSON.stringify(
      [
        await admin.operator.principals(),
        await admin.statusAll(),
        await admin.topology(),
        admin.stats(),
        lines,
        [...nodes.values()].map((node) => ({ ...node.status().topology, access: undefined })),
      ],
      (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value),
    )
    expect(lines.some((line) => line.includes('"log":"audit"') && line.includes('/kv.v1.Cluster/AuthCreate'))).toBe(
      true,
    )
    expect(lines.some((line) => line.includes('"log":"audit"') && line.includes('unauthenticated'))).toBe(true)
    expect(told).not.toMatch(/qkv_[a-z0-9-]+_/)
    expect(told).not.toContain(root.slice(-43))
    expect(inspect(admin, { depth: 20, showHidden: true })).not.toContain(root.slice(-43))
  })
})
